//! Plans into holds: each order one step of the engine, all of its planned lines or none.

use std::time::{Duration, Instant};

use bespeak_allocation::Problem;
use bespeak_allocation::input::NONE;
use bespeak_engine::{
    Answer, Command, EngineError, FillPolicy, HoldReply, HoldTerms, ItemId, LineReply, LocationId,
    Meta, Refusal, Reserve, ReserveLine, State, Units,
};
use bespeak_proto::v1 as pb;

use super::batch::{Batch, Used, places, subset};
use super::replayed::Part;
use super::seats::breathe;
use super::solve::{self, Caller};
use super::sound::check_known;
use super::terms::Terms;
use super::{ids, snapshot};
use crate::api::Api;
use crate::convert::{context, fields, reply};
use crate::error::ApiError;
use crate::tables::crowded;

/// Times that what no longer fits is planned again; what does not fit the last plan either is refused.
const ROUNDS: u32 = 3;
/// Orders held before others get their turn.
const TURN: usize = 16;
/// Longest search of such a plan.
const AGAIN: Duration = Duration::from_millis(50);

/// How plans are held.
#[derive(Debug, Clone)]
pub struct Holding {
    meta: Meta,
    expires_in_ms: Option<i64>,
    confirm: bool,
}

impl Holding {
    /// Reads the terms of the holds.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field.
    pub fn read(asked: &pb::AllocationHold, trace_id: u128) -> Result<Self, ApiError> {
        let meta = context::meta(&mut asked.context.clone(), trace_id)
            .map_err(|error| error.under("hold"))?;
        if meta.source.is_some() {
            let rule = "orders are held under ids made of request_id: leave it out";
            return Err(ApiError::invalid("hold.context.source", "set", rule));
        }
        Ok(Self {
            meta,
            expires_in_ms: fields::duration("hold.expires_in_ms", asked.expires_in_ms)?,
            confirm: asked.confirm,
        })
    }
}

impl Holding {
    /// Who holds.
    pub fn into_meta(self) -> Meta {
        self.meta
    }

    /// Request id of an order of this name.
    pub fn id_of(&self, order: &str) -> u128 {
        ids::of_order(self.meta.request_id, order)
    }
}

/// What became of an order.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The hold; `None` when there is none.
    pub held: Option<HoldReply>,
    /// Had been held before.
    pub replayed: bool,
    /// Times that it was planned again.
    pub replanned: u32,
    /// Why nothing is held of what was planned.
    pub refusal: Option<Refusal>,
    /// It was planned, and tried.
    pub tried: bool,
}

impl Outcome {
    /// Whether this call holds it, and not an earlier one.
    pub fn is_new(&self) -> bool {
        self.held.is_some() && !self.replayed
    }

    /// What is held, line by line.
    pub fn parts(&self) -> Option<Vec<Part>> {
        let lines = self.held.as_ref()?.lines.iter();
        let part = |line: &LineReply| {
            let part = line.parts.first()?;
            Some(Part {
                item: line.item,
                location: part.location,
                units: line.requested.balance(),
                ship_time: part.ship_time,
            })
        };
        Some(lines.filter_map(part).collect())
    }
}

/// Holds of a batch under way.
pub struct Holds<'a> {
    api: &'a Api,
    batch: &'a mut Batch,
    /// By order.
    holdings: &'a [&'a Holding],
    /// By order.
    pub outcomes: Vec<Outcome>,
    /// Orders that were planned again.
    pub replans: u64,
}

enum Tried {
    Held(Box<HoldReply>, bool),
    /// Something of it is gone.
    Short,
    Refused(Refusal),
}

impl<'a> Holds<'a> {
    /// Looks what of a batch is held already, under the same request id.
    ///
    /// # Errors
    /// `RequestIdReused` for an order that was sent before with something else in it, `UnknownItem` and
    /// `UnknownLocation`: nothing is held then.
    pub fn begin(
        api: &'a Api,
        batch: &'a mut Batch,
        holdings: &'a [&'a Holding],
    ) -> Result<Self, ApiError> {
        check_known(batch)?;
        let orders = batch.input().orders.len();
        let mut holds = Self {
            api,
            batch,
            holdings,
            outcomes: vec![Outcome::default(); orders],
            replans: 0,
        };
        for order in 0..orders {
            if order % TURN == TURN - 1 {
                breathe();
            }
            holds.look_up(order as u32)?;
        }
        Ok(holds)
    }

    /// Goes on with a batch that was looked up.
    pub fn resume(
        api: &'a Api,
        batch: &'a mut Batch,
        holdings: &'a [&'a Holding],
        outcomes: Vec<Outcome>,
    ) -> Self {
        Self {
            api,
            batch,
            holdings,
            outcomes,
            replans: 0,
        }
    }

    /// Orders that nothing is held of yet.
    pub fn open(&self) -> Vec<u32> {
        let open = (0u32..).zip(&self.outcomes);
        open.filter(|(_, outcome)| outcome.held.is_none())
            .map(|(order, _)| order)
            .collect()
    }

    fn meta(&self, order: u32) -> Meta {
        let base = &self.holdings[order as usize].meta;
        Meta {
            request_id: self.holdings[order as usize]
                .id_of(&self.batch.names.orders[order as usize]),
            sent: State::fingerprint_sent(&self.sent(order)),
            ..base.clone()
        }
    }

    /// What a retry of an order must agree in: all that is asked, not where it is planned from and at what cost.
    fn sent(&self, order: u32) -> Vec<u8> {
        let (input, names) = (self.batch.input(), &self.batch.names);
        let asked = &input.orders[order as usize];
        let mut bytes = Vec::with_capacity(64 + 32 * asked.lines.len());
        let mut text = |value: &str| {
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            bytes.extend_from_slice(value.as_bytes());
        };
        text(&names.customers[asked.customer as usize]);
        text(&names.segments[asked.segment as usize]);
        text(&names.zones[asked.zone as usize]);
        for line in asked.lines.clone() {
            text(&names.items[input.lines[line as usize].item as usize]);
        }
        for line in asked.lines.clone() {
            bytes.extend_from_slice(&names.lines[line as usize].to_le_bytes());
            bytes.extend_from_slice(&input.lines[line as usize].quantity.to_le_bytes());
        }
        let holding = self.holdings[order as usize];
        let expires = holding.expires_in_ms.unwrap_or(0);
        bytes.extend_from_slice(&expires.to_le_bytes());
        bytes.extend_from_slice(&asked.max_packages.to_le_bytes());
        bytes.extend_from_slice(&[asked.tier, asked.class]);
        let flags = [asked.ship_complete, holding.confirm].map(u8::from);
        bytes.extend_from_slice(&flags);
        bytes
    }

    /// Finds the answer that was given under an order's id, if any: a command that makes no sense is answered by it, and
    /// is an error that changes nothing otherwise.
    fn look_up(&mut self, order: u32) -> Result<(), ApiError> {
        let nothing = || {
            Ok(Command::Reserve(Reserve {
                lines: smallvec::SmallVec::new(),
                terms: HoldTerms::default(),
            }))
        };
        let seen =
            self.api
                .store()
                .write(Ok(self.meta(order)), |_| nothing(), |_, answer| Ok(answer));
        self.batch.revision = self.batch.revision.max(seen.revision);
        match seen.result {
            Ok(answer) => {
                let outcome = &mut self.outcomes[order as usize];
                outcome.held = Some(held(&answer)?);
                outcome.replayed = true;
                outcome.tried = true;
                Ok(())
            }
            Err(ApiError::Engine(EngineError::InvalidArgument { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Holds what is planned. What no longer fits is planned again with what is there now.
    ///
    /// `choice` is changed to what is really held: option by line of the batch.
    ///
    /// # Errors
    /// Those of the partition, and `DeadlinePassed` when the caller is gone. What was held until then stays: see
    /// [`Outcome::is_new`].
    pub fn take(
        &mut self,
        choice: &mut [u32],
        terms: &Terms,
        caller: &Caller<'_>,
    ) -> Result<(), ApiError> {
        let mut open = self.open();
        for round in 0..=ROUNDS {
            let is_last = round == ROUNDS || caller.is_gone();
            let mut short = Vec::new();
            for (at, order) in open.into_iter().enumerate() {
                if at % TURN == TURN - 1 {
                    breathe();
                    self.keep_pace()?;
                }
                if caller.is_gone() {
                    return Err(ApiError::DeadlinePassed);
                }
                if choice[self.batch.lines_of(order)]
                    .iter()
                    .all(|option| *option == NONE)
                {
                    continue;
                }
                match self.try_order(order, choice, is_last)? {
                    Tried::Held(held, replayed) => {
                        let outcome = &mut self.outcomes[order as usize];
                        outcome.held = Some(*held);
                        outcome.replayed = replayed;
                        outcome.refusal = None;
                    }
                    Tried::Short => {
                        self.outcomes[order as usize].refusal = Some(Refusal::InsufficientStock);
                        short.push(order);
                    }
                    Tried::Refused(refusal) => {
                        self.outcomes[order as usize].refusal = Some(refusal);
                        choice[self.batch.lines_of(order)].fill(NONE);
                    }
                }
            }
            if short.is_empty() || is_last {
                for order in short {
                    choice[self.batch.lines_of(order)].fill(NONE);
                }
                return Ok(());
            }
            self.plan_again(&short, choice, terms, caller)?;
            open = short;
        }
        Ok(())
    }

    /// Waits for the disk before so much waits for it that the partition would refuse the rest of the batch.
    fn keep_pace(&self) -> Result<(), ApiError> {
        if crowded(self.api) {
            let partition = self.api.store().partition();
            partition.wait_durable(self.batch.revision)?;
        }
        Ok(())
    }

    fn try_order(&mut self, order: u32, choice: &[u32], is_last: bool) -> Result<Tried, ApiError> {
        self.outcomes[order as usize].tried = true;
        let lines = self.planned(order, choice)?;
        let terms = self.terms(order);
        let meta = self.meta(order);
        let is_short = std::cell::Cell::new(false);
        let seen = self.api.store().write(
            Ok(meta),
            |state| {
                // A refusal would count as demand that was not met: an order that can still be served from
                // elsewhere is not asked for here.
                if !is_last && !fits(state, &lines) {
                    is_short.set(true);
                    return Err(ApiError::Internal("the stock is gone".to_owned()));
                }
                Ok(Command::Reserve(Reserve { lines, terms }))
            },
            |_, answer| Ok(answer),
        );
        self.batch.revision = self.batch.revision.max(seen.revision);
        let answer = match seen.result {
            Ok(answer) => answer,
            Err(_) if is_short.get() => return Ok(Tried::Short),
            Err(error) => return Err(error),
        };
        let hold = reply::hold(&answer)?;
        for line in &hold.lines {
            self.api.metrics().refused(line.refusal);
        }
        if hold.reservation.is_some() {
            return Ok(Tried::Held(Box::new(hold.clone()), answer.replayed));
        }
        let refusals = hold.lines.iter().filter_map(|line| line.refusal);
        let refusal = refusals.min().unwrap_or(Refusal::InsufficientStock);
        Ok(match refusal {
            Refusal::InsufficientStock if !is_last => Tried::Short,
            refusal => Tried::Refused(refusal),
        })
    }

    fn planned(
        &self,
        order: u32,
        choice: &[u32],
    ) -> Result<smallvec::SmallVec<[ReserveLine; 1]>, ApiError> {
        let planned = self
            .batch
            .lines_of(order)
            .filter(|line| choice[*line] != NONE);
        planned
            .map(|number| line(self.batch, number, choice[number]))
            .collect()
    }

    fn terms(&self, order: u32) -> HoldTerms {
        let names = &self.batch.names;
        let asked = &self.batch.input().orders[order as usize];
        let holding = self.holdings[order as usize];
        HoldTerms {
            fill: FillPolicy::AllOrNone,
            expires_in_ms: holding.expires_in_ms,
            order_ref: names.orders[order as usize].as_str().into(),
            customer: names.customers[asked.customer as usize].as_str().into(),
            segment: names.segments[asked.segment as usize].as_str().into(),
            tier: asked.tier,
            rule: None,
            confirm: holding.confirm,
        }
    }

    /// Plans orders anew with what the others leave of the limits, and what the engine has now.
    fn plan_again(
        &mut self,
        orders: &[u32],
        choice: &mut [u32],
        terms: &Terms,
        caller: &Caller<'_>,
    ) -> Result<(), ApiError> {
        self.replans += orders.len() as u64;
        // What was held before has left the stock that was seen, unless the caller said what there is; of windows it
        // has its part in any case.
        let own_stock = self.batch.own_stock;
        let (mut used, mut left) = (Used::default(), Used::default());
        for (order, outcome) in (0u32..).zip(&self.outcomes) {
            if outcome.held.is_some() {
                left.add(&self.batch.problem, order, choice);
                if !(own_stock && outcome.replayed) {
                    used.add(&self.batch.problem, order, choice);
                }
            }
        }
        let mut input = subset(self.batch.input(), orders);
        let places = places(&input.stock);
        let mut revision = self.batch.revision;
        let units = snapshot::units(self.api, &self.batch.known, &places, &mut revision)?;
        self.batch.revision = revision;
        let mut now = places.iter().zip(units).map(|(_, units)| units);
        for row in &mut input.stock {
            let left = (row.units - used.of(row.item, row.location, row.class)).max(0);
            row.units = match (row.class, own_stock) {
                (0, true) => now.next().unwrap_or(0),
                (0, false) => left.min(now.next().unwrap_or(0)),
                _ => left,
            };
        }
        left.take_windows(&mut input);
        let terms = Terms {
            floors: Vec::new(),
            ..terms.clone()
        };
        let until: Instant = caller.until(AGAIN.min(terms.budget));
        let problem = Problem::new(input)?;
        let found = solve::search(&problem, &terms, caller, until)?;
        let mut lines = found.choice.iter();
        for &order in orders {
            self.outcomes[order as usize].replanned += 1;
            for (line, chosen) in self.batch.lines_of(order).zip(&mut lines) {
                choice[line] = *chosen;
            }
        }
        Ok(())
    }
}

/// A line of a batch as the engine holds it.
///
/// # Errors
/// `UnknownLocation` for one that the engine does not know.
pub fn line(batch: &Batch, number: usize, option: u32) -> Result<ReserveLine, ApiError> {
    let known = &batch.known;
    let wanted = &batch.input().lines[number];
    let location = batch.problem.options()[option as usize].location;
    let quantity = u64::try_from(wanted.quantity).ok().and_then(Units::new);
    let place = known.items[wanted.item as usize].zip(known.locations[location as usize]);
    let Some(((item, location), quantity)) = place.zip(quantity) else {
        let name = &batch.names.locations[location as usize];
        return Err(EngineError::UnknownLocation(crate::error::shorten(name)).into());
    };
    Ok(ReserveLine {
        item,
        location,
        quantity,
        ship_time: None,
        latest: None,
    })
}

/// Whether every line can be had now, lines of the same position together.
fn fits(state: &State, lines: &[ReserveLine]) -> bool {
    let now = state.now();
    let same = |a: &ReserveLine, item: ItemId, location: LocationId| {
        a.item == item && a.location == location
    };
    lines.iter().enumerate().all(|(at, line)| {
        let before = lines[..at]
            .iter()
            .filter(|other| same(other, line.item, line.location));
        let wanted: u64 = before.map(|other| other.quantity.get()).sum();
        let available = state.available(line.item, line.location, now).get();
        available >= wanted + line.quantity.get()
    })
}

fn held(answer: &Answer) -> Result<HoldReply, ApiError> {
    reply::hold(answer).cloned()
}
