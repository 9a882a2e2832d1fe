//! Availability tables published by two vendors, reproduced exactly.

use std::io::Write as _;

use bespeak_engine::{AvailabilityMode, availability};

type Table = (
    AvailabilityMode,
    i64,
    &'static [i64],
    &'static [i64],
    &'static [i64],
);

const ORACLE_SUPPLY: &[i64] = &[6, 4, 2, 4, 8, 4, 4, 4];
const ORACLE_DEMAND: &[i64] = &[6, 2, 3, 6, 6, 1, 2, 2];
const NONE: &[i64] = &[0, 0, 0, 0, 0, 0, 0];

/// Mode, stock on hand, supply and demand of each period, availability of each period.
const TABLES: [Table; 6] = [
    // Oracle Inventory user's guide, ATP calculation examples (backward consumption).
    (
        AvailabilityMode::Backward,
        0,
        ORACLE_SUPPLY,
        ORACLE_DEMAND,
        &[0, 0, 0, -1, 2, 3, 2, 2],
    ),
    // Oracle Inventory user's guide, ATP calculation examples (backward consumption and accumulation).
    (
        AvailabilityMode::BackwardAccumulate,
        0,
        ORACLE_SUPPLY,
        ORACLE_DEMAND,
        &[0, 0, 0, -1, 2, 5, 7, 9],
    ),
    // The same data under look-ahead, computed by definition.
    (
        AvailabilityMode::Lookahead,
        0,
        ORACLE_SUPPLY,
        ORACLE_DEMAND,
        &[-1, -1, -1, -1, 1, 4, 6, 8],
    ),
    // Dynamics 365 Inventory Visibility documentation, available to promise examples.
    (
        AvailabilityMode::Lookahead,
        20,
        NONE,
        &[3, 0, 0, 0, 0, 0, 0],
        &[17, 17, 17, 17, 17, 17, 17],
    ),
    (
        AvailabilityMode::Lookahead,
        20,
        &[0, 0, 10, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0],
        &[17, 17, 27, 27, 27, 27, 27],
    ),
    (
        AvailabilityMode::Lookahead,
        20,
        &[0, 0, 10, 0, 1, 3, 0],
        &[3, 0, 0, 15, 0, 0, 0],
        &[12, 12, 12, 12, 13, 16, 16],
    ),
];

#[test]
fn published_tables() {
    for (mode, on_hand, supply, demand, expected) in TABLES {
        assert_eq!(
            availability(mode, on_hand, supply, demand),
            expected,
            "{mode:?}"
        );
    }
}

/// The same tables as a file beside the tree, where there is one: nothing was copied wrongly.
#[test]
fn published_tables_of_the_file() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/atp_golden.json"
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "the test reads a file, the engine does not"
    )]
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            // `published_tables` has the same tables within it, so that nothing but the copying goes unproved.
            // Past the harness, which keeps to itself what a test that passes has to say.
            let _ = writeln!(
                std::io::stderr(),
                "published_tables_of_the_file: not compared: {path}: {error}"
            );
            return;
        }
    };
    let mut told = 0;
    for vector in text.split("\"source\"").skip(1) {
        let mode = match word_after(vector, "\"mode\"") {
            "backward" => AvailabilityMode::Backward,
            "backward_accumulate" => AvailabilityMode::BackwardAccumulate,
            "lookahead" => AvailabilityMode::Lookahead,
            other => panic!("no mode {other}"),
        };
        let on_hand = vector.split("\"on_hand\":").nth(1).expect("on_hand");
        let on_hand = on_hand.split(',').next().expect("a number").trim();
        let on_hand = on_hand.parse().expect("a number");
        let (supply, demand) = (numbers(vector, "\"supply\""), numbers(vector, "\"demand\""));
        let expected = numbers(vector, "\"expected\"");
        assert_eq!(
            availability(mode, on_hand, &supply, &demand),
            expected,
            "{mode:?}"
        );
        let known = TABLES.iter().any(|table| {
            table.0 == mode && table.2 == supply && table.3 == demand && table.4 == expected
        });
        assert!(known, "the file has a table that is missing here: {vector}");
        told += 1;
    }
    assert_eq!(told, TABLES.len());
}

fn word_after<'a>(text: &'a str, name: &str) -> &'a str {
    let after = text.split(name).nth(1).expect("the field is there");
    after.split('"').nth(1).expect("a word")
}

fn numbers(text: &str, name: &str) -> Vec<i64> {
    let after = text.split(name).nth(1).expect("the field is there");
    let list = after.split(['[', ']']).nth(1).expect("a list");
    let number = |word: &str| word.trim().parse().expect("a number");
    list.split(',').map(number).collect()
}

/// Discrete and cumulative by their definitions, written out a second time.
#[test]
fn discrete_and_cumulative_by_definition() {
    let (supply, demand) = ([0, 5, 0, 7, 0, 0], [2, 1, 4, 3, 9, 1]);
    let discrete = availability(AvailabilityMode::Discrete, 10, &supply, &demand);
    // Stock until the first supply; then each supply less the demand until the next one.
    assert_eq!(discrete, [10 - 2, 5 - 1 - 4, 0, 7 - 3 - 9 - 1, 0, 0]);
    let cumulative = availability(AvailabilityMode::Cumulative, 10, &supply, &demand);
    for bucket in 0..supply.len() {
        let supplied: i64 = supply[..=bucket].iter().sum();
        let wanted: i64 = demand[..=bucket].iter().sum();
        assert_eq!(cumulative[bucket], 10 + supplied - wanted);
    }
    for mode in [
        AvailabilityMode::Discrete,
        AvailabilityMode::Cumulative,
        AvailabilityMode::Lookahead,
        AvailabilityMode::Backward,
        AvailabilityMode::BackwardAccumulate,
    ] {
        assert_eq!(availability(mode, 3, &[], &[]), [0i64; 0], "{mode:?}");
        assert_eq!(availability(mode, 3, &[4], &[9]), [-2], "{mode:?}");
    }
}
