//! A position at its limit of planned movements, which tests lower so that they can reach it.

use crate::catalog_types::{
    DayOffset, Item, Location, LocationKind, ReceiptKind, RuleScope, StockStatus, SupplyRule,
};
use crate::command::*;
use crate::ids::{ItemId, LocationId, Units, UtcMillis};
use crate::limits::{
    MAX_ENTRIES_PER_POSITION, MAX_LINES, MAX_RULE_POSITIONS, MAX_RULES, MAX_WALKED_ENTRIES,
    SHIP_COMPLETE_DATES,
};
use crate::read::check::CheckLine;
use crate::refusal::{EngineError, Refusal};
use crate::reply::{HoldReply, Outcome, Reply, ReservationState};
use crate::state::{Settings, State};

const NOW: UtcMillis = UtcMillis::new(1_000);
const ITEM: ItemId = ItemId(0);
const LOCATION: LocationId = LocationId(0);

fn units(n: u64) -> Units {
    Units::new(n).expect("small")
}

fn say(state: &mut State, command: &Command) -> Reply {
    let answer = state.step(Meta::default(), command, NOW, &mut |_| {});
    answer.expect("the command makes sense").reply
}

fn reserve(lines: std::ops::Range<usize>, fill: FillPolicy) -> Command {
    let line = |n: usize| ReserveLine {
        item: ITEM,
        location: LOCATION,
        quantity: units(1),
        ship_time: Some(NOW.plus((n * 7_919 % MAX_ENTRIES_PER_POSITION) as i64)),
        latest: None,
    };
    Command::Reserve(Reserve {
        lines: lines.map(line).collect(),
        terms: HoldTerms {
            fill,
            confirm: true,
            ..HoldTerms::default()
        },
    })
}

fn full() -> State {
    let mut state = State::new(Settings::default());
    let setup = [
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
            item: ITEM,
            location: LOCATION,
            status: StockStatus::Unrestricted,
            quantity: units(1_000_000),
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        }),
    ];
    for command in &setup {
        say(&mut state, command);
    }
    let mut made = 0;
    while made < MAX_ENTRIES_PER_POSITION {
        let next = (made + MAX_LINES).min(MAX_ENTRIES_PER_POSITION);
        let Reply::Hold(hold) = say(&mut state, &reserve(made..next, FillPolicy::AllOrNone)) else {
            panic!("not a hold");
        };
        assert_eq!(hold.outcome, Outcome::Full, "{made} made");
        made = next;
    }
    state
}

#[test]
fn a_full_position_takes_no_commitment() {
    let mut state = full();
    assert_eq!(
        state.positions[0][0].timeline.len(),
        MAX_ENTRIES_PER_POSITION
    );
    for fill in [
        FillPolicy::AllOrNone,
        FillPolicy::Partial,
        FillPolicy::ShipComplete,
    ] {
        let Reply::Hold(hold) = say(&mut state, &reserve(0..1, fill)) else {
            panic!("not a hold");
        };
        assert_eq!(hold.outcome, Outcome::Refused, "{fill:?}");
        assert_eq!(hold.lines[0].refusal, Some(Refusal::Limit), "{fill:?}");
    }
    let promise = Command::promise(Promise {
        lines: [PromiseLine {
            item: ITEM,
            quantity: units(1),
            ship_time: None,
            latest: None,
        }]
        .into_iter()
        .collect(),
        candidates: Candidates::Locations([LOCATION].into_iter().collect()),
        sourcing: SourcingPolicy::InOrder,
        max_packages: None,
        min_split: None,
        terms: HoldTerms::default(),
    });
    let Reply::Hold(hold) = say(&mut state, &promise) else {
        panic!("not a hold");
    };
    assert_eq!(hold.lines[0].refusal, Some(Refusal::Limit));
    assert_eq!(state.reconcile(), []);
}

/// The lines of one request count too.
#[test]
fn a_position_with_room_for_one_takes_one() {
    let mut state = full();
    say(
        &mut state,
        &Command::Release(Release {
            reservation: crate::ids::ReservationId(1),
            lines: [(0, units(1))].into_iter().collect(),
        }),
    );
    let Reply::Hold(hold) = say(&mut state, &reserve(0..2, FillPolicy::Partial)) else {
        panic!("not a hold");
    };
    let refusals: Vec<_> = hold.lines.iter().map(|line| line.refusal).collect();
    assert_eq!(refusals, [None, Some(Refusal::Limit)]);
}

fn rule(item: u32, hours: usize) -> Command {
    let rule = SupplyRule {
        horizon_ms: (hours as i64 + 1) * 3_600_000,
        ..SupplyRule::default()
    };
    Command::PutRule(RuleScope::Position(ItemId(item), LOCATION), rule)
}

/// The table of rules is full of those that are followed, not of those that once were.
#[test]
fn a_rule_that_nobody_follows_makes_room() {
    let mut state = State::new(Settings::default());
    for n in 0..=MAX_RULES {
        say(
            &mut state,
            &Command::PutItem(Item {
                name: format!("item-{n}").into(),
                base_unit: "each".into(),
                units: vec![],
            }),
        );
    }
    say(
        &mut state,
        &Command::PutLocation(Location {
            name: "ams1".into(),
            time_zone: "".into(),
            day_offsets: vec![],
            kind: LocationKind::Dc,
        }),
    );
    // One position that changes its mind for ever needs one place.
    for n in 0..3 * MAX_RULES {
        say(&mut state, &rule(0, n));
    }
    assert!(state.position_rules.len() <= MAX_RULES + 1);
    for n in 1..MAX_RULES {
        say(&mut state, &rule(n as u32, 1_000 + n));
    }
    let another = rule(MAX_RULES as u32, 9_000);
    let refused = state.step(Meta::default(), &another, NOW, &mut |_| {});
    assert!(
        matches!(refused, Err(EngineError::Full { .. })),
        "{refused:?}"
    );
    // Every position still follows its own.
    for n in 1..MAX_RULES {
        let position = state.position(
            state
                .position_id(ItemId(n as u32), LOCATION)
                .expect("it has a rule"),
        );
        let hours = state.rule_of(position).horizon_ms / 3_600_000;
        assert_eq!(hours, 1_001 + n as i64);
    }
    // A rule that is there can be followed, and one's own can be replaced.
    say(&mut state, &rule(MAX_RULES as u32, 1_001));
    say(&mut state, &rule(2, 9_000));
    assert_eq!(state.reconcile(), []);
}

/// What others planned while a hold was out leaves no room for it, though its stock is there.
#[test]
fn a_full_position_takes_no_expired_hold_again() {
    let mut state = full();
    let release = |state: &mut State, line: u32| {
        let reply = say(
            state,
            &Command::Release(Release {
                reservation: crate::ids::ReservationId(1),
                lines: [(line, units(1))].into_iter().collect(),
            }),
        );
        assert!(matches!(reply, Reply::Step(step) if step.refusal.is_none()));
    };
    release(&mut state, 0);
    let hold = Command::Reserve(Reserve {
        lines: [ReserveLine {
            item: ITEM,
            location: LOCATION,
            quantity: units(1),
            ship_time: None,
            latest: None,
        }]
        .into_iter()
        .collect(),
        terms: HoldTerms {
            expires_in_ms: Some(1),
            ..HoldTerms::default()
        },
    });
    let Reply::Hold(HoldReply {
        reservation: Some(id),
        ..
    }) = say(&mut state, &hold)
    else {
        panic!("not held");
    };
    let later = NOW.plus(1);
    state.advance(later, &mut |_| {});
    let at_later = |state: &mut State, command: &Command| {
        let answer = state.step(Meta::default(), command, later, &mut |_| {});
        answer.expect("the command makes sense").reply
    };
    let Reply::Hold(other) = at_later(&mut state, &reserve(1..2, FillPolicy::AllOrNone)) else {
        panic!("not a hold");
    };
    assert_eq!(other.outcome, Outcome::Full);
    let confirm = Command::Confirm(id);
    let Reply::Step(step) = at_later(&mut state, &confirm) else {
        panic!("not a step");
    };
    assert_eq!(step.refusal, Some(Refusal::Limit));
    assert_eq!(step.state, ReservationState::Expired);
    release(&mut state, 1);
    let Reply::Step(step) = at_later(&mut state, &confirm) else {
        panic!("not a step");
    };
    assert_eq!((step.refusal, step.reacquired), (None, true));
    assert_eq!(state.reconcile(), []);
}

#[test]
fn a_full_position_takes_no_receipt() {
    let mut state = full();
    let schedule = Command::ScheduleReceipt(ScheduleReceipt {
        receipt: "po-1".into(),
        item: ITEM,
        location: LOCATION,
        quantity: units(1),
        due: Due::At(NOW.plus(1)),
        kind: ReceiptKind::PurchaseOrder,
        spread: None,
    });
    let Reply::Supply(supply) = say(&mut state, &schedule) else {
        panic!("not a fact about stock");
    };
    assert_eq!(supply.refusal, Some(Refusal::Limit));
}

fn item(name: &str) -> Command {
    Command::PutItem(Item {
        name: name.into(),
        base_unit: "each".into(),
        units: vec![],
    })
}

fn location(name: &str) -> Command {
    Command::PutLocation(Location {
        name: name.into(),
        time_zone: "".into(),
        day_offsets: vec![],
        kind: LocationKind::Dc,
    })
}

const STRICT: RuleOverride = RuleOverride {
    statuses: None,
    receipt_kinds: None,
    extra_buffer: Units::ZERO,
    on_hand_only: true,
};

fn strict_terms(fill: FillPolicy) -> HoldTerms {
    HoldTerms {
        fill,
        rule: Some(STRICT),
        ..HoldTerms::default()
    }
}

fn promise_of(lines: usize, locations: u32, terms: HoldTerms) -> Promise {
    let line = PromiseLine {
        item: ITEM,
        quantity: units(1),
        ship_time: None,
        latest: None,
    };
    Promise {
        lines: std::iter::repeat_n(line, lines).collect(),
        candidates: Candidates::Locations((0..locations).map(LocationId).collect()),
        sourcing: SourcingPolicy::InOrder,
        max_packages: None,
        min_split: None,
        terms,
    }
}

fn names_lines<T: std::fmt::Debug>(result: Result<T, EngineError>) {
    match result {
        Err(EngineError::InvalidArgument { field: "lines", .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_request_may_walk_is_told_before_it_is_walked() {
    let state = full();
    // A position at its limit of entries, and a limit of four times as many.
    assert_eq!(MAX_WALKED_ENTRIES, 4 * MAX_ENTRIES_PER_POSITION);
    let line = CheckLine {
        item: ITEM,
        location: LOCATION,
        quantity: units(1),
        ship_time: None,
        rule: Some(STRICT),
    };
    assert!(state.check_budget(&[line; 4], false).is_ok());
    names_lines(state.check_budget(&[line; 5], false));
    assert!(state.check_budget(&[line; 2], true).is_ok());
    names_lines(state.check_budget(&[line; 3], true));
    let plain = CheckLine { rule: None, ..line };
    assert!(state.check_budget(&[plain; 256], false).is_ok());

    let decide = |command: &Command| crate::decide::decide(&state, &Meta::default(), command);
    let reserve_strictly = |lines: usize| {
        let Command::Reserve(mut asked) = reserve(0..lines, FillPolicy::AllOrNone) else {
            unreachable!()
        };
        asked.terms.rule = Some(STRICT);
        Command::Reserve(asked)
    };
    assert!(decide(&reserve_strictly(1)).is_ok());
    names_lines(decide(&reserve_strictly(2)).map(|_| ()));

    let promise = |lines, fill| decide(&Command::promise(promise_of(lines, 1, strict_terms(fill))));
    assert!(promise(1, FillPolicy::AllOrNone).is_ok());
    names_lines(promise(2, FillPolicy::AllOrNone).map(|_| ()));
    names_lines(promise(1, FillPolicy::ShipComplete).map(|_| ()));

    let explain = |lines| state.explain(&promise_of(lines, 1, HoldTerms::default()));
    assert!(explain(4).is_ok());
    names_lines(explain(5));
}

#[test]
fn what_a_promise_may_look_up_is_told_before_it_is_looked_up() {
    let mut state = State::new(Settings::default());
    say(&mut state, &item("tea"));
    for n in 0..26 {
        say(&mut state, &location(&format!("ams{n}")));
    }
    let decide = |lines, locations, fill| {
        let terms = HoldTerms {
            fill,
            ..HoldTerms::default()
        };
        let command = Command::promise(promise_of(lines, locations, terms));
        crate::decide::decide(&state, &Meta::default(), &command).map(|_| ())
    };
    assert_eq!(SHIP_COMPLETE_DATES, 40);
    assert!(decide(252, 26, FillPolicy::ShipComplete).is_ok());
    names_lines(decide(253, 26, FillPolicy::ShipComplete));
    assert!(decide(256, 26, FillPolicy::AllOrNone).is_ok());
}

#[test]
fn a_rule_that_reaches_too_far_is_refused() {
    let mut state = State::new(Settings::default());
    say(&mut state, &location("ams1"));
    let rule = Command::PutRule(
        RuleScope::Location(LOCATION),
        SupplyRule {
            receipt_kinds: 0,
            ..SupplyRule::default()
        },
    );
    let own = |n: usize| {
        let scope = RuleScope::Position(ItemId(n as u32), LOCATION);
        Command::PutRule(scope, SupplyRule::default())
    };
    for n in 0..=MAX_RULE_POSITIONS {
        say(&mut state, &item(&format!("item-{n}")));
        let receipt = ScheduleReceipt {
            receipt: format!("po-{n}").into(),
            item: ItemId(n as u32),
            location: LOCATION,
            quantity: units(1),
            due: Due::At(NOW.plus(1_000)),
            kind: ReceiptKind::PurchaseOrder,
            spread: None,
        };
        say(&mut state, &Command::ScheduleReceipt(receipt));
    }
    let refused = state.step(Meta::default(), &rule, NOW, &mut |_| {});
    assert!(
        matches!(
            refused,
            Err(EngineError::InvalidArgument {
                field: "location",
                ..
            })
        ),
        "{refused:?}"
    );
    say(&mut state, &own(0));
    say(&mut state, &rule);
    // Another calendar reaches those with rules of their own too.
    let mut moved = Location {
        name: "ams1".into(),
        time_zone: "".into(),
        day_offsets: vec![DayOffset {
            from: UtcMillis::ZERO,
            offset_s: 3_600,
        }],
        kind: LocationKind::Store,
    };
    let calendar = Command::PutLocation(moved.clone());
    let refused = state.step(Meta::default(), &calendar, NOW, &mut |_| {});
    assert!(
        matches!(
            refused,
            Err(EngineError::InvalidArgument {
                field: "day_offsets",
                ..
            })
        ),
        "{refused:?}"
    );
    moved.day_offsets.clear();
    say(&mut state, &Command::PutLocation(moved));
}

#[test]
fn promises_at_risk_are_not_worked_out_where_too_much_is_planned() {
    let mut state = full();
    let loss = Command::AdjustOnHand(AdjustOnHand {
        item: ITEM,
        location: LOCATION,
        status: StockStatus::Unrestricted,
        delta: -1_000_000,
        reason: AdjustReason::Loss,
        happened_at: None,
    });
    let Reply::Supply(reply) = say(&mut state, &loss) else {
        panic!("no fact")
    };
    let id = reply.shock.expect("promises are broken");
    let view = state.shock(id).expect("it is open");
    assert_eq!(view.at_risk_total, None);
    assert!(view.at_risk.is_empty());
    assert!(!view.shortfall.is_zero());
}
