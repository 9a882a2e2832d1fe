//! Conservation inside the state: everything that is kept twice must agree, and nothing may be promised twice.

use std::collections::BTreeMap;

use crate::catalog_types::StockStatus;
use crate::ids::{ItemId, LocationId, PositionId, UtcMillis};
use crate::limits::{MAX_DISCREPANCIES, MAX_ON_HAND};
use crate::position::Position;
use crate::reply::ReservationState;
use crate::state::State;
use crate::timeline::{Entry, EntryRef};

/// Something that does not agree with what it follows from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discrepancy {
    /// Where; `None` for what belongs to the partition as a whole.
    pub position: Option<(ItemId, LocationId)>,
    /// What does not agree.
    pub what: &'static str,
    /// What it should be.
    pub expected: i64,
    /// What it is.
    pub found: i64,
}

/// Discrepancies found so far; no more than a reader can use are kept.
struct Findings<'a> {
    state: &'a State,
    list: Vec<Discrepancy>,
}

impl Findings<'_> {
    fn expect(&mut self, at: Option<PositionId>, what: &'static str, expected: i64, found: i64) {
        if expected == found || self.list.len() >= MAX_DISCREPANCIES {
            return;
        }
        let position = at.map(|id| {
            let position = self.state.position(id);
            (position.item, position.location)
        });
        self.list.push(Discrepancy {
            position,
            what,
            expected,
            found,
        });
    }
}

impl State {
    /// Units promised beyond what can be kept, where no open supply shock tells of it. Never above zero unless the
    /// engine is wrong.
    pub fn oversold_units(&self) -> u64 {
        self.positions()
            .filter(|(_, position)| position.shock.is_none())
            .map(|(_, position)| position.lowest_balance(self.now))
            .filter(|lowest| *lowest < 0)
            .map(i64::unsigned_abs)
            .sum()
    }

    /// Works out anew all that the state keeps ready, in one pass over it: timelines from receipts and reservations,
    /// suffix minima from timelines, stock that counts from stock and rule, counters from reservations. Also that
    /// stock is within its limit and that nothing is oversold. Empty when all agrees; at most a thousand are listed.
    pub fn reconcile(&self) -> Vec<Discrepancy> {
        let mut findings = Findings {
            state: self,
            list: Vec::new(),
        };
        let mut entries = 0;
        let mut shocks = 0;
        for (id, position) in self.positions() {
            entries += position.timeline.len();
            shocks += usize::from(position.shock.is_some());
            self.reconcile_position(id, position, &mut findings);
        }
        self.reconcile_reservations(entries, &mut findings);
        let open = self.shocks.open.len();
        findings.expect(None, "open shocks", shocks as i64, open as i64);
        findings.list
    }

    fn reconcile_position(&self, id: PositionId, position: &Position, findings: &mut Findings<'_>) {
        let at = Some(id);
        let found = self.position_id(position.item, position.location);
        findings.expect(
            at,
            "number in the index",
            i64::from(id.0),
            found.map_or(-1, |found| i64::from(found.0)),
        );
        let rule = self.rule_of(position);
        let mut counted = 0;
        for status in [
            StockStatus::Unrestricted,
            StockStatus::Quality,
            StockStatus::Blocked,
        ] {
            let on_hand = position.on_hand(status);
            findings.expect(
                at,
                "stock on hand within its limit",
                on_hand.clamp(-MAX_ON_HAND, MAX_ON_HAND),
                on_hand,
            );
            if rule.counts_status(status) {
                counted += on_hand;
            }
        }
        let base = counted - position.buffer.balance();
        findings.expect(
            at,
            "stock that counts, net of the buffer",
            base,
            position.base,
        );
        self.reconcile_timeline(id, position, findings);
        let lowest = position.lowest_balance(self.now);
        if position.shock.is_none() {
            findings.expect(at, "lowest balance without a shock", lowest.max(0), lowest);
        }
        if let Some(shock) = position.shock {
            let owner = self.shocks.open.get(&shock).map(|open| open.position);
            findings.expect(
                at,
                "position of its shock",
                i64::from(id.0),
                owner.map_or(-1, |owner| i64::from(owner.0)),
            );
        }
    }

    fn reconcile_timeline(&self, id: PositionId, position: &Position, findings: &mut Findings<'_>) {
        let at = Some(id);
        let entries: Vec<Entry> = position.timeline.iter().collect();
        let sorted = entries
            .windows(2)
            .all(|pair| (pair[0].time, pair[0].key) < (pair[1].time, pair[1].key));
        findings.expect(at, "timeline in order", 1, i64::from(sorted));
        for entry in &entries {
            let source = self.planned(id, entry);
            findings.expect(
                at,
                "quantity of a planned movement",
                source.unwrap_or(0),
                entry.quantity,
            );
            findings.expect(
                at,
                "source of a planned movement",
                1,
                i64::from(source.is_some()),
            );
        }
        let mut running: i64 = entries.iter().map(|entry| entry.quantity).sum();
        let mut lowest = running;
        for (n, entry) in entries.iter().enumerate().rev() {
            lowest = lowest.min(running);
            running -= entry.quantity;
            let last_of_instant = entries
                .get(n + 1)
                .is_none_or(|next| next.time != entry.time);
            if last_of_instant {
                let kept = position.timeline.lowest_from(entry.time);
                findings.expect(at, "lowest balance from an instant on", lowest, kept);
            }
        }
        let kept = position.timeline.lowest_from(UtcMillis::new(i64::MIN));
        findings.expect(at, "lowest balance", lowest.min(0), kept);
    }

    /// Units that an entry must have by the receipt or reservation that it stands for; `None` when there is none.
    fn planned(&self, id: PositionId, entry: &Entry) -> Option<i64> {
        match entry.key.unpack() {
            EntryRef::Receipt(no) => {
                let receipt = self.receipts.get(no)?;
                let here = receipt.position == id && receipt.counts_from == entry.time;
                here.then(|| receipt.counted(self.rule_of(self.position(id))))
            }
            EntryRef::Commitment(reservation, line) => {
                let owner = self.reservations.get(reservation)?;
                let line = owner.lines.get(line as usize)?;
                let here = line.position == id && line.ship_time == entry.time && owner.binds();
                here.then(|| -line.open.balance())
            }
        }
    }

    fn reconcile_reservations(&self, entries: usize, findings: &mut Findings<'_>) {
        let (mut held, mut confirmed, mut lines) = (0u64, 0u64, 0);
        let mut units: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, reservation) in self.reservations.iter() {
            held += u64::from(reservation.state == ReservationState::Held);
            confirmed += u64::from(reservation.state == ReservationState::Confirmed);
            if reservation.binds() {
                let open = reservation.lines.iter().filter(|line| !line.open.is_zero());
                lines += open.count();
            }
            if reservation.state == ReservationState::Held && !reservation.customer().is_empty() {
                *units.entry(reservation.customer()).or_default() += reservation.open_units();
            }
        }
        // Every entry was matched with its own source, so equal numbers mean that no source lacks its entry.
        let sources = self.receipts.len() + lines;
        findings.expect(None, "planned movements", sources as i64, entries as i64);
        let kept = &self.reservations;
        findings.expect(None, "holds", held as i64, kept.held as i64);
        findings.expect(
            None,
            "confirmed reservations",
            confirmed as i64,
            kept.confirmed as i64,
        );
        for (customer, units) in &units {
            let found = kept.held_units(customer);
            findings.expect(
                None,
                "units held by a customer",
                *units as i64,
                found as i64,
            );
        }
        findings.expect(
            None,
            "customers with holds",
            units.len() as i64,
            kept.customers() as i64,
        );
        for (no, receipt) in self.receipts.iter() {
            let named = self.receipts.find(&receipt.name).map(|(no, _)| no.0);
            findings.expect(
                Some(receipt.position),
                "number of a receipt's name",
                no.0 as i64,
                named.unwrap_or(0) as i64,
            );
        }
        let due = self.reservations.iter().filter_map(|(_, r)| r.due()).min();
        let overdue = self.receipts.iter().map(|(_, receipt)| receipt);
        let overdue = overdue
            .filter(|receipt| !receipt.overdue)
            .map(|receipt| receipt.overdue_at)
            .min();
        let next = due.into_iter().chain(overdue).min();
        findings.expect(
            None,
            "next due transition",
            next.map_or(-1, UtcMillis::get),
            self.next_due().map_or(-1, UtcMillis::get),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog_types::{Item, Location, LocationKind, ReceiptKind};
    use crate::command::{
        Command, Due, HoldTerms, Meta, Reserve, ReserveLine, ScheduleReceipt, SetOnHand,
    };
    use crate::ids::{ReceiptNo, ReservationId, Units};
    use crate::state::Settings;
    use crate::timeline::EntryKey;

    fn units(n: u64) -> Units {
        Units::new(n).expect("small")
    }

    /// 20 on hand, a receipt of 10 and a hold of 3 by one customer.
    fn stocked() -> State {
        let mut state = State::new(Settings::default());
        let (item, location) = (ItemId(0), LocationId(0));
        let due = UtcMillis::new(5_000_000);
        let commands = [
            Command::PutItem(Item {
                name: "tea".into(),
                base_unit: "each".into(),
                units: vec![],
            }),
            Command::PutLocation(Location {
                name: "ams1".into(),
                time_zone: "".into(),
                day_offsets: vec![],
                kind: LocationKind::Dc,
            }),
            Command::SetOnHand(SetOnHand {
                item,
                location,
                status: StockStatus::Unrestricted,
                quantity: units(20),
                counted_at: None,
                expected_on_hand: None,
                expected_version: None,
            }),
            Command::ScheduleReceipt(ScheduleReceipt {
                receipt: "po-1".into(),
                item,
                location,
                quantity: units(10),
                due: Due::At(due),
                kind: ReceiptKind::PurchaseOrder,
                spread: None,
            }),
            Command::Reserve(Reserve {
                lines: [ReserveLine {
                    item,
                    location,
                    quantity: units(3),
                    ship_time: Some(due),
                    latest: None,
                }]
                .into_iter()
                .collect(),
                terms: HoldTerms {
                    customer: "ann".into(),
                    ..HoldTerms::default()
                },
            }),
        ];
        for command in &commands {
            let step = state.step(Meta::default(), command, UtcMillis::new(1_000), &mut |_| {});
            step.expect("the commands make sense");
        }
        state
    }

    #[test]
    fn a_sound_state_has_no_discrepancies() {
        assert_eq!(stocked().reconcile(), []);
        assert_eq!(stocked().oversold_units(), 0);
    }

    /// Each way to break a state, and what it is called.
    #[test]
    fn each_kind_of_damage_is_named() {
        type Damage = fn(&mut State);
        let cases: [(&str, Damage); 8] = [
            ("stock that counts, net of the buffer", |state| {
                state.positions[0][0].base += 1;
            }),
            ("quantity of a planned movement", |state| {
                let time = UtcMillis::new(5_000_000);
                let key = EntryKey::receipt(ReceiptNo(1));
                assert!(state.positions[0][0].timeline.set_quantity(time, key, 11));
            }),
            ("planned movements", |state| {
                let time = UtcMillis::new(5_000_000);
                let key = EntryKey::receipt(ReceiptNo(1));
                assert!(state.positions[0][0].timeline.remove(time, key));
            }),
            ("source of a planned movement", |state| {
                state.reservations.remove(ReservationId(1));
            }),
            ("holds", |state| state.reservations.held += 1),
            ("lowest balance without a shock", |state| {
                state.positions[0][0].on_hand[0] = -1;
                state.positions[0][0].base = -1;
            }),
            ("open shocks", |state| {
                state.positions[0][0].shock = Some(crate::ids::ShockId(7));
            }),
            ("stock on hand within its limit", |state| {
                state.positions[0][0].on_hand[2] = MAX_ON_HAND + 1;
            }),
        ];
        for (name, damage) in cases {
            let mut state = stocked();
            damage(&mut state);
            let found = state.reconcile();
            assert!(
                found.iter().any(|one| one.what == name),
                "{name}: {found:?}"
            );
        }
        let mut state = stocked();
        state.positions[0][0].base = -4;
        // The receipt of 10 ships only later: until then 4 units too many are promised.
        assert_eq!(state.oversold_units(), 4);
    }
}
