//! Random commands over a small world: few items, locations, receipts and reservations, so that they meet.

use bespeak_engine::*;
use proptest::prelude::*;

use crate::{buffers, replace};

pub const ITEMS: u32 = 2;
pub const LOCATIONS: u32 = 3;
pub const HOUR_MS: i64 = 60 * 60 * 1_000;

/// One step of a story: the clock moves, then a command is sent under a request id (0 is none).
#[derive(Clone, Debug)]
pub struct Step {
    pub wait_ms: i64,
    pub request: u8,
    pub action: Action,
}

/// Times are relative to the clock, reservations to the newest one, receipts one of four names.
#[derive(Clone, Debug)]
pub enum Action {
    Count {
        at: (u32, u32),
        status: StockStatus,
        quantity: u64,
        ago_ms: i64,
    },
    Adjust {
        at: (u32, u32),
        delta: i64,
        ago_ms: i64,
    },
    Move {
        at: (u32, u32),
        from: StockStatus,
        to: StockStatus,
        quantity: u64,
    },
    Return {
        at: (u32, u32),
        quantity: u64,
    },
    Transfer {
        item: u32,
        from: u32,
        to: u32,
        quantity: u64,
        receipt: u8,
        due_ms: i64,
    },
    Schedule {
        at: (u32, u32),
        receipt: u8,
        quantity: u64,
        due_ms: i64,
        kind: ReceiptKind,
        late_ms: i64,
        yield_ppm: u32,
    },
    Change {
        receipt: u8,
        quantity: Option<u64>,
        due_ms: Option<i64>,
    },
    Receive {
        receipt: u8,
        quantity: u64,
        last: bool,
        ago_ms: i64,
    },
    Cancel {
        receipt: u8,
    },
    Buffer {
        at: (u32, u32),
        units: u64,
    },
    Follow {
        location: u32,
        item: Option<u32>,
        policy: u8,
    },
    Derive {
        buffers: Vec<(u32, u64)>,
        model: u8,
    },
    Rule {
        location: u32,
        item: Option<u32>,
        rule: SupplyRule,
    },
    Reserve {
        lines: Vec<((u32, u32), u64, i64)>,
        fill: FillPolicy,
        latest_ms: Option<i64>,
        life_ms: Option<i64>,
        customer: bool,
        confirm: bool,
    },
    Promise {
        lines: Vec<(u32, u64, i64)>,
        fill: FillPolicy,
        sourcing: SourcingPolicy,
        latest_ms: Option<i64>,
        split: Option<u64>,
        packages: Option<u32>,
    },
    Replace {
        back: u64,
        lines: Vec<((u32, u32), u64, i64)>,
    },
    Extend {
        back: u64,
        life_ms: i64,
    },
    Confirm {
        back: u64,
    },
    Fulfil {
        back: u64,
        line: Option<(u32, u64)>,
        elsewhere: Option<u32>,
        ago_ms: i64,
    },
    Release {
        back: u64,
        line: Option<(u32, u64)>,
    },
}

fn at() -> impl Strategy<Value = (u32, u32)> {
    (0..ITEMS, 0..LOCATIONS)
}

fn quantity() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..12u64, 1 => 12..60u64]
}

/// Hours and odd minutes, so that times often coincide and sometimes do not.
fn ahead() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => Just(0),
        6 => (0..40i64).prop_map(|hours| hours * HOUR_MS),
        1 => 0..60 * HOUR_MS,
    ]
}

fn ago() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 1 => (0..9i64).prop_map(|hours| hours * HOUR_MS)]
}

fn status() -> impl Strategy<Value = StockStatus> {
    prop_oneof![
        6 => Just(StockStatus::Unrestricted),
        1 => Just(StockStatus::Quality),
        1 => Just(StockStatus::Blocked),
    ]
}

fn kind() -> impl Strategy<Value = ReceiptKind> {
    prop_oneof![
        4 => Just(ReceiptKind::PurchaseOrder),
        1 => Just(ReceiptKind::Transfer),
        1 => Just(ReceiptKind::Production),
    ]
}

fn rule() -> impl Strategy<Value = SupplyRule> {
    let grace = prop_oneof![
        Just(LateGrace::EndOfDay),
        (0..20i64).prop_map(|hours| LateGrace::Millis(hours * HOUR_MS)),
    ];
    (
        1..8u8,
        prop_oneof![3 => Just(15u8), 1 => 0..16u8],
        grace,
        10..90i64,
    )
        .prop_map(|(statuses, receipt_kinds, late_grace, hours)| SupplyRule {
            // Unrestricted stock counts in most rules.
            statuses: if statuses > 5 { statuses } else { statuses | 1 },
            receipt_kinds,
            late_grace,
            horizon_ms: hours * HOUR_MS,
        })
}

fn fill() -> impl Strategy<Value = FillPolicy> {
    prop_oneof![
        3 => Just(FillPolicy::AllOrNone),
        2 => Just(FillPolicy::Partial),
        2 => Just(FillPolicy::ShipComplete),
    ]
}

fn sourcing() -> impl Strategy<Value = SourcingPolicy> {
    prop_oneof![
        Just(SourcingPolicy::InOrder),
        Just(SourcingPolicy::Earliest),
        Just(SourcingPolicy::FewestPackages),
    ]
}

fn supply() -> impl Strategy<Value = Action> {
    let receipt = 0..4u8;
    prop_oneof![
        4 => (at(), status(), 0..60u64, ago()).prop_map(|(at, status, quantity, ago_ms)| Action::Count { at, status, quantity, ago_ms }),
        2 => (at(), -9..20i64, ago()).prop_map(|(at, delta, ago_ms)| Action::Adjust { at, delta, ago_ms }),
        1 => (at(), status(), status(), quantity()).prop_map(|(at, from, to, quantity)| Action::Move { at, from, to, quantity }),
        1 => (at(), quantity()).prop_map(|(at, quantity)| Action::Return { at, quantity }),
        1 => (0..ITEMS, 0..LOCATIONS, 0..LOCATIONS, quantity(), receipt.clone(), ahead())
            .prop_map(|(item, from, to, quantity, receipt, due_ms)| Action::Transfer { item, from, to, quantity, receipt, due_ms }),
        5 => (at(), receipt.clone(), quantity(), ahead(), kind(), ahead(), prop_oneof![3 => Just(1_000_000u32), 1 => 1..1_000_000u32])
            .prop_map(|(at, receipt, quantity, due_ms, kind, late_ms, yield_ppm)| Action::Schedule { at, receipt, quantity, due_ms, kind, late_ms: late_ms / 4, yield_ppm }),
        2 => (receipt.clone(), prop::option::of(quantity()), prop::option::of(ahead()))
            .prop_map(|(receipt, quantity, due_ms)| Action::Change { receipt, quantity, due_ms }),
        3 => (receipt.clone(), 0..30u64, any::<bool>(), ago()).prop_map(|(receipt, quantity, last, ago_ms)| Action::Receive { receipt, quantity, last, ago_ms }),
        1 => receipt.prop_map(|receipt| Action::Cancel { receipt }),
        1 => (at(), 0..9u64).prop_map(|(at, units)| Action::Buffer { at, units }),
        1 => (0..LOCATIONS, prop::option::of(0..ITEMS), 0..4u8).prop_map(|(location, item, policy)| Action::Follow { location, item, policy }),
        2 => (prop::collection::vec((0..ITEMS * LOCATIONS, 0..9u64), 1..4), 0..3u8).prop_map(|(buffers, model)| Action::Derive { buffers, model }),
        1 => (0..LOCATIONS, prop::option::of(0..ITEMS), rule()).prop_map(|(location, item, rule)| Action::Rule { location, item, rule }),
    ]
}

fn promises() -> impl Strategy<Value = Action> {
    let part = || prop::option::of((0..3u32, 1..9u64));
    let life = prop::option::of(prop_oneof![4 => 1..90 * 60 * 1_000i64, 1 => 0..9 * 24 * HOUR_MS]);
    prop_oneof![
        6 => (prop::collection::vec((at(), quantity(), ahead()), 1..4), fill(), prop::option::of(ahead()), life, any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(lines, fill, latest_ms, life_ms, customer, confirm)| Action::Reserve { lines, fill, latest_ms, life_ms, customer, confirm }),
        4 => (prop::collection::vec((0..ITEMS, quantity(), ahead()), 1..4), fill(), sourcing(), prop::option::of(ahead()), prop::option::of(1..5u64), prop::option::of(0..4u32))
            .prop_map(|(lines, fill, sourcing, latest_ms, split, packages)| Action::Promise { lines, fill, sourcing, latest_ms, split, packages }),
        3 => (0..5u64, prop::collection::vec((at(), quantity(), ahead()), 1..4)).prop_map(|(back, lines)| Action::Replace { back, lines }),
        1 => (0..5u64, 1..9 * HOUR_MS).prop_map(|(back, life_ms)| Action::Extend { back, life_ms }),
        4 => (0..5u64).prop_map(|back| Action::Confirm { back }),
        4 => (0..5u64, part(), prop::option::weighted(0.2, 0..LOCATIONS), ago()).prop_map(|(back, line, elsewhere, ago_ms)| Action::Fulfil { back, line, elsewhere, ago_ms }),
        3 => (0..5u64, part()).prop_map(|(back, line)| Action::Release { back, line }),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![
        5 => Just(0),
        3 => 0..20 * 60 * 1_000i64,
        1 => (0..20i64).prop_map(|hours| hours * HOUR_MS),
        1 => Just(-5_000),
    ];
    // Few ids, so that some are used again, with the same body or another.
    let request = prop_oneof![4 => Just(0u8), 2 => 1..12u8];
    let action = prop_oneof![2 => supply().boxed(), 3 => promises().boxed()];
    (wait, request, action).prop_map(|(wait_ms, request, action)| Step {
        wait_ms,
        request,
        action,
    })
}

pub fn units(n: u64) -> Units {
    Units::new(n).expect("small")
}

fn receipt(n: u8) -> Box<str> {
    format!("receipt-{n}").into()
}

impl Action {
    /// The command at a time; `newest` is the number of the newest reservation.
    pub fn command(&self, now: UtcMillis, newest: u64) -> Command {
        let back = |back: u64| ReservationId(newest.saturating_sub(back).max(1));
        let place = |at: (u32, u32)| (ItemId(at.0), LocationId(at.1));
        match self.clone() {
            Self::Count {
                at,
                status,
                quantity,
                ago_ms,
            } => {
                let (item, location) = place(at);
                Command::SetOnHand(SetOnHand {
                    item,
                    location,
                    status,
                    quantity: units(quantity),
                    counted_at: (ago_ms > 0).then(|| now.plus(-ago_ms)),
                    expected_on_hand: None,
                    expected_version: None,
                })
            }
            Self::Adjust { at, delta, ago_ms } => {
                let (item, location) = place(at);
                Command::AdjustOnHand(AdjustOnHand {
                    item,
                    location,
                    status: StockStatus::Unrestricted,
                    delta,
                    reason: AdjustReason::Correction,
                    happened_at: (ago_ms > 0).then(|| now.plus(-ago_ms)),
                })
            }
            Self::Move {
                at,
                from,
                to,
                quantity,
            } => {
                let (item, location) = place(at);
                Command::MoveStatus(MoveStatus {
                    item,
                    location,
                    from,
                    to,
                    quantity: units(quantity),
                    happened_at: None,
                })
            }
            Self::Return { at, quantity } => {
                let (item, location) = place(at);
                Command::Return(Return {
                    item,
                    location,
                    quantity: units(quantity),
                    status: StockStatus::Unrestricted,
                    reservation: None,
                    happened_at: None,
                })
            }
            Self::Transfer {
                item,
                from,
                to,
                quantity,
                receipt: n,
                due_ms,
            } => Command::Transfer(Transfer {
                item: ItemId(item),
                from: LocationId(from),
                to: LocationId(to),
                quantity: units(quantity),
                receipt: receipt(n),
                due: now.plus(due_ms),
                happened_at: None,
            }),
            Self::Schedule {
                at,
                receipt: n,
                quantity,
                due_ms,
                kind,
                late_ms,
                yield_ppm,
            } => {
                let (item, location) = place(at);
                Command::ScheduleReceipt(ScheduleReceipt {
                    receipt: receipt(n),
                    item,
                    location,
                    quantity: units(quantity),
                    due: Due::At(now.plus(due_ms)),
                    kind,
                    spread: Some(ArrivalSpread {
                        late: now.plus(due_ms + late_ms),
                        yield_ppm,
                    }),
                })
            }
            Self::Change {
                receipt: n,
                quantity,
                due_ms,
            } => Command::ChangeReceipt(ChangeReceipt {
                receipt: receipt(n),
                quantity: quantity.map(units),
                due: due_ms.map(|ms| Due::At(now.plus(ms))),
                spread: None,
                expected_revision: None,
            }),
            Self::Receive {
                receipt: n,
                quantity,
                last,
                ago_ms,
            } => Command::Receive(Receive {
                receipt: receipt(n),
                quantity: units(quantity),
                status: StockStatus::Unrestricted,
                last,
                happened_at: (ago_ms > 0).then(|| now.plus(-ago_ms)),
            }),
            Self::Cancel { receipt: n } => Command::CancelReceipt(CancelReceipt {
                receipt: receipt(n),
                expected_revision: None,
            }),
            Self::Buffer { at, units: n } => {
                let (item, location) = place(at);
                Command::PutBuffer(item, location, units(n))
            }
            Self::Follow {
                location,
                item,
                policy,
            } => buffers::follow(location, item, policy),
            Self::Derive { buffers, model } => buffers::derive(buffers, model),
            Self::Rule {
                location,
                item,
                rule,
            } => Command::PutRule(buffers::scope(location, item), rule),
            Self::Reserve {
                lines,
                fill,
                latest_ms,
                life_ms,
                customer,
                confirm,
            } => {
                let lines = lines.into_iter();
                Command::Reserve(Reserve {
                    lines: lines
                        .map(|one| {
                            // Some lines of an order name no latest time.
                            let latest_ms = latest_ms.filter(|_| !one.1.is_multiple_of(4));
                            replace::line(one, now, latest_ms)
                        })
                        .collect(),
                    terms: HoldTerms {
                        fill,
                        expires_in_ms: life_ms,
                        customer: if customer { "ann".into() } else { "".into() },
                        confirm,
                        ..HoldTerms::default()
                    },
                })
            }
            Self::Promise {
                lines,
                fill,
                sourcing,
                latest_ms,
                split,
                packages,
            } => {
                let line = |(item, quantity, ship_ms): (u32, u64, i64)| {
                    let ship = now.plus(ship_ms);
                    PromiseLine {
                        item: ItemId(item),
                        quantity: units(quantity),
                        ship_time: Some(ship),
                        latest: latest_ms.map(|ms| ship.plus(ms)),
                    }
                };
                Command::promise(Promise {
                    lines: lines.into_iter().map(line).collect(),
                    candidates: Candidates::Region(RegionId(0)),
                    sourcing,
                    max_packages: packages,
                    min_split: split.map(units),
                    terms: HoldTerms {
                        fill,
                        ..HoldTerms::default()
                    },
                })
            }
            Self::Replace { back: n, lines } => replace::command(back(n), &lines, now),
            Self::Extend { back: n, life_ms } => Command::Extend(Extend {
                reservation: back(n),
                expires_in_ms: life_ms,
            }),
            Self::Confirm { back: n } => Command::Confirm(back(n)),
            Self::Fulfil {
                back: n,
                line,
                elsewhere,
                ago_ms,
            } => Command::Fulfil(Fulfil {
                reservation: back(n),
                lines: line
                    .map(|(line, quantity)| FulfilLine {
                        line,
                        quantity: units(quantity),
                        location: elsewhere.map(LocationId),
                    })
                    .into_iter()
                    .collect(),
                happened_at: (ago_ms > 0).then(|| now.plus(-ago_ms)),
            }),
            Self::Release { back: n, line } => Command::Release(Release {
                reservation: back(n),
                lines: line
                    .map(|(line, quantity)| (line, units(quantity)))
                    .into_iter()
                    .collect(),
            }),
        }
    }
}
