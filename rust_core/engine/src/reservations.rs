//! Open reservations, the times at which holds run out, and what each customer holds.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::command::RuleOverride;
use crate::due::DueQueue;
use crate::ids::{PositionId, ReservationId, Units, UtcMillis};
use crate::limits::REACQUIRE_MS;
use crate::reply::ReservationState;
use crate::slab::Table;

/// One line of a reservation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Where it is promised from.
    pub position: PositionId,
    /// When it ships.
    pub ship_time: UtcMillis,
    /// Units still to leave.
    pub open: Units,
    /// Units that left.
    pub fulfilled: Units,
    /// Units given back.
    pub released: Units,
}

/// What most reservations do without.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Labels {
    pub order_ref: Box<str>,
    pub customer: Box<str>,
    pub segment: Box<str>,
}

/// One answer to one customer order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reservation {
    pub(crate) state: ReservationState,
    pub(crate) tier: u8,
    pub(crate) created_at: UtcMillis,
    pub(crate) created_revision: u64,
    /// When the hold runs out, or ran out; zero once confirmed.
    pub(crate) expires_at: UtcMillis,
    pub(crate) labels: Option<Box<Labels>>,
    pub(crate) lines: SmallVec<[Line; 1]>,
}

impl Reservation {
    /// Where it stands in its life.
    pub fn state(&self) -> ReservationState {
        self.state
    }

    /// Order in which promises are kept in a shortage.
    pub fn tier(&self) -> u8 {
        self.tier
    }

    /// When it was made, or the hold that it took the place of.
    pub fn created_at(&self) -> UtcMillis {
        self.created_at
    }

    /// Journal position that made it.
    pub fn created_revision(&self) -> u64 {
        self.created_revision
    }

    /// When the hold runs out, or ran out; zero once confirmed.
    pub fn expires_at(&self) -> UtcMillis {
        self.expires_at
    }

    /// Its lines.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The caller's order.
    pub fn order_ref(&self) -> &str {
        self.labels.as_ref().map_or("", |labels| &labels.order_ref)
    }

    /// Whose it is.
    pub fn customer(&self) -> &str {
        self.labels.as_ref().map_or("", |labels| &labels.customer)
    }

    /// Demand class.
    pub fn segment(&self) -> &str {
        self.labels.as_ref().map_or("", |labels| &labels.segment)
    }

    pub(crate) fn open_units(&self) -> u64 {
        self.lines.iter().map(|line| line.open.get()).sum()
    }

    /// Holds stock: its open lines stand in the timelines of their positions.
    pub(crate) fn binds(&self) -> bool {
        matches!(
            self.state,
            ReservationState::Held | ReservationState::Confirmed
        )
    }

    /// The next transition that time brings.
    pub(crate) fn due(&self) -> Option<UtcMillis> {
        match self.state {
            ReservationState::Held => Some(self.expires_at),
            ReservationState::Expired => Some(self.expires_at.plus(REACQUIRE_MS)),
            _ => None,
        }
    }
}

/// Whether a reservation's next transition is at that time.
fn is_due(table: &Table<Reservation>) -> impl Fn(UtcMillis, ReservationId) -> bool + '_ {
    |at, id| table.get(id.0).is_some_and(|found| found.due() == Some(at))
}

/// All reservations that are not finished.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reservations {
    table: Table<Reservation>,
    due: DueQueue<ReservationId>,
    held_units: HashMap<Box<str>, u64, foldhash::fast::FixedState>,
    /// Stricter rules of holds that are not confirmed; few have one.
    rules: BTreeMap<ReservationId, RuleOverride>,
    pub next_id: u64,
    pub held: u64,
    pub confirmed: u64,
    pub expired: u64,
}

impl Reservations {
    pub fn new(hasher: foldhash::fast::FixedState) -> Self {
        Self {
            held_units: HashMap::with_hasher(hasher),
            next_id: 1,
            ..Self::default()
        }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn get(&self, id: ReservationId) -> Option<&Reservation> {
        self.table.get(id.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ReservationId, &Reservation)> {
        self.table
            .iter()
            .map(|(id, reservation)| (ReservationId(id), reservation))
    }

    pub fn iter_from(
        &self,
        first: ReservationId,
    ) -> impl Iterator<Item = (ReservationId, &Reservation)> {
        self.table
            .iter_from(first.0)
            .map(|(id, reservation)| (ReservationId(id), reservation))
    }

    pub fn first_due(&self) -> Option<(UtcMillis, ReservationId)> {
        self.due.first()
    }

    /// The stricter rule that a hold was made under.
    pub fn rule(&self, id: ReservationId) -> Option<&RuleOverride> {
        self.rules.get(&id)
    }

    /// Holds with a rule of their own.
    pub fn rules(&self) -> &BTreeMap<ReservationId, RuleOverride> {
        &self.rules
    }

    /// Keeps the rule of a hold; `None` where it is no hold.
    pub fn set_rule(&mut self, id: ReservationId, rule: RuleOverride) -> Option<()> {
        self.get(id)?.due()?;
        self.rules.insert(id, rule);
        Some(())
    }

    /// Units in holds of a customer that are not confirmed.
    pub fn held_units(&self, customer: &str) -> u64 {
        self.held_units.get(customer).copied().unwrap_or(0)
    }

    /// Customers with units in holds that are not confirmed.
    pub fn customers(&self) -> usize {
        self.held_units.len()
    }

    pub fn insert(&mut self, id: ReservationId, reservation: Reservation) {
        self.count(&reservation, true);
        let due = reservation.due();
        self.table.insert(id.0, reservation);
        if let Some(at) = due {
            self.due.insert(at, id, is_due(&self.table));
        }
        self.next_id = self.next_id.max(id.0 + 1);
    }

    /// Changes a reservation and keeps counts and expiry order right.
    pub fn update<R>(
        &mut self,
        id: ReservationId,
        change: impl FnOnce(&mut Reservation) -> R,
    ) -> Option<R> {
        let reservation = self.table.get(id.0)?;
        let before = reservation.due();
        let tally = (reservation.state, reservation.open_units());
        let reservation = self.table.get_mut(id.0)?;
        let result = change(reservation);
        let after = reservation.due();
        let now = (reservation.state, reservation.open_units());
        if tally != now {
            let customer = Box::<str>::from(reservation.customer());
            self.tally(&customer, tally.0, tally.1, false);
            self.tally(&customer, now.0, now.1, true);
        }
        // A confirmed promise is not checked again.
        if after.is_none() {
            self.rules.remove(&id);
        }
        if before != after {
            if before.is_some() {
                self.due.forget(is_due(&self.table));
            }
            if let Some(at) = after {
                self.due.insert(at, id, is_due(&self.table));
            }
        }
        Some(result)
    }

    pub fn remove(&mut self, id: ReservationId) -> Option<Reservation> {
        let reservation = self.table.remove(id.0)?;
        self.rules.remove(&id);
        self.count(&reservation, false);
        if reservation.due().is_some() {
            self.due.forget(is_due(&self.table));
        }
        Some(reservation)
    }

    fn count(&mut self, reservation: &Reservation, add: bool) {
        self.tally(
            reservation.customer(),
            reservation.state,
            reservation.open_units(),
            add,
        );
    }

    fn tally(&mut self, customer: &str, state: ReservationState, units: u64, add: bool) {
        let counter = match state {
            ReservationState::Held => &mut self.held,
            ReservationState::Confirmed => &mut self.confirmed,
            ReservationState::Expired => &mut self.expired,
            _ => return,
        };
        *counter = if add { *counter + 1 } else { *counter - 1 };
        if state != ReservationState::Held || customer.is_empty() || units == 0 {
            return;
        }
        if add {
            *self.held_units.entry_ref(customer).or_insert(0) += units;
        } else if let Some(held) = self.held_units.get_mut(customer) {
            *held -= units;
            if *held == 0 {
                self.held_units.remove(customer);
            }
        }
    }
}
