//! Master data: items with units of measure, locations with calendars, regions and lanes.

use bespeak_engine::*;

use crate::language::World;

fn item(name: &str, units: &[(&str, u64, u64)]) -> Command {
    let unit = |(unit, numerator, denominator): &(&str, u64, u64)| UnitOfMeasure {
        unit: (*unit).into(),
        numerator: *numerator,
        denominator: *denominator,
    };
    Command::PutItem(Item {
        name: name.into(),
        base_unit: "each".into(),
        units: units.iter().map(unit).collect(),
    })
}

fn location(name: &str, offsets: &[(i64, i32)]) -> Command {
    let offset = |(from, offset_s): &(i64, i32)| DayOffset {
        from: UtcMillis::new(*from),
        offset_s: *offset_s,
    };
    Command::PutLocation(Location {
        name: name.into(),
        time_zone: "".into(),
        day_offsets: offsets.iter().map(offset).collect(),
        kind: LocationKind::Store,
    })
}

fn region(locations: &[u32]) -> Command {
    Command::PutRegion(Region {
        name: "south".into(),
        locations: locations.iter().map(|n| LocationId(*n)).collect(),
    })
}

fn lane(transit: &[(u32, i64)], breaks: &[(u64, &str)]) -> Lane {
    Lane {
        name: "ams1-nl".into(),
        from: LocationId(0),
        to_zone: "nl".into(),
        carrier: "post".into(),
        service: "day".into(),
        transit: transit
            .iter()
            .map(|(level_ppm, transit_ms)| TransitQuantile {
                level_ppm: *level_ppm,
                transit_ms: *transit_ms,
            })
            .collect(),
        costs: breaks
            .iter()
            .map(|(up_to_grams, currency)| WeightBreak {
                up_to_grams: *up_to_grams,
                fixed_minor: 500,
                per_kg_minor: 20,
                currency: (*currency).into(),
            })
            .collect(),
    }
}

/// Given an empty world, each command and the field that it is refused for, if any.
#[test]
fn what_may_be_put() {
    let long = "n".repeat(129);
    let far: Vec<(i64, i32)> = (0..257).map(|n| (n, 0)).collect();
    let many: Vec<(&str, u64, u64)> = vec![("box", 1, 1); 33];
    let quantiles: Vec<(u32, i64)> = (0..100).map(|n| (n + 1, 0)).collect();
    let cases: Vec<(Command, Option<&str>)> = vec![
        (item("tea", &[("case", 12, 1), ("half", 1, 2)]), None),
        (item("", &[]), Some("item")),
        (item(&long, &[]), Some("item")),
        (item("te\na", &[]), Some("item")),
        (item("tea", &[("", 1, 1)]), Some("unit")),
        (item("tea", &[("box", 1, 1), ("box", 2, 1)]), Some("unit")),
        (item("tea", &[("each", 2, 1)]), Some("unit")),
        (item("tea", &[("box", 0, 1)]), Some("numerator")),
        (item("tea", &[("box", 1, 0)]), Some("numerator")),
        (
            item("tea", &[("box", 1_000_000_000_001, 1)]),
            Some("numerator"),
        ),
        (item("tea", &many), Some("units")),
        (location("ber1", &[(0, 7_200), (5, 3_600)]), None),
        (location("", &[]), Some("location")),
        (location("ber1", &[(5, 0), (5, 3_600)]), Some("day_offsets")),
        (
            location("ber1", &[(0, 26 * 3_600 + 1)]),
            Some("day_offsets"),
        ),
        (location("ber1", &far), Some("day_offsets")),
        (region(&[2, 0]), None),
        (region(&[]), None),
        (region(&[1, 1]), Some("locations")),
        (
            Command::PutLane(lane(&[(500_000, 1), (900_000, 1)], &[(1_000, "EUR")])),
            None,
        ),
        (
            Command::PutLane(lane(&[(500_000, 2), (900_000, 1)], &[])),
            Some("transit"),
        ),
        (
            Command::PutLane(lane(&[(900_000, 1), (900_000, 2)], &[])),
            Some("transit"),
        ),
        (
            Command::PutLane(lane(&[(1_000_000, 1)], &[])),
            Some("transit"),
        ),
        (Command::PutLane(lane(&[(1, -1)], &[])), Some("transit")),
        (Command::PutLane(lane(&quantiles, &[])), Some("transit")),
        (
            Command::PutLane(lane(&[], &[(5, "EUR"), (5, "EUR")])),
            Some("costs"),
        ),
        (Command::PutLane(lane(&[], &[(5, "EURO")])), Some("costs")),
        (
            Command::PutLane(Lane {
                to_zone: "".into(),
                ..lane(&[], &[])
            }),
            Some("to_zone"),
        ),
        (
            Command::PutLane(Lane {
                name: "".into(),
                ..lane(&[], &[])
            }),
            Some("lane"),
        ),
    ];
    let mut world = World::new(Settings::default());
    for (command, refused) in cases {
        let before = world.state.digest();
        let answer = world.step(Meta::default(), &command);
        let field = answer.as_ref().err().map(|error| match error {
            EngineError::InvalidArgument { field, .. } => *field,
            other => panic!("another error: {other}"),
        });
        assert_eq!(field, refused, "{command:?}");
        assert_eq!(
            world.state.digest() == before,
            refused.is_some(),
            "{command:?}"
        );
    }
    let unknown = Command::PutLane(Lane {
        from: LocationId(9),
        ..lane(&[], &[])
    });
    let answer = world.step(Meta::default(), &unknown);
    assert!(
        matches!(answer, Err(EngineError::UnknownLocation(_))),
        "{answer:?}"
    );
    let answer = world.step(Meta::default(), &region(&[9]));
    assert!(
        matches!(answer, Err(EngineError::UnknownLocation(_))),
        "{answer:?}"
    );
    world.verify();
}

#[test]
fn replacing_keeps_the_number_and_the_stock() {
    let mut world = World::new(Settings::default());
    world.say("count 25 tea ams1");
    let id = world.item("tea");
    assert!(
        world
            .step(Meta::default(), &item("tea", &[("case", 12, 1)]))
            .is_ok()
    );
    assert_eq!(world.item("tea"), id);
    assert_eq!(
        world.say("check 25 tea ams1"),
        "yes, available 25 by supply"
    );
    let catalog = world.state.catalog();
    let two_cases = catalog.to_base_exact(id, 2, "case");
    assert_eq!(two_cases.map(Units::get), Ok(24));
    let available = Units::new(25).expect("small");
    assert_eq!(catalog.from_base_floor(id, available, "case"), Ok(2));
    world.verify();
}

/// A receipt due on a date is due at the end of that day where the location is.
#[test]
fn days_follow_the_calendar_of_the_location() {
    let mut world = World::new(Settings::default());
    // Two hours east of UTC until the last instant of its day 2, from then on one hour.
    let change = crate::language::time("d2+22h", world.now).get();
    let put = location("ams1", &[(0, 7_200), (change, 3_600)]);
    assert!(world.step(Meta::default(), &put).is_ok());
    for (receipt, due) in [("po-1", "day1"), ("po-2", "day2"), ("po-3", "day3")] {
        world.say(&format!("receipt {receipt} 1 tea ams1 due={due}"));
    }
    let due = |name: &str| {
        let receipt = world.state.receipt(name).expect("it is open");
        crate::language::times::time_text(receipt.due())
    };
    assert_eq!(due("po-1"), "d1+21h59m59s999ms");
    assert_eq!(due("po-2"), "d2+22h59m59s999ms");
    assert_eq!(due("po-3"), "d3+22h59m59s999ms");
    world.verify();
}

/// The grace of a receipt ends with the day, so another calendar is another end.
#[test]
fn another_calendar_judges_receipts_anew() {
    let mut world = World::new(Settings::default());
    world.say("receipt po-1 5 tea ams1 due=d1+23h");
    world.say("reserve 4 tea ams1 ship=d2 ; confirm");
    let mut put = |at: &str, offset_s: i32| {
        let due = world.say(&format!("advance {at}"));
        let moved = world.step(Meta::default(), &location("ams1", &[(0, offset_s)]));
        assert!(moved.is_ok(), "{moved:?}");
        (due, world.say("shocks"), world.say("advance"))
    };
    let (nothing, none) = ("nothing".to_owned(), "none".to_owned());
    // Two hours east, where that instant is the day after, it counts for a day more.
    let late = "overdue receipt 1 at d2, shock s1 of 4 at d2".to_owned();
    assert_eq!(put("d2+1h", 7_200), (late, none, nothing.clone()));
    let short = "s2 Rule tea@ams1 short 4 until never risks [r1:0 of 4]".to_owned();
    assert_eq!(
        put("d2+2h", 0),
        (nothing.clone(), short.clone(), nothing.clone())
    );
    assert_eq!(put("d2+3h", 0), (nothing.clone(), short, nothing));
    world.verify();
}
