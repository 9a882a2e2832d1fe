//! Supply shocks: positions whose promises cannot all be kept, and which of them are at risk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::ShockCause;
use crate::ids::{PositionId, ReservationId, ShockId, Units, UtcMillis};
use crate::limits::{MAX_AT_RISK, MAX_AT_RISK_ENTRIES};
use crate::state::State;
use crate::timeline::{Entry, EntryRef};

/// A shock that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenShock {
    /// Where.
    pub position: PositionId,
    /// What raised it.
    pub cause: ShockCause,
    /// When.
    pub raised_at: UtcMillis,
}

#[derive(Clone, Debug)]
pub(crate) struct Shocks {
    pub open: BTreeMap<ShockId, OpenShock>,
    pub next_id: u64,
}

impl Default for Shocks {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            next_id: 1,
        }
    }
}

/// A promise that is among those that cannot all be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtRisk {
    /// The reservation.
    pub reservation: ReservationId,
    /// Its line.
    pub line: u32,
    /// Its tier.
    pub tier: u8,
    /// When it should ship.
    pub ship_time: UtcMillis,
    /// Units still to leave.
    pub quantity: Units,
}

/// A shock with what it means now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShockView {
    /// Its id.
    pub id: ShockId,
    /// Where, why and since when.
    pub shock: OpenShock,
    /// How far the lowest balance lies below zero.
    pub shortfall: Units,
    /// From when planned supply covers all promises; `None` when it does not.
    pub recovery: Option<UtcMillis>,
    /// In order of tier, ship time and revision: the first of them.
    pub at_risk: Vec<AtRisk>,
    /// How many there are; `None` where too much is planned at the position to work them out.
    pub at_risk_total: Option<usize>,
}

impl State {
    /// Number of open shocks.
    pub fn open_shocks(&self) -> usize {
        self.shocks.open.len()
    }

    /// Open shocks after an id, oldest first.
    pub fn shocks_after(&self, after: ShockId) -> impl Iterator<Item = (ShockId, &OpenShock)> {
        self.shocks
            .open
            .range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
            .map(|(id, shock)| (*id, shock))
    }

    /// Planned movements at the position of a shock: what [`State::shock`] walks.
    pub fn shock_entries(&self, id: ShockId) -> usize {
        let open = self.shocks.open.get(&id);
        let planned = open.map_or(0, |open| self.position(open.position).timeline.len());
        if planned > MAX_AT_RISK_ENTRIES {
            0
        } else {
            planned
        }
    }

    /// A shock with its promises at risk as they are now.
    pub fn shock(&self, id: ShockId) -> Option<ShockView> {
        let shock = *self.shocks.open.get(&id)?;
        let position = self.position(shock.position);
        let level = -(position.base + position.buffer.balance());
        let shortfall = Units::from_balance(-position.lowest_balance(self.now));
        let at_risk = self.at_risk(shock.position);
        let at_risk_total = at_risk.as_ref().map(Vec::len);
        let mut at_risk = at_risk.unwrap_or_default();
        at_risk.truncate(MAX_AT_RISK);
        Some(ShockView {
            id,
            shock,
            shortfall,
            recovery: position.timeline.earliest_at_least(self.now, level),
            at_risk,
            at_risk_total,
        })
    }

    /// The promises that fall short when stock goes to the best tier, earliest ship time and lowest revision
    /// first, and nobody's stock is taken before all of a better promise is covered.
    fn at_risk(&self, id: PositionId) -> Option<Vec<AtRisk>> {
        let position = self.position(id);
        if position.timeline.len() > MAX_AT_RISK_ENTRIES {
            return None;
        }
        let stock = position.base + position.buffer.balance();
        let mut supply: Vec<Entry> = Vec::new();
        let mut wanted: Vec<(u8, UtcMillis, u64, AtRisk)> = Vec::new();
        for entry in position.timeline.iter() {
            match entry.key.unpack() {
                EntryRef::Receipt(_) => supply.push(entry),
                EntryRef::Commitment(reservation, line) => {
                    let Some(owner) = self.reservations.get(reservation) else {
                        continue;
                    };
                    let risk = AtRisk {
                        reservation,
                        line: u32::from(line),
                        tier: owner.tier,
                        ship_time: entry.time,
                        quantity: Units::from_balance(-entry.quantity),
                    };
                    wanted.push((owner.tier, entry.time, owner.created_revision, risk));
                }
            }
        }
        wanted.sort_by_key(|(tier, time, revision, risk)| (*tier, *time, *revision, risk.line));
        // `covered` grows by one commitment at a time; a commitment that would make any later balance
        // negative is at risk and takes nothing.
        let mut covered = crate::timeline::Timeline::default();
        for entry in supply {
            covered.insert(entry);
        }
        let mut at_risk = Vec::new();
        for (_, _, _, risk) in wanted {
            let from = risk.ship_time.max(self.now);
            if stock + covered.lowest_from(from) >= risk.quantity.balance() {
                covered.insert(Entry {
                    time: risk.ship_time,
                    key: crate::timeline::EntryKey::commitment(risk.reservation, risk.line as u16),
                    quantity: -risk.quantity.balance(),
                });
            } else {
                at_risk.push(risk);
            }
        }
        Some(at_risk)
    }
}
