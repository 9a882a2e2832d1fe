//! Applies records. The only code that changes state: live steps and replay both come through here.

mod buffers;
mod receipts;
mod rules;

use crate::catalog_types::RuleScope;
use crate::event::{Event, Held, ReceiptPlan, Record};
use crate::ids::{PositionId, ReservationId, Units, UtcMillis};
use crate::movements::Movement;
use crate::position::Position;
use crate::reply::ReservationState;
use crate::requests::Remembered;
use crate::reservations::{Labels, Line, Reservation};
use crate::shock::OpenShock;
use crate::state::State;
use crate::timeline::{Entry, EntryKey};

/// A record that does not fit the state: the journal is damaged or of another history.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("record {revision} does not follow from the state at revision {at}: {why}")]
pub struct ReplayError {
    /// The record's revision.
    pub revision: u64,
    /// Revision of the state.
    pub at: u64,
    /// What does not fit.
    pub why: &'static str,
}

impl Record {
    /// Whether its answer is remembered under its request id: refusals are judged afresh.
    pub fn is_remembered(&self) -> bool {
        use crate::reply::{Outcome, Reply};
        self.meta.request_id != 0
            && match &self.reply {
                Some(Reply::Hold(hold)) => hold.outcome != Outcome::Refused,
                Some(_) => true,
                None => false,
            }
    }
}

impl State {
    /// Applies the next record of the journal.
    ///
    /// # Errors
    /// When the record does not follow from this state. The state is then of no further use.
    pub fn apply(&mut self, record: &Record) -> Result<(), ReplayError> {
        let fail = |why| ReplayError {
            revision: record.revision,
            at: self.revision,
            why,
        };
        if record.revision != self.revision + 1 {
            return Err(fail("its revision is not the next one"));
        }
        if record.time < self.now {
            return Err(fail("its time lies before the state's time"));
        }
        self.touched.clear();
        self.touched_before = 0;
        self.now = record.time;
        self.apply_events(record)?;
        self.finish_record(record);
        Ok(())
    }

    pub(crate) fn apply_events(&mut self, record: &Record) -> Result<(), ReplayError> {
        for event in &record.events {
            self.apply_event(event, record.revision)
                .ok_or(ReplayError {
                    revision: record.revision,
                    at: self.revision,
                    why: "one of its events names something that is not there",
                })?;
        }
        Ok(())
    }

    /// Takes note of who asked, once the events are applied.
    pub(crate) fn finish_record(&mut self, record: &Record) {
        self.revision = record.revision;
        self.recorded = record.time;
        if let Some((source, sequence)) = &record.meta.source
            && !record.events.contains(&Event::NumberKept)
        {
            self.sources.take(source, *sequence);
        }
        if record.is_remembered()
            && let Some(reply) = &record.reply
        {
            self.requests.insert(
                record.meta.request_id,
                Remembered {
                    revision: record.revision,
                    fingerprint: record.fingerprint,
                    time: record.time,
                    reply: reply.clone(),
                },
            );
        }
    }

    pub(crate) fn apply_event(&mut self, event: &Event, revision: u64) -> Option<()> {
        match event {
            Event::ItemPut(id, item) => self.catalog.put_item(*id, item.clone()).then_some(())?,
            Event::LocationPut(id, location) => {
                self.catalog
                    .put_location(*id, location.clone())
                    .then_some(())?;
            }
            Event::RegionPut(id, region) => {
                self.catalog.put_region(*id, region.clone()).then_some(())?
            }
            Event::LanePut(lane) => self.catalog.put_lane(lane.clone()).then_some(())?,
            Event::RulePut(scope, rule) => self.apply_rule(*scope, *rule)?,
            Event::PositionCreated(id, item, location) => {
                if item.index() >= self.catalog.items().len()
                    || location.index() >= self.catalog.locations().len()
                {
                    return None;
                }
                self.add_position(*id, Position::new(*item, *location))
                    .then_some(())?;
            }
            Event::BufferSet(id, buffer) => {
                self.set_buffer(*id, *buffer)?;
                self.buffers.set_by_planner(*id);
            }
            Event::Counted {
                position,
                status,
                on_hand,
                ..
            } => {
                let place = self.position_mut(*position)?;
                place.on_hand[*status as usize] = *on_hand;
                place.version += 1;
                self.refresh_position(*position)?;
            }
            Event::Moved {
                position,
                status,
                delta,
                at,
                ..
            } => {
                let now = self.now;
                let place = self.position_mut(*position)?;
                place.on_hand[*status as usize] += *delta;
                place.version += 1;
                let movement = Movement {
                    at: *at,
                    status: *status,
                    delta: *delta,
                };
                self.movements.add(*position, movement, now);
                self.refresh_position(*position)?;
            }
            Event::ReceiptScheduled {
                no,
                name,
                position,
                kind,
                plan,
            } => {
                self.apply_receipt(*no, name, *position, *kind, plan)?;
            }
            Event::ReceiptChanged(no, plan) => self.apply_receipt_plan(*no, plan)?,
            Event::ReceiptReceived { no, received, open } => {
                let old = self.receipts.get(*no)?;
                let plan = ReceiptPlan {
                    open: *open,
                    ..old.plan()
                };
                let total = old.received.checked_add(*received).unwrap_or(old.received);
                self.apply_receipt_plan(*no, &plan)?;
                self.receipts
                    .update(*no, |receipt| receipt.received = total)?;
            }
            Event::ReceiptClosed(no) => {
                let receipt = self.receipts.remove(*no)?;
                let key = EntryKey::receipt(*no);
                let place = self.position_mut(receipt.position)?;
                place
                    .timeline
                    .remove(receipt.counts_from, key)
                    .then_some(())?;
                self.touch(receipt.position);
            }
            Event::ReceiptOverdue(no) => {
                let receipt = self
                    .receipts
                    .update(*no, |receipt| receipt.overdue = true)?;
                let (position, from) = (receipt.position, receipt.counts_from);
                let place = self.position_mut(position)?;
                place
                    .timeline
                    .set_quantity(from, EntryKey::receipt(*no), 0)
                    .then_some(())?;
                self.touch(position);
            }
            Event::Held(held) => self.apply_held(held, revision)?,
            Event::HeldUnder(id, rule) => self.reservations.set_rule(*id, *rule)?,
            Event::HeldSince(id, created_at) => {
                self.reservations
                    .update(*id, |reservation| reservation.created_at = *created_at)?;
            }
            Event::Extended(id, expires_at) => {
                self.reservations
                    .update(*id, |reservation| reservation.expires_at = *expires_at)?;
            }
            Event::Confirmed(id) => {
                self.reservations.update(*id, |reservation| {
                    reservation.state = ReservationState::Confirmed;
                    reservation.expires_at = UtcMillis::ZERO;
                })?;
            }
            Event::Reacquired(id, ship_times) => self.apply_reacquired(*id, ship_times)?,
            Event::Fulfilled(id, line, units) => self.apply_line(*id, *line, *units, true)?,
            Event::Released(id, line, units) => self.apply_line(*id, *line, *units, false)?,
            Event::Expired(id) => {
                self.unbind(*id)?;
                self.reservations.update(*id, |reservation| {
                    reservation.state = ReservationState::Expired
                })?;
            }
            Event::Forgotten(id) => {
                self.reservations.remove(*id)?;
            }
            Event::Lapsed(id) => {
                self.reservations.remove(*id)?;
                self.lapsed.add(*id);
            }
            Event::ShockRaised {
                shock,
                position,
                cause,
                ..
            } => {
                let raised_at = self.now;
                if shock.0 != self.shocks.next_id {
                    return None;
                }
                let place = self.position_mut(*position)?;
                (place.shock.is_none()).then(|| place.shock = Some(*shock))?;
                let open = OpenShock {
                    position: *position,
                    cause: *cause,
                    raised_at,
                };
                self.shocks.open.insert(*shock, open);
                self.shocks.next_id += 1;
            }
            Event::ShockResolved(shock, position) => {
                let place = self.position_mut(*position)?;
                (place.shock == Some(*shock)).then(|| place.shock = None)?;
                self.shocks.open.remove(shock)?;
            }
            Event::DemandUnmet {
                item,
                location,
                day,
                units,
                key,
            } => {
                if location.index() >= self.catalog.locations().len() {
                    return None;
                }
                let today = self.catalog.location(*location).day_of(self.now).max(0) as u32;
                self.unmet
                    .add(today, *day, *item, *location, units.get(), *key);
            }
            Event::CountTaken {
                position,
                status,
                counted_at,
                on_hand,
                ..
            } => {
                let place = self.position_mut(*position)?;
                place.on_hand[*status as usize] = *on_hand;
                place.version += 1;
                self.counts.set(*position, *status, *counted_at);
                self.refresh_position(*position)?;
            }
            Event::ReceiptsJudged(scope) => self.judge_receipts(*scope)?,
            Event::BufferPolicyPut(scope, policy) => self.apply_buffer_policy(*scope, *policy)?,
            Event::BuffersDerived(derived) => self.apply_derived(derived)?,
            Event::Ticked | Event::MovedBeforeCount { .. } | Event::NumberKept => {}
        }
        Some(())
    }

    fn refresh_position(&mut self, id: PositionId) -> Option<()> {
        self.touch(id);
        let rule = *self.rule_of(self.position(id));
        self.position_mut(id)?.refresh_base(&rule);
        Some(())
    }

    fn apply_rule(
        &mut self,
        scope: RuleScope,
        rule: crate::catalog_types::SupplyRule,
    ) -> Option<()> {
        let affected: Vec<PositionId> = match scope {
            RuleScope::Location(location) => {
                self.catalog
                    .put_location_rule(location, rule)
                    .then_some(())?;
                self.positions()
                    .filter(|(_, position)| position.location == location && position.rule == 0)
                    .map(|(id, _)| id)
                    .collect()
            }
            RuleScope::Position(item, location) => {
                let id = self.position_id(item, location)?;
                // Rules are shared by value: a thousand positions with the same rule keep it once.
                let known = self
                    .position_rules
                    .iter()
                    .skip(1)
                    .position(|known| *known == rule);
                let number = match known {
                    Some(n) => n + 1,
                    None => {
                        let free = self.free_rule(Some(id))?;
                        match self.position_rules.get_mut(free) {
                            Some(place) => *place = rule,
                            None => self.position_rules.push(rule),
                        }
                        free
                    }
                };
                self.position_mut(id)?.rule = number as u16;
                vec![id]
            }
        };
        for id in affected {
            self.refresh_position(id)?;
            for no in self.receipts_of(id) {
                let plan = self.receipts.get(no)?.plan();
                let overdue = self.receipts.get(no)?.overdue;
                self.set_receipt_plan(no, &plan, overdue)?;
            }
        }
        Some(())
    }

    fn apply_held(&mut self, held: &Held, revision: u64) -> Option<()> {
        // Numbers follow each other: one far ahead would take memory for all between.
        if held.reservation.0 != self.reservations.next_id {
            return None;
        }
        for (n, line) in held.lines.iter().enumerate() {
            let entry = Entry {
                time: line.ship_time,
                key: EntryKey::commitment(held.reservation, n as u16),
                quantity: -line.quantity.balance(),
            };
            self.position_mut(line.position)?.timeline.insert(entry);
            self.touch(line.position);
        }
        let labelled =
            !(held.order_ref.is_empty() && held.customer.is_empty() && held.segment.is_empty());
        let labels = labelled.then(|| {
            Box::new(Labels {
                order_ref: held.order_ref.clone(),
                customer: held.customer.clone(),
                segment: held.segment.clone(),
            })
        });
        let lines = held
            .lines
            .iter()
            .map(|line| Line {
                position: line.position,
                ship_time: line.ship_time,
                open: line.quantity,
                fulfilled: Units::ZERO,
                released: Units::ZERO,
            })
            .collect();
        let state = match held.expires_at {
            Some(_) => ReservationState::Held,
            None => ReservationState::Confirmed,
        };
        let reservation = Reservation {
            state,
            tier: held.tier,
            created_at: self.now,
            created_revision: revision,
            expires_at: held.expires_at.unwrap_or(UtcMillis::ZERO),
            labels,
            lines,
        };
        self.reservations.insert(held.reservation, reservation);
        Some(())
    }

    fn apply_line(&mut self, id: ReservationId, line: u32, units: Units, left: bool) -> Option<()> {
        let (position, time, open) = self.reservations.update(id, |reservation| {
            let place = reservation.lines.get_mut(line as usize)?;
            if units > place.open {
                return None;
            }
            place.open = place.open.saturating_sub(units);
            let total = if left {
                &mut place.fulfilled
            } else {
                &mut place.released
            };
            *total = total.checked_add(units)?;
            Some((place.position, place.ship_time, place.open))
        })??;
        let key = EntryKey::commitment(id, line as u16);
        let timeline = &mut self.position_mut(position)?.timeline;
        if open.is_zero() {
            timeline.remove(time, key).then_some(())?;
        } else {
            timeline
                .set_quantity(time, key, -open.balance())
                .then_some(())?;
        }
        self.touch(position);
        if self.reservations.get(id)?.open_units() == 0 {
            self.reservations.remove(id)?;
        }
        Some(())
    }

    /// Takes all open lines out of their timelines.
    fn unbind(&mut self, id: ReservationId) -> Option<()> {
        let lines = self.reservations.get(id)?.lines.clone();
        for (n, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.open.is_zero())
        {
            let key = EntryKey::commitment(id, n as u16);
            let timeline = &mut self.position_mut(line.position)?.timeline;
            timeline.remove(line.ship_time, key).then_some(())?;
            self.touch(line.position);
        }
        Some(())
    }

    fn apply_reacquired(&mut self, id: ReservationId, ship_times: &[UtcMillis]) -> Option<()> {
        let lines = self.reservations.update(id, |reservation| {
            if ship_times.len() != reservation.lines.len() {
                return None;
            }
            for (line, ship_time) in reservation.lines.iter_mut().zip(ship_times) {
                line.ship_time = *ship_time;
            }
            reservation.state = ReservationState::Confirmed;
            reservation.expires_at = UtcMillis::ZERO;
            Some(reservation.lines.clone())
        })??;
        for (n, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| !line.open.is_zero())
        {
            let entry = Entry {
                time: line.ship_time,
                key: EntryKey::commitment(id, n as u16),
                quantity: -line.open.balance(),
            };
            self.position_mut(line.position)?.timeline.insert(entry);
            self.touch(line.position);
        }
        Some(())
    }
}
