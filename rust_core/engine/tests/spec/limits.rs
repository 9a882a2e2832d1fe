//! Limits of one request and of one answer. Those of the tables are in `src/decide/full_tests.rs`.

use bespeak_engine::limits::{MAX_AT_RISK, MAX_CANDIDATES, MAX_PARTS, MAX_SOURCING_CELLS};
use bespeak_engine::*;

use crate::language::World;

fn units(n: usize) -> Units {
    Units::new(n as u64).expect("small")
}

/// A world with so many locations beside the usual three; returns those.
fn world(locations: usize) -> (World, Vec<LocationId>) {
    let mut world = World::new(Settings::default());
    let before = world.state.catalog().locations().len() as u32;
    for n in 0..locations {
        let location = Command::PutLocation(Location {
            name: format!("loc-{n}").into(),
            time_zone: "".into(),
            day_offsets: vec![],
            kind: LocationKind::Store,
        });
        say(&mut world, &location).expect("a location");
    }
    let made = (before..before + locations as u32).map(LocationId);
    (world, made.collect())
}

fn say(world: &mut World, command: &Command) -> Result<Reply, EngineError> {
    world
        .step(Meta::default(), command)
        .map(|answer| answer.reply)
}

fn count(location: LocationId, quantity: usize) -> Command {
    Command::SetOnHand(SetOnHand {
        item: ItemId(0),
        location,
        status: StockStatus::Unrestricted,
        quantity: units(quantity),
        counted_at: None,
        expected_on_hand: None,
        expected_version: None,
    })
}

/// So many lines of `quantity` tea each, from any of the locations in parts of one or more.
fn promise(lines: usize, quantity: usize, locations: &[LocationId]) -> Command {
    let line = PromiseLine {
        item: ItemId(0),
        quantity: units(quantity),
        ship_time: None,
        latest: None,
    };
    Command::promise(Promise {
        lines: std::iter::repeat_n(line, lines).collect(),
        candidates: Candidates::Locations(locations.iter().copied().collect()),
        sourcing: SourcingPolicy::InOrder,
        max_packages: None,
        min_split: Some(units(1)),
        terms: HoldTerms::default(),
    })
}

fn hold(reply: Result<Reply, EngineError>) -> HoldReply {
    match reply {
        Ok(Reply::Hold(hold)) => hold,
        other => panic!("no hold: {other:?}"),
    }
}

#[test]
fn candidates() {
    let (mut world, places) = world(MAX_CANDIDATES + 1);
    say(&mut world, &count(places[0], 1)).expect("a count");
    let taken = say(&mut world, &promise(1, 1, &places[..MAX_CANDIDATES]));
    assert_eq!(hold(taken).outcome, Outcome::Full);
    let told = say(&mut world, &promise(1, 1, &places));
    assert!(
        matches!(&told, Err(EngineError::InvalidArgument { field: "locations", value, .. })
            if value == "257 locations"),
        "{told:?}"
    );
    world.verify();
}

#[test]
fn lines_times_candidates() {
    let (mut world, places) = world(MAX_CANDIDATES);
    let most = MAX_SOURCING_CELLS / MAX_CANDIDATES;
    say(&mut world, &count(places[0], most)).expect("a count");
    let taken = say(&mut world, &promise(most, 1, &places));
    assert_eq!(hold(taken).outcome, Outcome::Full);
    let told = say(&mut world, &promise(most + 1, 1, &places));
    assert!(
        matches!(
            &told,
            Err(EngineError::InvalidArgument { field: "lines", .. })
        ),
        "{told:?}"
    );
    world.verify();
}

/// Items with one unit at each of five locations: a line of five units has five parts.
#[test]
fn parts_of_a_reservation() {
    const EACH: usize = 5;
    let lines = MAX_PARTS / EACH + 1;
    let (mut world, places) = world(EACH);
    let first = world.state.catalog().items().len() as u32;
    for n in 0..lines as u32 {
        let item = Command::PutItem(Item {
            name: format!("sku-{n}").into(),
            base_unit: "each".into(),
            units: vec![],
        });
        say(&mut world, &item).expect("an item");
        for place in &places {
            let Command::SetOnHand(mut counted) = count(*place, 1) else {
                unreachable!("it counts");
            };
            counted.item = ItemId(first + n);
            say(&mut world, &Command::SetOnHand(counted)).expect("a count");
        }
    }
    let order = |last: usize| {
        let Command::Promise(mut promise) = promise(lines, EACH, &places) else {
            unreachable!("it promises");
        };
        for (n, line) in promise.lines.iter_mut().enumerate() {
            line.item = ItemId(first + n as u32);
        }
        promise.lines[lines - 1].quantity = units(last);
        Command::Promise(promise)
    };
    let room = MAX_PARTS - (lines - 1) * EACH;
    let told = hold(say(&mut world, &order(room + 1)));
    assert_eq!(told.outcome, Outcome::Refused);
    assert_eq!(told.lines[0].refusal, Some(Refusal::SplitLimit));
    let told = hold(say(&mut world, &order(room)));
    assert_eq!(told.outcome, Outcome::Full);
    let parts: usize = told.lines.iter().map(|line| line.parts.len()).sum();
    assert_eq!(parts, MAX_PARTS);
    world.verify();
}

/// The first in order are listed; the shortfall tells of all.
#[test]
fn promises_at_risk_of_a_shock() {
    const PROMISED: usize = MAX_AT_RISK + 5;
    let (mut world, places) = world(1);
    say(&mut world, &count(places[0], PROMISED)).expect("a count");
    for _ in 0..PROMISED {
        let told = hold(say(&mut world, &promise(1, 1, &places)));
        assert_eq!(told.outcome, Outcome::Full);
    }
    let Ok(Reply::Supply(told)) = say(&mut world, &count(places[0], 0)) else {
        panic!("no answer to a count");
    };
    let raised = told.shock.expect("nothing is left for anyone");
    let shock = world.state.shock(raised).expect("it is open");
    assert_eq!(shock.shortfall, units(PROMISED));
    let listed: Vec<u64> = shock
        .at_risk
        .iter()
        .map(|risk| risk.reservation.0)
        .collect();
    let first: Vec<u64> = (1..=MAX_AT_RISK as u64).collect();
    assert_eq!(listed, first, "in the order in which they were made");
    world.verify();
}
