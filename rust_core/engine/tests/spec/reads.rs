//! Reads: check, staircase, region by hour, explain, reports.

use bespeak_engine::*;

use crate::language::parse::Words;
use crate::language::times::time_text;
use crate::language::{World, specify, time};

#[test]
fn check() {
    specify(
        "
== what is available, whether it is enough, and from when it is
count 5 tea ams1
receipt po-1 10 tea ams1 due=d3
check 5 tea ams1                          -> yes, available 5 by supply
check 6 tea ams1                          -> no, available 5 earliest d3 by supply
check 16 tea ams1                         -> no, available 5 by supply
check 15 tea ams1 ship=d9                 -> yes, available 15 by supply
check 0 tea ams1                          -> yes, available 5 by supply

== nothing is known of the item there
check 1 tea ams1                          -> no, available 0 by no position
check 0 tea ams1                          -> no, available 0 by no position
check 1 ?9 ams1                           -> error UNKNOWN_ITEM
check 1 tea ?9                            -> error UNKNOWN_LOCATION

== times at which nothing can be promised
count 5 tea ams1
rule ams1 horizon=2d
at d1
check 1 tea ams1 ship=d1-1ms              -> refused SHIP_TIME_PAST
check 1 tea ams1 ship=d3                  -> yes, available 5 by supply
check 1 tea ams1 ship=d3+1ms              -> refused BEYOND_HORIZON
check 1 milk ams1 ship=d3+1ms             -> refused BEYOND_HORIZON
receipt po-1 5 tea ams1 due=d4
check 9 tea ams1                          -> no, available 5 by supply

== the commitment that binds is the one that takes the balance lowest
count 20 tea ams1
reserve 5 tea ams1 ship=d1 ; confirm
receipt po-1 5 tea ams1 due=d2
reserve 9 tea ams1 ship=d3 ; confirm
receipt po-2 9 tea ams1 due=d4
reserve 1 tea ams1 ship=d5 ; confirm
check 0 tea ams1                          -> yes, available 11 by a commitment of d3
check 0 tea ams1 ship=d3                  -> yes, available 11 by supply
check 0 tea ams1 ship=d4                  -> yes, available 19 by a commitment of d5

== a receipt that does not count does not hide the commitment before it
count 9 tea ams1
reserve 4 tea ams1 ship=d1 ; confirm
rule ams1 kinds=po
receipt mo-1 5 tea ams1 due=d2 kind=production
check 0 tea ams1                          -> yes, available 5 by a commitment of d1

== a stricter rule, and a looser one, which is marked
count 5 tea ams1
count 3 tea ams1 status=quality
receipt po-1 10 tea ams1 due=d1
check 9 tea ams1 ship=d1 on_hand_only     -> no, available 5 by supply
check 4 tea ams1 extra=2                  -> no, available 3 earliest d1 by supply
check 8 tea ams1 statuses=unrestricted+quality -> yes, available 8 by supply (hypothetical)
reserve 8 tea ams1 ; statuses=unrestricted+quality -> error LOOSER_RULE

== the staircase rises
count 5 tea ams1
receipt po-1 1 tea ams1 due=d1
receipt po-2 2 tea ams1 due=d2
reserve 2 tea ams1 ship=d3 ; confirm
staircase tea ams1                        -> d0 5, d1 6
staircase tea ams1 from=d2                -> d2 6
staircase milk ams1                       -> d0 0
",
    );
}

#[test]
fn region_by_hour() {
    let mut world = World::new(Settings::default());
    for line in [
        "count 5 tea ams1",
        "receipt po-1 4 tea ams1 due=d0+2h",
        "reserve 1 tea ams1 ship=d0+1h ; confirm",
        "count 7 tea rot1",
        "count 3 milk utr1",
        "rule rot1 horizon=1h",
    ] {
        world.say(line);
    }
    let north = world
        .state
        .catalog()
        .region_id("north")
        .expect("it is there");
    let (tea, milk) = (world.item("tea"), world.item("milk"));
    let answer = world.state.check_region(north, &[tea, milk], 4);
    let answer = answer.expect("it makes sense");
    let totals: Vec<_> = answer.iter().map(|row| row.total_by_hour.clone()).collect();
    assert_eq!(totals, [[11, 11, 8, 8], [3, 3, 3, 3]]);
    let tea_rows: Vec<Vec<u64>> = answer[0]
        .locations
        .iter()
        .map(|row| row.by_hour.iter().map(|units| units.get()).collect())
        .collect();
    // ams1: 4 now (one is promised for 01:00), 8 from 02:00 on; rot1: nothing past its horizon.
    assert_eq!(tea_rows, [[4, 4, 8, 8], [7, 7, 0, 0], [0, 0, 0, 0]]);
    let order: Vec<_> = answer[1].locations.iter().map(|row| row.location).collect();
    assert_eq!(order, [LocationId(0), LocationId(1), LocationId(2)]);

    let code = |region, items: &[ItemId], hours| {
        let answer = world.state.check_region(region, items, hours);
        answer.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(RegionId(9), &[tea], 1), "UNKNOWN_REGION");
    assert_eq!(code(north, &[ItemId(9)], 1), "UNKNOWN_ITEM");
    assert_eq!(code(north, &[], 1), "INVALID_ARGUMENT");
    assert_eq!(code(north, &[tea], 0), "INVALID_ARGUMENT");
    assert_eq!(code(north, &[tea], 168), "ok");
    assert_eq!(code(north, &[tea], 169), "INVALID_ARGUMENT");
    // 1,984 items at 3 locations over 168 hours stay below a million cells, 1,985 do not.
    assert_eq!(code(north, &vec![tea; 1_984], 168), "ok");
    assert_eq!(code(north, &vec![tea; 1_985], 168), "INVALID_ARGUMENT");
}

fn explain(world: &mut World, line: &str) -> Explanation {
    world.advance();
    let (main, after) = line.split_once(';').unwrap_or((line, ""));
    let now = world.now;
    let Command::Promise(promise) = world.promise(main, &Words::new(after, now)) else {
        panic!("not a promise");
    };
    let before = world.state.digest();
    let explanation = world.state.explain(&promise).expect("it makes sense");
    assert_eq!(world.state.digest(), before, "explaining changes nothing");
    // What it says would be answered is what is answered.
    let mut other = World::new(world.settings.clone());
    other.state = world.state.clone();
    other.now = world.now;
    let answer = other.step(Meta::default(), &Command::Promise(promise));
    let Ok(Answer {
        reply: Reply::Hold(hold),
        ..
    }) = answer
    else {
        panic!("{answer:?}");
    };
    assert_eq!(hold.outcome, explanation.outcome);
    let results: Vec<_> = explanation.lines.iter().map(|line| &line.result).collect();
    assert_eq!(results, hold.lines.iter().collect::<Vec<_>>());
    explanation
}

fn rows(line: &LineExplanation) -> Vec<String> {
    let row = |row: &LocationExplanation| {
        format!(
            "{} + {} - {} - {}: {} at {}, available {}, {:?}, missing {}{}",
            row.on_hand_counted,
            row.receipts_by_time,
            row.commitments_by_time,
            row.buffer.get(),
            row.lowest_balance,
            time_text(row.lowest_balance_time),
            row.available.get(),
            row.binding,
            row.missing.get(),
            row.earliest
                .map_or(String::new(), |at| format!(", earliest {}", time_text(at)))
        )
    };
    line.locations.iter().map(row).collect()
}

#[test]
fn explanations() {
    let mut world = World::new(Settings::default());
    for line in [
        "count 20 tea ams1",
        "receipt po-1 10 tea ams1 due=d3",
        "reserve 3 tea ams1 ship=d1 ; confirm",
        "reserve 15 tea ams1 ship=d4 ; confirm",
        "receipt po-2 9 tea ams1 due=d5",
        "count 9 tea rot1",
        "buffer 9 tea rot1",
    ] {
        world.say(line);
    }
    let explanation = explain(&mut world, "13 tea ship=d1 from region north");
    assert_eq!(explanation.outcome, Outcome::Refused);
    assert_eq!(
        rows(&explanation.lines[0]),
        [
            "20 + 0 - 3 - 0: 12 at d4, available 12, LaterCommitment, missing 1, earliest d5",
            "9 + 0 - 0 - 9: 0 at d1, available 0, Buffer, missing 13",
            "0 + 0 - 0 - 0: 0 at d1, available 0, NoPosition, missing 13",
        ]
    );
    assert!(!explanation.lines[0].locations[2].known);
    assert_eq!(
        explanation.lines[0].summary,
        "13 units of tea cannot ship at 2026-01-06T00:00:00Z: ams1 comes nearest with 12 available, the rest is \
         promised to orders up to 2026-01-09T00:00:00Z; 1 units more there would do, and all of it can ship at \
         2026-01-10T00:00:00Z"
    );

    // The second line sees what the first would take.
    let explanation = explain(&mut world, "12 tea ship=d1 | 1 tea ship=d4 from ams1");
    let seen: Vec<_> = explanation.lines.iter().flat_map(rows).collect();
    assert_eq!(
        seen,
        [
            "20 + 0 - 3 - 0: 12 at d4, available 12, LaterCommitment, missing 0, earliest d1",
            "20 + 10 - 30 - 0: 0 at d4, available 0, Supply, missing 1, earliest d5",
        ]
    );
    assert_eq!(
        explanation.lines[0].summary,
        "12 units of tea could ship at 2026-01-06T00:00:00Z, but another line of the order could not, and the \
         order takes all lines or none"
    );

    let explanation = explain(&mut world, "2 tea from ams1 rot1");
    assert_eq!(
        explanation.lines[0].summary,
        "2 units of tea can ship: 2 from ams1 at 2026-01-05T00:00:00Z"
    );
    // Under the rule of the request.
    let explanation = explain(&mut world, "2 tea ship=d5 from ams1 ; on_hand_only extra=1");
    assert_eq!(
        rows(&explanation.lines[0]),
        ["20 + 0 - 18 - 1: 1 at d5, available 1, Supply, missing 1"]
    );
    world.say("rule rot1 horizon=1d");
    world.say("buffer 0 tea rot1");
    let explanation = explain(&mut world, "2 tea ship=d2 from rot1");
    assert_eq!(
        rows(&explanation.lines[0]),
        ["9 + 0 - 0 - 0: 9 at d2, available 0, Supply, missing 0"]
    );
    assert_eq!(
        explanation.lines[0].result.refusal,
        Some(Refusal::BeyondHorizon)
    );
}

#[test]
fn reports() {
    let mut world = World::new(Settings::default());
    for line in [
        "count 20 tea ams1",
        "receipt po-1 10 tea ams1 due=d3",
        "reserve 3 tea ams1 ship=d1 ; confirm",
        "reserve 15 tea ams1 ship=d4 ; confirm",
        "receipt po-2 1 tea ams1 due=d5",
        "receipt po-3 3 tea ams1 due=d6",
        "reserve 2 tea ams1 ship=d9 ; confirm",
    ] {
        world.say(line);
    }
    let (tea, ams1) = (world.item("tea"), world.location("ams1"));
    let report = |world: &World, mode, from: &str, buckets| {
        let from = time(from, world.now);
        let day = limits::DAY_MS;
        world.state.report(tea, ams1, mode, from, day, buckets)
    };
    let values = |world: &World, mode| {
        let report = report(world, mode, "d1", 7).expect("it makes sense");
        report
            .buckets
            .iter()
            .map(|bucket| bucket.available)
            .collect::<Vec<_>>()
    };
    use AvailabilityMode::*;
    // The commitment of day 9 lies past the last bucket and binds look-ahead all the same.
    assert_eq!(values(&world, Lookahead), [12, 12, 12, 12, 13, 14, 14]);
    assert_eq!(values(&world, Cumulative), [17, 17, 27, 12, 13, 16, 16]);
    assert_eq!(values(&world, Discrete), [17, 0, -5, 0, 1, 3, 0]);
    assert_eq!(values(&world, Backward), [12, 0, 0, 0, 1, 3, 0]);
    assert_eq!(
        values(&world, BackwardAccumulate),
        [12, 12, 12, 12, 13, 16, 16]
    );
    // What lies before the first bucket is in the stock that it starts from.
    let later = report(&world, Cumulative, "d4", 2).expect("it makes sense");
    assert_eq!(later.on_hand, 27);
    let buckets: Vec<_> = later
        .buckets
        .iter()
        .map(|b| (b.supply, b.demand, b.available))
        .collect();
    assert_eq!(buckets, [(0, 15, 12), (1, 0, 13)]);
    assert_eq!(time_text(later.buckets[1].from), "d5");
    // The buffer is kept back, and a report is signed.
    world.say("buffer 15 tea ams1");
    assert_eq!(values(&world, Lookahead), [-3, -3, -3, -3, -2, -1, -1]);
    assert_eq!(values(&world, Cumulative), [2, 2, 12, -3, -2, 1, 1]);

    let code = |item, location, bucket_ms, buckets| {
        let answer = world
            .state
            .report(item, location, Discrete, world.now, bucket_ms, buckets);
        answer.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(ItemId(9), ams1, 1, 1), "UNKNOWN_ITEM");
    assert_eq!(code(tea, LocationId(9), 1, 1), "UNKNOWN_LOCATION");
    assert_eq!(code(tea, ams1, 1, 0), "INVALID_ARGUMENT");
    assert_eq!(code(tea, ams1, 1, 3_660), "ok");
    assert_eq!(code(tea, ams1, 1, 3_661), "INVALID_ARGUMENT");
    assert_eq!(code(tea, ams1, 0, 1), "INVALID_ARGUMENT");
    assert_eq!(code(ItemId(1), ams1, 1, 1), "ok");
}
