//! Random commands of an order system and its suppliers.

use bespeak_engine::{
    AdjustOnHand, AdjustReason, BufferPolicy, CancelReceipt, Candidates, ChangeReceipt, Command,
    DerivedBuffers, Due, Extend, FillPolicy, ForecastBuffer, Fulfil, FulfilLine, HoldTerms, Item,
    ItemId, Location, LocationId, LocationKind, MoveStatus, PositionId, Promise, PromiseLine,
    ReceiptKind, Receive, Release, Replace, ReservationId, Reserve, ReserveLine, Return, RuleScope,
    ScheduleReceipt, ServiceLevel, SetOnHand, SourcingPolicy, StockStatus, SupplyRule, Transfer,
    Units, UtcMillis,
};
use fastrand::Rng;

pub const ITEMS: u32 = 3;
pub const LOCATIONS: u32 = 2;
pub const HOUR_MS: i64 = 3_600_000;
/// Items whose positions are there from the beginning, so that their numbers are known; those of others come later.
const PLACED_ITEMS: u32 = 2;

/// Where the position of a number below [`PLACED_ITEMS`] times [`LOCATIONS`] is.
pub fn place_of(id: PositionId) -> (ItemId, LocationId) {
    (ItemId(id.0 % PLACED_ITEMS), LocationId(id.0 / PLACED_ITEMS))
}

/// Master data that every history begins with.
pub fn opening() -> Vec<Command> {
    let mut commands = Vec::new();
    for item in 0..ITEMS {
        let name = format!("sku-{item}").into();
        commands.push(Command::PutItem(Item {
            name,
            base_unit: "each".into(),
            units: vec![],
        }));
    }
    for location in 0..LOCATIONS {
        commands.push(Command::PutLocation(Location {
            name: format!("ams{location}").into(),
            time_zone: "".into(),
            day_offsets: vec![],
            kind: LocationKind::Dc,
        }));
    }
    for id in (0..PLACED_ITEMS * LOCATIONS).map(PositionId) {
        let (item, location) = place_of(id);
        let scope = RuleScope::Position(item, location);
        commands.push(Command::PutBufferPolicy(scope, BufferPolicy::Inherit));
    }
    commands
}

fn units(rng: &mut Rng, most: u64) -> Units {
    Units::new(rng.u64(1..=most)).expect("small")
}

fn place(rng: &mut Rng) -> (ItemId, LocationId) {
    (ItemId(rng.u32(0..ITEMS)), LocationId(rng.u32(0..LOCATIONS)))
}

fn ship_time(rng: &mut Rng, now: i64) -> Option<UtcMillis> {
    (rng.u8(0..3) > 0).then(|| UtcMillis::new(now + rng.i64(0..72) * HOUR_MS))
}

fn terms(rng: &mut Rng) -> HoldTerms {
    let fill = [
        FillPolicy::AllOrNone,
        FillPolicy::Partial,
        FillPolicy::ShipComplete,
    ];
    HoldTerms {
        fill: fill[rng.usize(0..3)],
        expires_in_ms: Some(rng.i64(1_000..600_000)),
        confirm: rng.u8(0..5) == 0,
        tier: rng.u8(0..3),
        ..HoldTerms::default()
    }
}

fn scope(rng: &mut Rng) -> RuleScope {
    let (item, location) = place(rng);
    match rng.bool() {
        true => RuleScope::Location(location),
        false => RuleScope::Position(item, location),
    }
}

fn policy(rng: &mut Rng) -> BufferPolicy {
    match rng.u8(0..5) {
        0 => BufferPolicy::Inherit,
        1 => BufferPolicy::Static,
        _ => BufferPolicy::Forecast(ForecastBuffer {
            level: ServiceLevel::Default,
            lead_time_days: rng.u16(0..5),
            review_days: 1,
            cap: Units::ZERO,
        }),
    }
}

/// Buffers from a forecast, of positions that follow it and of others.
fn derive(rng: &mut Rng, now: i64) -> Command {
    let ids = (0..PLACED_ITEMS * LOCATIONS).map(PositionId);
    let some: Vec<PositionId> = ids.filter(|_| rng.bool()).collect();
    let buffers = some.into_iter().map(|id| (id, units(rng, 6)));
    Command::DeriveBuffers(DerivedBuffers {
        buffers: buffers.collect(),
        model: format!("patch@{}", rng.u8(0..3)).into(),
        computed_at: UtcMillis::new(now - rng.i64(0..HOUR_MS)),
    })
}

/// Facts and policies that are rarer than orders.
fn fact(rng: &mut Rng, now: i64, receipts: &[String], serial: u64) -> Command {
    let (item, location) = place(rng);
    let statuses = [
        StockStatus::Unrestricted,
        StockStatus::Quality,
        StockStatus::Blocked,
    ];
    let status = statuses[rng.usize(0..3)];
    match rng.u8(0..15) {
        0..=1 => Command::SetOnHand(SetOnHand {
            item,
            location,
            status,
            quantity: units(rng, 40),
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        }),
        2 => Command::AdjustOnHand(AdjustOnHand {
            item,
            location,
            status,
            delta: -rng.i64(1..10),
            reason: AdjustReason::Loss,
            happened_at: None,
        }),
        3 => Command::MoveStatus(MoveStatus {
            item,
            location,
            from: status,
            to: statuses[(status as usize + 1) % 3],
            quantity: units(rng, 8),
            happened_at: None,
        }),
        4..=5 if !receipts.is_empty() => Command::ChangeReceipt(ChangeReceipt {
            receipt: receipts[rng.usize(0..receipts.len())].as_str().into(),
            quantity: rng.bool().then(|| units(rng, 40)),
            due: rng
                .bool()
                .then(|| Due::At(UtcMillis::new(now + rng.i64(0..60) * HOUR_MS))),
            spread: None,
            expected_revision: None,
        }),
        6 if !receipts.is_empty() => Command::CancelReceipt(CancelReceipt {
            receipt: receipts[rng.usize(0..receipts.len())].as_str().into(),
            expected_revision: None,
        }),
        7 => Command::Transfer(Transfer {
            item,
            from: location,
            to: LocationId((location.0 + 1) % LOCATIONS),
            quantity: units(rng, 10),
            receipt: format!("tr-{serial}").into(),
            due: UtcMillis::new(now + rng.i64(1..60) * HOUR_MS),
            happened_at: None,
        }),
        8 => Command::Return(Return {
            item,
            location,
            quantity: units(rng, 5),
            status,
            reservation: None,
            happened_at: None,
        }),
        // Of nothing it gives the position back to its location's policy.
        9 => Command::PutBuffer(item, location, Units::new(rng.u64(0..=6)).expect("small")),
        10 => Command::PutBufferPolicy(scope(rng), policy(rng)),
        11..=12 => derive(rng, now),
        _ => {
            let scope = scope(rng);
            // Mostly all that counts by default, so that stock can be promised at all.
            let rule = SupplyRule {
                statuses: [0b1, 0b1, 0b11, 0b111][rng.usize(0..4)],
                receipt_kinds: [0b1111, 0b1111, 0b1, 0b10, 0][rng.usize(0..5)],
                ..SupplyRule::default()
            };
            Command::PutRule(scope, rule)
        }
    }
}

/// The number of an event feed that tells a fact; sometimes one that was told before, or that came late.
pub fn source(rng: &mut Rng, command: &Command, serial: u64) -> Option<(Box<str>, u64)> {
    let told = matches!(
        command,
        Command::SetOnHand(_)
            | Command::AdjustOnHand(_)
            | Command::MoveStatus(_)
            | Command::Return(_)
    );
    (told && rng.bool()).then(|| {
        let back = if rng.u8(0..5) == 0 { rng.u64(0..6) } else { 0 };
        ("wms".into(), (serial + 1).saturating_sub(back).max(1))
    })
}

/// The next command; `known` are reservations and receipts that an answer has named.
pub fn next(
    rng: &mut Rng,
    now: i64,
    reservations: &[ReservationId],
    receipts: &[String],
    serial: u64,
) -> Command {
    let known = |rng: &mut Rng| {
        rng.choice(reservations)
            .copied()
            .unwrap_or(ReservationId(1))
    };
    let (item, location) = place(rng);
    match rng.u8(0..30) {
        20..=27 => fact(rng, now, receipts, serial),
        0..=2 => Command::AdjustOnHand(AdjustOnHand {
            item,
            location,
            status: StockStatus::Unrestricted,
            delta: rng.i64(1..30),
            reason: AdjustReason::Found,
            happened_at: None,
        }),
        3..=4 => Command::ScheduleReceipt(ScheduleReceipt {
            receipt: format!("po-{serial}").into(),
            item,
            location,
            quantity: units(rng, 40),
            due: Due::At(UtcMillis::new(now + rng.i64(0..60) * HOUR_MS)),
            kind: ReceiptKind::PurchaseOrder,
            spread: None,
        }),
        5 if !receipts.is_empty() => Command::Receive(Receive {
            receipt: receipts[rng.usize(0..receipts.len())].as_str().into(),
            quantity: units(rng, 45),
            status: StockStatus::Unrestricted,
            last: rng.bool(),
            happened_at: None,
        }),
        6..=11 => {
            let lines = (0..rng.usize(1..4))
                .map(|_| {
                    let (item, location) = place(rng);
                    let ship_time = ship_time(rng, now);
                    let latest = ship_time.map(|at| at.plus(rng.i64(0..48) * HOUR_MS));
                    ReserveLine {
                        item,
                        location,
                        quantity: units(rng, 12),
                        ship_time,
                        latest,
                    }
                })
                .collect();
            Command::Reserve(Reserve {
                lines,
                terms: terms(rng),
            })
        }
        12..=13 => {
            let lines = (0..rng.usize(1..3))
                .map(|_| PromiseLine {
                    item: ItemId(rng.u32(0..ITEMS)),
                    quantity: units(rng, 20),
                    ship_time: ship_time(rng, now),
                    latest: None,
                })
                .collect();
            let sourcing = [
                SourcingPolicy::InOrder,
                SourcingPolicy::Earliest,
                SourcingPolicy::FewestPackages,
            ];
            Command::promise(Promise {
                lines,
                candidates: Candidates::Locations((0..LOCATIONS).map(LocationId).collect()),
                sourcing: sourcing[rng.usize(0..3)],
                max_packages: rng.bool().then_some(1),
                min_split: rng.bool().then(|| units(rng, 4)),
                terms: terms(rng),
            })
        }
        14..=15 => Command::Confirm(known(rng)),
        16 => Command::Extend(Extend {
            reservation: known(rng),
            expires_in_ms: rng.i64(1_000..900_000),
        }),
        28..=29 => {
            let lines = (0..rng.usize(1..3))
                .map(|_| {
                    let (item, location) = place(rng);
                    ReserveLine {
                        item,
                        location,
                        quantity: units(rng, 12),
                        ship_time: ship_time(rng, now),
                        latest: None,
                    }
                })
                .collect();
            Command::Replace(Replace {
                reservation: known(rng),
                lines,
            })
        }
        17 => Command::Release(Release {
            reservation: known(rng),
            lines: Default::default(),
        }),
        _ => {
            let line = FulfilLine {
                line: 0,
                quantity: units(rng, 6),
                location: None,
            };
            let lines = if rng.bool() {
                [line].into_iter().collect()
            } else {
                Default::default()
            };
            Command::Fulfil(Fulfil {
                reservation: known(rng),
                lines,
                happened_at: None,
            })
        }
    }
}
