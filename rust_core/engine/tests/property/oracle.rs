//! What must be true, worked out anew from the list of events by plain loops over definitions.

use std::collections::{BTreeMap, BTreeSet};

use bespeak_engine::limits::DAY_MS;
use bespeak_engine::*;

#[derive(Clone, Debug)]
pub struct Receipt {
    pub position: usize,
    pub kind: ReceiptKind,
    pub open: u64,
    pub counts_from: UtcMillis,
    pub yield_ppm: u32,
    pub overdue: bool,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub position: usize,
    pub ship: UtcMillis,
    pub open: u64,
    pub fulfilled: u64,
}

#[derive(Clone, Debug)]
pub struct Hold {
    pub state: ReservationState,
    pub customer: String,
    pub created_at: UtcMillis,
    pub expires_at: UtcMillis,
    /// Something of it has left or was given back.
    pub touched: bool,
    pub lines: Vec<Line>,
}

/// A movement of stock as it was told.
#[derive(Clone, Copy, Debug)]
struct Movement {
    position: usize,
    status: StockStatus,
    at: UtcMillis,
    delta: i64,
}

/// The world after a list of records.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub now: UtcMillis,
    pub places: Vec<(ItemId, LocationId)>,
    stock: BTreeMap<(usize, u8), i64>,
    buffers: BTreeMap<usize, u64>,
    location_rules: BTreeMap<LocationId, SupplyRule>,
    position_rules: BTreeMap<usize, SupplyRule>,
    pub receipts: BTreeMap<ReceiptNo, Receipt>,
    pub holds: BTreeMap<ReservationId, Hold>,
    moves: Vec<Movement>,
    counts: BTreeMap<(usize, u8), UtcMillis>,
    pub shocks: BTreeMap<ShockId, usize>,
    pub made: u64,
    /// Since when the customer has held what the record at hand gives another hold for.
    since: Option<UtcMillis>,
    /// Holds that ran out and can no longer be taken again.
    pub lapsed: BTreeSet<ReservationId>,
    /// Places told by themselves: whether they follow a forecast.
    follows: BTreeMap<usize, bool>,
    location_follows: BTreeSet<LocationId>,
    derived: BTreeSet<usize>,
}

impl Oracle {
    /// Applies all events in order; an error is an event that should not have been.
    pub fn of(journal: &[Record]) -> Result<Self, String> {
        let mut oracle = Self::default();
        for record in journal {
            // Only what takes its place is held in the step that gives a hold back.
            oracle.since = record.events.iter().find_map(|event| match event {
                Event::Released(id, ..) => Some(oracle.holds.get(id)?.created_at),
                _ => None,
            });
            for event in &record.events {
                oracle
                    .apply(event, record)
                    .map_err(|why| format!("record {}: {event:?}: {why}", record.revision))?;
            }
            oracle.now = record.time;
        }
        Ok(oracle)
    }

    fn apply(&mut self, event: &Event, record: &Record) -> Result<(), String> {
        match event {
            Event::PositionCreated(id, item, location) => {
                expect(
                    id.index() == self.places.len(),
                    "its number is not the next",
                )?;
                self.places.push((*item, *location));
            }
            Event::BufferSet(id, units) => {
                self.buffers.insert(id.index(), units.get());
                self.derived.remove(&id.index());
                if self.follows.get(&id.index()) == Some(&true) {
                    self.follows.insert(id.index(), false);
                }
            }
            Event::BufferPolicyPut(scope, policy) => match (scope, policy) {
                (RuleScope::Location(location), BufferPolicy::Forecast(_)) => {
                    self.location_follows.insert(*location);
                }
                (RuleScope::Location(location), _) => {
                    self.location_follows.remove(location);
                }
                (RuleScope::Position(item, location), policy) => {
                    let place = self.find(*item, *location).ok_or("no such position")?;
                    match policy {
                        BufferPolicy::Inherit => self.follows.remove(&place),
                        BufferPolicy::Static => self.follows.insert(place, false),
                        BufferPolicy::Forecast(_) => self.follows.insert(place, true),
                    };
                }
            },
            Event::BuffersDerived(derived) => {
                for (id, units) in &derived.buffers {
                    let place = id.index();
                    let kept = self.buffers.get(&place).copied().unwrap_or(0);
                    let planned = kept > 0 && !self.derived.contains(&place);
                    let follows = match self.follows.get(&place) {
                        Some(own) => *own,
                        None => !planned && self.location_follows.contains(&self.places[place].1),
                    };
                    expect(follows, "a planner's buffer is overwritten")?;
                    self.buffers.insert(place, units.get());
                    self.derived.insert(place);
                }
            }
            Event::RulePut(RuleScope::Location(location), rule) => {
                self.location_rules.insert(*location, *rule);
            }
            Event::RulePut(RuleScope::Position(item, location), rule) => {
                let place = self.find(*item, *location).ok_or("no such position")?;
                self.position_rules.insert(place, *rule);
            }
            Event::CountTaken {
                position,
                status,
                counted,
                counted_at,
                on_hand,
            } => {
                let place = (position.index(), *status as u8);
                let newer = self.counts.insert(place, *counted_at);
                expect(
                    newer.is_none_or(|newer| newer <= *counted_at),
                    "a newer count was told before",
                )?;
                let later = self.moves.iter().filter(|one| {
                    one.position == position.index()
                        && one.status == *status
                        && one.at > *counted_at
                });
                let expected = counted.get() as i64 + later.map(|one| one.delta).sum::<i64>();
                expect(
                    *on_hand == expected,
                    &format!("{expected} should be on hand"),
                )?;
                self.stock
                    .insert((position.index(), *status as u8), *on_hand);
            }
            Event::Moved {
                position,
                status,
                delta,
                at,
                ..
            } => {
                // What is told of now comes after a count of now; what is told late may not lie before it.
                expect(
                    self.last_count(position.index(), *status)
                        .is_none_or(|count| *at >= count),
                    "the last count has it already",
                )?;
                *self
                    .stock
                    .entry((position.index(), *status as u8))
                    .or_default() += delta;
                self.moves.push(Movement {
                    position: position.index(),
                    status: *status,
                    at: *at,
                    delta: *delta,
                });
            }
            Event::MovedBeforeCount {
                position,
                status,
                at,
                ..
            } => expect(
                self.last_count(position.index(), *status)
                    .is_some_and(|count| *at <= count),
                "no count has it",
            )?,
            Event::ReceiptScheduled {
                no,
                position,
                kind,
                plan,
                ..
            } => {
                let receipt = Receipt {
                    position: position.index(),
                    kind: *kind,
                    open: plan.open.get(),
                    counts_from: plan.counts_from,
                    yield_ppm: plan.yield_ppm,
                    overdue: false,
                };
                self.receipts.insert(*no, receipt);
            }
            Event::ReceiptChanged(no, plan) => {
                let receipt = self.receipts.get_mut(no).ok_or("no such receipt")?;
                receipt.overdue &= receipt.counts_from == plan.counts_from;
                receipt.open = plan.open.get();
                receipt.counts_from = plan.counts_from;
                receipt.yield_ppm = plan.yield_ppm;
            }
            Event::ReceiptReceived { no, received, open } => {
                let receipt = self.receipts.get_mut(no).ok_or("no such receipt")?;
                expect(
                    receipt.open == received.get() + open.get(),
                    "units were lost",
                )?;
                receipt.open = open.get();
            }
            Event::ReceiptsJudged(scope) => {
                for no in self.receipts.keys().copied().collect::<Vec<_>>() {
                    let (item, location) = self.places[self.receipts[&no].position];
                    let meant = match *scope {
                        RuleScope::Location(at) => location == at,
                        RuleScope::Position(of, at) => (item, location) == (of, at),
                    };
                    let overdue = self.overdue_at(&self.receipts[&no]) <= record.time;
                    if let Some(receipt) = self.receipts.get_mut(&no).filter(|_| meant) {
                        receipt.overdue = overdue;
                    }
                }
            }
            Event::ReceiptClosed(no) => {
                self.receipts.remove(no).ok_or("no such receipt")?;
            }
            Event::ReceiptOverdue(no) => {
                let due = self.overdue_at(&self.receipts[no]);
                // Planned for a time that has passed, it is overdue at once; time alone brings it exactly then.
                let told = record.reply.is_some() && due <= record.time;
                expect(
                    told || record.time == due.max(self.now),
                    "it is overdue at another time",
                )?;
                self.receipts.get_mut(no).ok_or("no such receipt")?.overdue = true;
            }
            Event::ShockRaised {
                shock,
                position,
                shortfall,
                ..
            } => {
                let lowest =
                    self.lowest(position.index(), record.time, &[]) + self.buffer(position.index());
                expect(
                    lowest == -(shortfall.get() as i64) && lowest < 0,
                    "another shortfall",
                )?;
                self.shocks.insert(*shock, position.index());
            }
            Event::ShockResolved(shock, _) => {
                self.shocks.remove(shock).ok_or("no such shock")?;
            }
            other => self.apply_hold(other, record)?,
        }
        Ok(())
    }

    fn apply_hold(&mut self, event: &Event, record: &Record) -> Result<(), String> {
        match event {
            Event::Held(held) => {
                self.made += 1;
                expect(
                    held.reservation.0 == self.made,
                    "its number is not the next",
                )?;
                let lines = held.lines.iter().map(|line| Line {
                    position: line.position.index(),
                    ship: line.ship_time,
                    open: line.quantity.get(),
                    fulfilled: 0,
                });
                let hold = Hold {
                    state: held
                        .expires_at
                        .map_or(ReservationState::Confirmed, |_| ReservationState::Held),
                    customer: held.customer.to_string(),
                    created_at: self.since.unwrap_or(record.time),
                    touched: false,
                    expires_at: held.expires_at.unwrap_or(UtcMillis::ZERO),
                    lines: lines.collect(),
                };
                self.holds.insert(held.reservation, hold);
            }
            Event::Extended(id, at) => self.hold(*id)?.expires_at = *at,
            Event::Confirmed(id) => {
                let hold = self.hold(*id)?;
                expect(hold.state == ReservationState::Held, "it is not held")?;
                expect(hold.expires_at > record.time, "it had expired")?;
                hold.state = ReservationState::Confirmed;
            }
            Event::Reacquired(id, times) => {
                let hold = self.hold(*id)?;
                expect(
                    hold.state == ReservationState::Expired,
                    "it has not expired",
                )?;
                hold.state = ReservationState::Confirmed;
                for (line, time) in hold.lines.iter_mut().zip(times) {
                    expect(*time == line.ship.max(record.time), "another ship time")?;
                    line.ship = *time;
                }
            }
            Event::Expired(id) => {
                let before = self.now;
                let hold = self.hold(*id)?;
                expect(hold.state == ReservationState::Held, "it is not held")?;
                expect(
                    record.time == hold.expires_at.max(before),
                    "it expires at another time",
                )?;
                hold.state = ReservationState::Expired;
            }
            Event::Lapsed(id) => {
                self.lapsed.insert(*id);
                let hold = self.holds.remove(id).ok_or("no such reservation")?;
                expect(
                    hold.state == ReservationState::Expired,
                    "it has not expired",
                )?;
            }
            Event::Fulfilled(id, line, units) => self.take(*id, *line, units.get(), true)?,
            Event::Released(id, line, units) => self.take(*id, *line, units.get(), false)?,
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, id: ReservationId, line: u32, units: u64, left: bool) -> Result<(), String> {
        let hold = self.hold(id)?;
        hold.touched |= units > 0;
        let line = hold.lines.get_mut(line as usize).ok_or("no such line")?;
        expect(units <= line.open, "more than is open")?;
        line.open -= units;
        line.fulfilled += if left { units } else { 0 };
        if hold.lines.iter().all(|line| line.open == 0) {
            self.holds.remove(&id);
        }
        Ok(())
    }

    fn hold(&mut self, id: ReservationId) -> Result<&mut Hold, String> {
        self.holds
            .get_mut(&id)
            .ok_or_else(|| "no such reservation".to_owned())
    }

    pub fn find(&self, item: ItemId, location: LocationId) -> Option<usize> {
        self.places
            .iter()
            .position(|place| *place == (item, location))
    }

    pub fn on_hand(&self, place: usize, status: StockStatus) -> i64 {
        self.stock.get(&(place, status as u8)).copied().unwrap_or(0)
    }

    pub fn last_count(&self, place: usize, status: StockStatus) -> Option<UtcMillis> {
        self.counts.get(&(place, status as u8)).copied()
    }

    fn buffer(&self, place: usize) -> i64 {
        self.buffers.get(&place).copied().unwrap_or(0) as i64
    }

    pub fn rule(&self, place: Option<usize>, location: LocationId) -> SupplyRule {
        let own = place.and_then(|place| self.position_rules.get(&place));
        let rule = own.or_else(|| self.location_rules.get(&location));
        rule.copied().unwrap_or_default()
    }

    fn rule_at(&self, place: usize) -> SupplyRule {
        self.rule(Some(place), self.places[place].1)
    }

    /// The first instant at which a receipt no longer counts. All locations are in UTC.
    pub fn overdue_at(&self, receipt: &Receipt) -> UtcMillis {
        let from = receipt.counts_from;
        match self.rule_at(receipt.position).late_grace {
            LateGrace::EndOfDay => UtcMillis::new((from.get().div_euclid(DAY_MS) + 1) * DAY_MS),
            LateGrace::Millis(ms) => from.plus(ms + 1),
        }
    }

    /// What is planned at a place: when and how much, supply positive.
    fn planned(&self, place: usize) -> Vec<(UtcMillis, i64)> {
        let rule = self.rule_at(place);
        let receipts = self.receipts.values().filter(|one| one.position == place);
        let mut planned: Vec<(UtcMillis, i64)> = receipts
            .filter(|one| !one.overdue && rule.counts_kind(one.kind))
            .map(|one| {
                (
                    one.counts_from,
                    (one.open * u64::from(one.yield_ppm) / 1_000_000) as i64,
                )
            })
            .collect();
        for hold in self.holds.values() {
            if matches!(
                hold.state,
                ReservationState::Held | ReservationState::Confirmed
            ) {
                let lines = hold.lines.iter().filter(|line| line.position == place);
                planned.extend(lines.map(|line| (line.ship, -(line.open as i64))));
            }
        }
        planned
    }

    /// The lowest P(u) − buffer over all u ≥ t, with more commitments than are stored.
    pub fn lowest(&self, place: usize, t: UtcMillis, taken: &[(usize, UtcMillis, u64)]) -> i64 {
        let mut planned = self.planned(place);
        let mine = taken.iter().filter(|(other, ..)| *other == place);
        planned.extend(mine.map(|(_, at, units)| (*at, -(*units as i64))));
        let rule = self.rule_at(place);
        let stock: i64 = [
            StockStatus::Unrestricted,
            StockStatus::Quality,
            StockStatus::Blocked,
        ]
        .into_iter()
        .filter(|status| rule.counts_status(*status))
        .map(|status| self.on_hand(place, status))
        .sum();
        let balance = |u: UtcMillis| {
            let by_then = planned.iter().filter(|(at, _)| *at <= u);
            stock - self.buffer(place) + by_then.map(|(_, change)| change).sum::<i64>()
        };
        let later = planned.iter().map(|(at, _)| *at).filter(|at| *at > t);
        later
            .chain([t])
            .map(balance)
            .min()
            .expect("t itself is there")
    }

    pub fn available(&self, place: usize, t: UtcMillis, taken: &[(usize, UtcMillis, u64)]) -> u64 {
        self.lowest(place, t, taken).max(0) as u64
    }

    /// The first instant from t on, within the horizon, at which so much can be promised.
    pub fn earliest(
        &self,
        place: usize,
        t: UtcMillis,
        quantity: u64,
        taken: &[(usize, UtcMillis, u64)],
    ) -> Option<UtcMillis> {
        let horizon = self.now.plus(self.rule_at(place).horizon_ms);
        let mut times: Vec<UtcMillis> = self.planned(place).iter().map(|(at, _)| *at).collect();
        times.extend(taken.iter().map(|(_, at, _)| *at));
        times.push(t);
        times.retain(|at| *at >= t && *at <= horizon.max(t));
        times.sort();
        times
            .into_iter()
            .find(|at| self.available(place, *at, taken) >= quantity)
    }

    pub fn held_units(&self, customer: &str) -> u64 {
        let holds = self.holds.values();
        holds
            .filter(|hold| hold.state == ReservationState::Held && hold.customer == customer)
            .flat_map(|hold| &hold.lines)
            .map(|line| line.open)
            .sum()
    }
}

fn expect(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_owned()) }
}
