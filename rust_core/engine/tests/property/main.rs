//! Random commands against an oracle that knows nothing but the list of events.
//!
//! proptest prints the seed of a failure and shrinks it; `PROPTEST_CASES` asks for more cases.

mod buffers;
mod commands;
mod judge;
mod oracle;
mod replace;
mod story;

use bespeak_engine::Settings;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    /// After every step: nothing oversold, stock conserved, checks exact at many times; at the end: replay,
    /// snapshot and snapshot with tail give the live digest.
    #[test]
    fn the_engine_agrees_with_the_list_of_events(steps in prop::collection::vec(commands::step(), 1..60)) {
        story::run(Settings::default(), &steps)?;
    }

    /// The same with the smallest limits: few answers remembered, few units a customer, short holds.
    #[test]
    fn the_engine_agrees_under_tight_limits(steps in prop::collection::vec(commands::step(), 1..60)) {
        let settings = Settings {
            default_hold_ms: 5 * 60 * 1_000,
            max_hold_life_ms: 60 * 60 * 1_000,
            max_held_units_per_customer: 12,
            remembered_requests: 4,
            hash_seed: 7,
        };
        story::run(settings, &steps)?;
    }
}
