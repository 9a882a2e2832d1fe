//! Open orders planned anew: each that is better served otherwise gets another hold in the place of the old one, in one
//! step of the engine, so that it never has none and never has both.

use std::collections::HashMap;
use std::time::Instant;

use bespeak_allocation::Problem;
use bespeak_allocation::input::{Input, NONE};
use bespeak_allocation::tables::Names;
use bespeak_engine::{
    Command, Meta, Refusal, Replace, Reservation, ReservationId, ReserveLine, State,
};
use bespeak_proto::v1 as pb;
use prost::Message;
use smallvec::SmallVec;

use super::batch::{Batch, expand, subset};
use super::hold::{Holding, line};
use super::plan::Prepared;
use super::replayed::{self, Held, Part, Places};
use super::seats::{aside, breathe};
use super::snapshot::{self, Known};
use super::solve::{self, Caller};
use super::terms::Terms;
use super::{answer, tables};
use crate::api::Api;
use crate::convert::reply;
use crate::error::ApiError;
use crate::store::Seen;

/// Reservations looked at under one lock.
const LOOK: usize = 2_048;
/// Times that moves are tried: one may wait for what another gives back.
const ROUNDS: usize = 3;
/// Cost of giving up a line that is held: no plan does.
const GIVEN_UP: i64 = bespeak_allocation::tables::MONEY_MAX;
/// What an order's part of the answer grows by once it is moved, or refused: two numbers, and its own length.
const MOVED_BYTES: usize = 16;
/// The same of the answer's other numbers.
const REST_BYTES: usize = 64;

/// An open hold of an order.
#[derive(Debug, Clone)]
struct Open {
    reservation: ReservationId,
    parts: Vec<Part>,
}

/// Plans open orders anew and moves those that are better served otherwise.
///
/// # Errors
/// `InvalidArgument` for a batch that makes no sense: nothing is moved then.
pub fn reoptimise(
    api: &Api,
    request: &pb::ReoptimiseRequest,
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<pb::ReoptimiseResponse, ApiError> {
    let Some(asked) = &request.terms else {
        return Err(ApiError::invalid(
            "terms",
            "missing",
            "say which orders, and how to plan",
        ));
    };
    if request.least_saving_minor < 0 {
        let rule = "it must be 0 or more";
        return Err(ApiError::invalid(
            "least_saving_minor",
            request.least_saving_minor,
            rule,
        ));
    }
    if !asked.stock.is_empty() {
        let rule = "the holds are of the server's own stock: leave it empty";
        return Err(ApiError::invalid("terms.stock", "there", rule));
    }
    let meta = match (&asked.hold, request.dry_run) {
        (Some(hold), _) => Holding::read(hold, caller.trace_id)?.into_meta(),
        (None, true) => Meta::default(),
        (None, false) => {
            let rule = "say who moves the orders, or set dry_run";
            return Err(ApiError::invalid("terms.hold", "missing", rule));
        }
    };
    let (prepared, open) = prepare(api, asked, revision)?;
    let mut moves = Moves::new(api, &prepared.batch, &open, meta);
    let mut answer = moves.plan(&prepared, request, caller)?;
    if !request.dry_run {
        // An answer that cannot be sent would say that nothing was changed.
        answer.moved = moves.told();
        let grown = answer.moved.len() * MOVED_BYTES + REST_BYTES;
        caller.takes(answer.encoded_len() + grown)?;
        moves.make(revision)?;
    }
    answer.after_minor = prepared.batch.problem.costs(&moves.after).total;
    answer.bound_minor = answer.bound_minor.min(answer.after_minor);
    answer.moved = moves.told();
    answer.revision = *revision;
    let moved = answer
        .moved
        .iter()
        .filter(|moved| moved.new_reservation_id != 0);
    api.metrics().allocation.moved(moved.count() as u64);
    Ok(answer)
}

/// Reads the request, leaves out orders without one open hold, and gives their stock back in the copy that is planned.
fn prepare(
    api: &Api,
    request: &pb::AllocateRequest,
    revision: &mut u64,
) -> Result<(Prepared, Vec<Open>), ApiError> {
    let started = Instant::now();
    let terms = Terms::read(request)?;
    let (asked, (input, mut names)) = aside(|| {
        let asked = tables::asked(&api.desk().networks, request)?;
        let read = tables::read(&asked.tables)?;
        Ok::<_, ApiError>((asked, read))
    })??;
    let known = Known::find(api, &names, revision)?;
    let found = find_open(api, &names, revision)?;
    let kept: Vec<u32> = (0u32..)
        .zip(&found)
        .filter_map(|(order, open)| open.as_ref().map(|_| order))
        .collect();
    let mut input = keep(&input, &mut names, &kept);
    let open: Vec<Open> = found.into_iter().flatten().collect();
    let items: HashMap<_, u32> = known.items.iter().zip(0..).collect();
    let locations: HashMap<_, u32> = known.locations.iter().zip(0..).collect();
    let mut back = HashMap::new();
    for part in open.iter().flat_map(|open| &open.parts) {
        let item = items.get(&Some(part.item));
        let location = locations.get(&Some(part.location));
        if let Some((item, location)) = item.zip(location) {
            *back.entry((*item, *location)).or_insert(0) += part.units;
        }
    }
    snapshot::fill(api, &known, &names, &mut input, &back, revision)?;
    let problem = aside(|| expand(input, &names))??;
    let batch = Batch {
        problem,
        names,
        known,
        own_stock: true,
        revision: *revision,
    };
    let prepared = Prepared {
        started,
        terms,
        asked,
        batch,
    };
    Ok((prepared, open))
}

/// The input and the names of some of its orders.
fn keep(input: &Input, names: &mut Names, orders: &[u32]) -> Input {
    let lines = orders
        .iter()
        .flat_map(|order| input.orders[*order as usize].lines.clone());
    names.lines = lines.map(|line| names.lines[line as usize]).collect();
    names.orders = orders
        .iter()
        .map(|order| names.orders[*order as usize].clone())
        .collect();
    subset(input, orders)
}

/// Open holds by order, and where the next slice begins.
type Slice = (Vec<(usize, Open)>, Option<ReservationId>);

/// The open hold of each order; none where there is not exactly one, of which nothing has left.
fn find_open(api: &Api, names: &Names, revision: &mut u64) -> Result<Vec<Option<Open>>, ApiError> {
    let orders: HashMap<&str, usize> = names.orders.iter().map(String::as_str).zip(0..).collect();
    let mut found: Vec<Vec<Open>> = vec![Vec::new(); orders.len()];
    let mut next = ReservationId(0);
    loop {
        let seen: Seen<Slice> = api.store().read(|state| {
            let mut matching = Vec::new();
            let mut reservations = state.reservations_from(next);
            for (id, reservation) in reservations.by_ref().take(LOOK) {
                if let Some(order) = orders.get(reservation.order_ref())
                    && let Some(open) = whole(state, id, reservation)
                {
                    matching.push((*order, open));
                }
            }
            Ok((matching, reservations.next().map(|(id, _)| id)))
        });
        *revision = (*revision).max(seen.revision);
        let (matching, after) = seen.result?;
        for (order, open) in matching {
            found[order].push(open);
        }
        match after {
            Some(id) => next = id,
            None => break,
        }
        breathe();
    }
    let one = |mut open: Vec<Open>| match open.len() {
        1 => open.pop(),
        _ => None,
    };
    Ok(found.into_iter().map(one).collect())
}

/// A reservation that is held or confirmed, and of which nothing has left or was given back.
fn whole(state: &State, id: ReservationId, reservation: &Reservation) -> Option<Open> {
    use bespeak_engine::ReservationState::{Confirmed, Held};
    if !matches!(reservation.state(), Held | Confirmed) {
        return None;
    }
    let mut parts = Vec::new();
    for line in reservation.lines() {
        if !line.fulfilled.is_zero() || !line.released.is_zero() {
            return None;
        }
        let position = state.position(line.position);
        parts.push(Part {
            item: position.item(),
            location: position.location(),
            units: line.open.balance(),
            ship_time: line.ship_time,
        });
    }
    Some(Open {
        reservation: id,
        parts,
    })
}

/// Moves of a batch of open orders.
struct Moves<'a> {
    api: &'a Api,
    batch: &'a Batch,
    open: &'a [Open],
    meta: Meta,
    /// What each order holds.
    held: Vec<(u32, Held)>,
    /// Where orders are held now; what is held where no lane goes from any more is not there.
    before: Vec<u32>,
    /// Where they will be.
    after: Vec<u32>,
    /// Orders to move, with what became of it.
    moved: Vec<Moved>,
}

struct Moved {
    order: u32,
    planned: Vec<u32>,
    new: Option<ReservationId>,
    refusal: Option<Refusal>,
}

impl<'a> Moves<'a> {
    fn new(api: &'a Api, batch: &'a Batch, open: &'a [Open], meta: Meta) -> Self {
        let places = Places::new(batch);
        let held = (0u32..).zip(open);
        let held = held.map(|(order, open)| (order, places.of(batch, order, &open.parts)));
        let held: Vec<_> = held.collect();
        let mut before = vec![NONE; batch.lines()];
        replayed::fill(batch, &held, &mut before);
        Self {
            api,
            batch,
            open,
            meta,
            held,
            after: before.clone(),
            before,
            moved: Vec::new(),
        }
    }

    /// Plans, and notes which orders would move.
    fn plan(
        &mut self,
        prepared: &Prepared,
        request: &pb::ReoptimiseRequest,
        caller: &Caller<'_>,
    ) -> Result<pb::ReoptimiseResponse, ApiError> {
        let problem = &self.batch.problem;
        let before = problem.costs(&self.before).total;
        let mut answer = pb::ReoptimiseResponse {
            before_minor: before,
            after_minor: before,
            bound_minor: before,
            made_by: super::terms::MADE_BY.to_owned(),
            ..Default::default()
        };
        if self.open.is_empty() {
            return Ok(answer);
        }
        let mut input = problem.input().clone();
        let held = self.held.iter().flat_map(|(_, held)| &held.ship_times);
        let is_held: Vec<bool> = held.map(Option::is_some).collect();
        for (line, is_held) in input.lines.iter_mut().zip(&is_held) {
            if *is_held {
                line.unfilled_minor = GIVEN_UP;
            }
        }
        let kept = aside(|| Problem::new(input))??;
        let start = kept
            .check(&self.before)
            .is_ok()
            .then(|| self.before.clone());
        let left = prepared
            .terms
            .budget
            .saturating_sub(prepared.started.elapsed());
        let found = solve::search_from(&kept, &prepared.terms, start, caller, caller.until(left))?;
        let is_kept = |line: usize| !is_held[line] || found.choice[line] != NONE;
        let place = |choice: &[u32], line: usize| {
            let way = problem.options().get(choice[line] as usize);
            way.map(|way| way.location)
        };
        let mut after = self.before.clone();
        let mut moved = Vec::new();
        for &(order, ref held) in &self.held {
            let mut lines = self.batch.lines_of(order);
            let differs = lines
                .clone()
                .any(|line| place(&self.before, line) != place(&found.choice, line));
            if held.all_known && differs && lines.all(is_kept) {
                let lines = self.batch.lines_of(order);
                after[lines.clone()].copy_from_slice(&found.choice[lines.clone()]);
                moved.push(Moved {
                    order,
                    planned: found.choice[lines].to_vec(),
                    new: None,
                    refusal: None,
                });
            }
        }
        let saved = before - problem.costs(&after).total;
        let count = i64::try_from(moved.len()).unwrap_or(i64::MAX);
        answer.bound_minor = found.bound.min(before);
        answer.made_by = found.made_by;
        if saved > 0 && saved >= request.least_saving_minor.saturating_mul(count) {
            (self.after, self.moved) = (after, moved);
        }
        Ok(answer)
    }

    /// Moves the orders. One that does not fit keeps its hold.
    fn make(&mut self, revision: &mut u64) -> Result<(), ApiError> {
        for _ in 0..ROUNDS {
            let mut progress = false;
            for at in 0..self.moved.len() {
                if self.moved[at].new.is_none() {
                    progress |= self.make_one(at, revision)?;
                }
            }
            if !progress {
                break;
            }
        }
        for moved in self.moved.iter().filter(|moved| moved.new.is_none()) {
            let lines = self.batch.lines_of(moved.order);
            self.after[lines.clone()].copy_from_slice(&self.before[lines]);
        }
        Ok(())
    }

    fn make_one(&mut self, at: usize, revision: &mut u64) -> Result<bool, ApiError> {
        let moved = &self.moved[at];
        let ship_times = &self.held[moved.order as usize].1.ship_times;
        // What is held for later still ships then, and what is new goes with it.
        let latest = ship_times.iter().flatten().max().copied();
        let mut lines = SmallVec::new();
        let planned = self.batch.lines_of(moved.order).zip(&moved.planned);
        for ((number, option), ship_time) in planned.zip(ship_times) {
            if *option != NONE {
                lines.push(ReserveLine {
                    ship_time: ship_time.or(latest),
                    ..line(self.batch, number, *option)?
                });
            }
        }
        let mut replace = Replace {
            reservation: self.open[moved.order as usize].reservation,
            lines,
        };
        // Without an id: a call that is sent again finds the orders where they are then.
        let meta = Meta {
            request_id: 0,
            ..self.meta.clone()
        };
        let seen = self.api.store().write(
            Ok(meta),
            |state| {
                for line in &mut replace.lines {
                    line.ship_time = line.ship_time.filter(|at| *at > state.now());
                }
                Ok(Command::Replace(replace))
            },
            |_, answer| reply::hold(&answer).cloned(),
        );
        *revision = (*revision).max(seen.revision);
        let hold = seen.result?;
        let refusal = hold.lines.iter().filter_map(|line| line.refusal).min();
        let moved = &mut self.moved[at];
        moved.new = hold.reservation;
        moved.refusal = match hold.reservation {
            Some(_) => None,
            None => refusal,
        };
        Ok(hold.reservation.is_some())
    }

    fn told(&self) -> Vec<pb::MovedOrder> {
        let told = self.moved.iter().map(|moved| pb::MovedOrder {
            order_id: self.batch.names.orders[moved.order as usize].clone(),
            old_reservation_id: self.open[moved.order as usize].reservation.0,
            new_reservation_id: moved.new.map_or(0, |id| id.0),
            lines: answer::lines(self.batch, moved.order, &moved.planned),
            refusal: reply::refusal(moved.refusal).into(),
        });
        told.collect()
    }
}
