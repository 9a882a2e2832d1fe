//! An oracle that knows only what callers were answered, and adds it up by hand.

use std::collections::{BTreeMap, BTreeSet};

use bespeak_engine::{
    BufferPolicy, Command, DerivedBuffers, Due, HoldReply, ItemId, LocationId, Outcome,
    ReceiptKind, Reply, ReservationId, ReservationState, RuleScope, State, StockStatus, SupplyRule,
    UtcMillis,
};

use crate::workload::{HOUR_MS, ITEMS, LOCATIONS, place_of};

type Place = (ItemId, LocationId);

#[derive(Clone, Debug)]
struct Line {
    place: Place,
    ship_time: i64,
    open: u64,
}

#[derive(Clone, Debug)]
struct Order {
    confirmed: bool,
    expires_at: i64,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Inbound {
    place: Place,
    kind: ReceiptKind,
    open: u64,
    due: i64,
}

/// Stock, receipts and reservations as the answers tell them.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By status.
    on_hand: BTreeMap<Place, [i64; 3]>,
    buffers: BTreeMap<Place, u64>,
    /// Buffers that a forecast set, and nobody since.
    derived: BTreeSet<Place>,
    /// Own policies: whether they follow a forecast.
    follows: BTreeMap<Place, bool>,
    location_follows: BTreeSet<LocationId>,
    location_rules: BTreeMap<LocationId, SupplyRule>,
    position_rules: BTreeMap<Place, SupplyRule>,
    receipts: BTreeMap<String, Inbound>,
    orders: BTreeMap<ReservationId, Order>,
}

impl Model {
    /// Reservations that an answer has named.
    pub fn reservations(&self) -> Vec<ReservationId> {
        self.orders.keys().copied().collect()
    }

    /// Receipts that are open.
    pub fn receipts(&self) -> Vec<String> {
        self.receipts.keys().cloned().collect()
    }

    fn rule(&self, place: Place) -> SupplyRule {
        let own = self.position_rules.get(&place);
        let rule = own.or_else(|| self.location_rules.get(&place.1));
        rule.copied().unwrap_or_default()
    }

    fn moved(&mut self, place: Place, status: StockStatus, delta: i64) {
        self.on_hand.entry(place).or_default()[status as usize] += delta;
    }

    /// P(u) of the specification less the buffer: stock + receipts due by u − commitments due by u, at engine time
    /// `now`, of what counts by the position's rule.
    fn projected(&self, place: Place, u: i64, now: i64) -> i64 {
        let day = 24 * HOUR_MS;
        let rule = self.rule(place);
        let receipts = self.receipts.values().filter(|one| {
            one.place == place && one.due <= u && rule.receipt_kinds & 1 << one.kind as u8 != 0
        });
        // A receipt counts until the end of the day on which it was due.
        let counted = receipts.filter(|one| now < one.due - one.due.rem_euclid(day) + day);
        let inbound: u64 = counted.map(|one| one.open).sum();
        let orders = self
            .orders
            .values()
            .filter(|order| order.confirmed || now < order.expires_at);
        let lines = orders.flat_map(|order| &order.lines);
        let bound: u64 = lines
            .filter(|line| line.place == place && line.ship_time <= u)
            .map(|line| line.open)
            .sum();
        let stock = self.on_hand.get(&place).copied().unwrap_or_default();
        let counted = stock
            .iter()
            .enumerate()
            .filter(|(status, _)| rule.statuses & 1 << status != 0);
        let on_hand: i64 = counted.map(|(_, units)| units).sum();
        let buffer = self.buffers.get(&place).copied().unwrap_or(0);
        on_hand + inbound as i64 - bound as i64 - buffer as i64
    }

    /// Lowest P(u) over u ≥ t.
    fn lowest(&self, place: Place, t: i64, now: i64) -> i64 {
        let receipts = self
            .receipts
            .values()
            .filter(|one| one.place == place)
            .map(|one| one.due);
        let lines = self.orders.values().flat_map(|order| &order.lines);
        let ships = lines
            .filter(|line| line.place == place)
            .map(|line| line.ship_time);
        let times = receipts.chain(ships).filter(|u| *u > t).chain([t]);
        times
            .map(|u| self.projected(place, u, now))
            .min()
            .expect("there is always t itself")
    }

    /// Takes note of an answer that was acknowledged at engine time `now`.
    pub fn answered(&mut self, command: &Command, reply: &Reply, now: i64) -> Result<(), String> {
        match (command, reply) {
            (_, Reply::Supply(supply)) if supply.refusal.is_none() => self.told(command)?,
            (Command::PutBuffer(item, location, units), Reply::Catalog) => {
                let place = (*item, *location);
                self.buffers.insert(place, units.get());
                self.derived.remove(&place);
                // The later word of a planner holds.
                if let Some(own) = self.follows.get_mut(&place) {
                    *own = false;
                }
            }
            (Command::PutBufferPolicy(scope, policy), Reply::Catalog) => {
                self.followed(*scope, *policy);
            }
            (Command::DeriveBuffers(derived), Reply::Catalog) => self.derive(derived),
            (Command::PutRule(RuleScope::Location(location), rule), Reply::Catalog) => {
                self.location_rules.insert(*location, *rule);
            }
            (Command::PutRule(RuleScope::Position(item, location), rule), Reply::Catalog) => {
                self.position_rules.insert((*item, *location), *rule);
            }
            (Command::Replace(replace), Reply::Hold(hold)) => {
                if hold.reservation.is_some() {
                    self.replaced(replace.reservation, now)?;
                }
                self.held(hold, now)?;
            }
            (_, Reply::Hold(hold)) => self.held(hold, now)?,
            (_, Reply::Step(step) | Reply::StepWithShocks(step, _)) if step.refusal.is_none() => {
                self.stepped(command, step, now)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A fact that was taken.
    fn told(&mut self, command: &Command) -> Result<(), String> {
        let instant = |due: Due| match due {
            Due::At(at) => Ok(at.get()),
            Due::Day(_) => Err("the workload names instants only".to_owned()),
        };
        match command {
            Command::AdjustOnHand(adjust) => {
                let place = (adjust.item, adjust.location);
                self.moved(place, adjust.status, adjust.delta);
            }
            Command::SetOnHand(count) => {
                let place = (count.item, count.location);
                let stock = self.on_hand.entry(place).or_default();
                stock[count.status as usize] = count.quantity.get() as i64;
            }
            Command::MoveStatus(moved) => {
                let (place, units) = ((moved.item, moved.location), moved.quantity.get() as i64);
                self.moved(place, moved.from, -units);
                self.moved(place, moved.to, units);
            }
            Command::Return(back) => {
                let (place, units) = ((back.item, back.location), back.quantity.get() as i64);
                self.moved(place, back.status, units);
            }
            Command::Transfer(transfer) => {
                let units = transfer.quantity.get();
                let from = (transfer.item, transfer.from);
                self.moved(from, StockStatus::Unrestricted, -(units as i64));
                let inbound = Inbound {
                    place: (transfer.item, transfer.to),
                    kind: ReceiptKind::Transfer,
                    open: units,
                    due: transfer.due.get(),
                };
                self.receipts.insert(transfer.receipt.to_string(), inbound);
            }
            Command::ScheduleReceipt(receipt) => {
                let inbound = Inbound {
                    place: (receipt.item, receipt.location),
                    kind: receipt.kind,
                    open: receipt.quantity.get(),
                    due: instant(receipt.due)?,
                };
                self.receipts.insert(receipt.receipt.to_string(), inbound);
            }
            Command::ChangeReceipt(change) => {
                let inbound = self.receipts.get_mut(&*change.receipt);
                let inbound = inbound.ok_or("an unknown receipt was changed")?;
                if let Some(units) = change.quantity {
                    inbound.open = units.get();
                }
                if let Some(due) = change.due {
                    inbound.due = instant(due)?;
                }
            }
            Command::CancelReceipt(cancel) => {
                let gone = self.receipts.remove(&*cancel.receipt);
                gone.ok_or("an unknown receipt was cancelled")?;
            }
            Command::Receive(receive) => {
                let name = &*receive.receipt;
                let inbound = self.receipts.get_mut(name);
                let inbound = inbound.ok_or("goods of an unknown receipt were taken")?;
                inbound.open = inbound.open.saturating_sub(receive.quantity.get());
                let (place, open) = (inbound.place, inbound.open);
                self.moved(place, receive.status, receive.quantity.get() as i64);
                if receive.last || open == 0 {
                    self.receipts.remove(name);
                }
            }
            other => return Err(format!("no fact: {other:?}")),
        }
        Ok(())
    }

    fn followed(&mut self, scope: RuleScope, policy: BufferPolicy) {
        let follows = matches!(policy, BufferPolicy::Forecast(_));
        match scope {
            RuleScope::Location(location) if follows => {
                self.location_follows.insert(location);
            }
            RuleScope::Location(location) => {
                self.location_follows.remove(&location);
            }
            RuleScope::Position(item, location) if policy == BufferPolicy::Inherit => {
                self.follows.remove(&(item, location));
            }
            RuleScope::Position(item, location) => {
                self.follows.insert((item, location), follows);
            }
        }
    }

    /// A buffer that a planner set is not overwritten by its location's policy.
    fn follows_forecast(&self, place: Place) -> bool {
        let kept = self.buffers.get(&place).copied().unwrap_or(0);
        let planned = kept > 0 && !self.derived.contains(&place);
        let by_location = !planned && self.location_follows.contains(&place.1);
        self.follows.get(&place).copied().unwrap_or(by_location)
    }

    /// Whether a command changes nothing and leaves no record: buffers from a forecast that are as they were.
    pub fn is_idle(&self, command: &Command) -> bool {
        let Command::DeriveBuffers(derived) = command else {
            return false;
        };
        derived.buffers.iter().all(|(id, units)| {
            let place = place_of(*id);
            let same = self.buffers.get(&place) == Some(&units.get());
            !self.follows_forecast(place) || (same && self.derived.contains(&place))
        })
    }

    fn derive(&mut self, derived: &DerivedBuffers) {
        for (id, units) in &derived.buffers {
            let place = place_of(*id);
            if self.follows_forecast(place) {
                self.buffers.insert(place, units.get());
                self.derived.insert(place);
            }
        }
    }

    /// The old one is gone before the new one is there.
    fn replaced(&mut self, old: ReservationId, now: i64) -> Result<(), String> {
        let order = self.orders.get_mut(&old);
        let order = order.ok_or("an unknown reservation was replaced")?;
        if !order.confirmed && now >= order.expires_at {
            return Err(format!("r-{} had expired and was replaced", old.0));
        }
        if order.lines.iter().all(|line| line.open == 0) {
            return Err(format!("r-{} had nothing open and was replaced", old.0));
        }
        order.lines.iter_mut().for_each(|line| line.open = 0);
        Ok(())
    }

    fn held(&mut self, hold: &HoldReply, now: i64) -> Result<(), String> {
        let parts: Vec<_> = hold
            .lines
            .iter()
            .flat_map(|line| line.parts.iter().map(|p| (line.item, p)))
            .collect();
        let Some(id) = hold.reservation else {
            return if parts.is_empty() {
                Ok(())
            } else {
                Err("a refusal holds stock".to_owned())
            };
        };
        if hold.outcome == Outcome::Full && hold.lines.iter().any(|line| line.refusal.is_some()) {
            return Err(format!("r-{} is full and has a refused line", id.0));
        }
        let lines: Vec<Line> = parts
            .iter()
            .map(|(item, part)| Line {
                place: (*item, part.location),
                ship_time: part.ship_time.get(),
                open: part.quantity.get(),
            })
            .collect();
        let order = Order {
            confirmed: hold.state == ReservationState::Confirmed,
            expires_at: hold.expires_at.get(),
            lines: lines.clone(),
        };
        if self.orders.insert(id, order).is_some() {
            return Err(format!("r-{} was given twice", id.0));
        }
        for line in lines {
            let lowest = self.lowest(line.place, line.ship_time, now);
            if lowest < 0 {
                return Err(format!(
                    "r-{} oversells {:?} by {} units",
                    id.0, line.place, -lowest
                ));
            }
        }
        Ok(())
    }

    fn stepped(
        &mut self,
        command: &Command,
        step: &bespeak_engine::StepReply,
        now: i64,
    ) -> Result<(), String> {
        let id = match command {
            Command::Confirm(id) => *id,
            Command::Extend(extend) => extend.reservation,
            Command::Fulfil(fulfil) => fulfil.reservation,
            Command::Release(release) => release.reservation,
            _ => return Ok(()),
        };
        let order = self
            .orders
            .get_mut(&id)
            .ok_or("a step of an unknown reservation was taken")?;
        let live = order.confirmed || now < order.expires_at;
        match command {
            Command::Confirm(_) => {
                if live == step.reacquired {
                    return Err(format!(
                        "r-{}: live is {live}, reacquired is {}",
                        id.0, step.reacquired
                    ));
                }
                order.confirmed = true;
                if step.reacquired {
                    order
                        .lines
                        .iter_mut()
                        .for_each(|line| line.ship_time = line.ship_time.max(now));
                }
            }
            _ if !live => return Err(format!("r-{} had expired and took a step", id.0)),
            Command::Extend(_) => order.expires_at = step.expires_at.get(),
            Command::Release(_) => order.lines.iter_mut().for_each(|line| line.open = 0),
            Command::Fulfil(fulfil) => {
                for (n, line) in order.lines.iter_mut().enumerate() {
                    let named = fulfil.lines.iter().find(|one| one.line as usize == n);
                    let left = match named {
                        Some(one) => one.quantity.get(),
                        None if fulfil.lines.is_empty() => line.open,
                        None => 0,
                    };
                    line.open = line
                        .open
                        .checked_sub(left)
                        .ok_or("more was fulfilled than was open")?;
                    let stock = self.on_hand.entry(line.place).or_default();
                    stock[StockStatus::Unrestricted as usize] -= left as i64;
                }
            }
            _ => {}
        }
        if order.lines.iter().all(|line| line.open == 0) {
            self.orders.remove(&id);
        }
        Ok(())
    }

    /// Every position's availability, now and at later times, is what the answers add up to.
    pub fn agrees(&self, state: &State) -> Result<(), String> {
        let now = state.now().get();
        for item in (0..ITEMS).map(ItemId) {
            for location in (0..LOCATIONS).map(LocationId) {
                for hours in [0, 1, 5, 24, 30, 49, 71, 100] {
                    let t = now + hours * HOUR_MS;
                    let expected = self.lowest((item, location), t, now).max(0) as u64;
                    let found = state.available(item, location, UtcMillis::new(t)).get();
                    if found != expected {
                        return Err(format!(
                            "item {} at location {} in {hours} h: {found} available, answers add up to {expected}",
                            item.0, location.0
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
