//! Buffers that follow a forecast, as commands.

use bespeak_engine::*;

use crate::oracle::Oracle;

/// A location, or one item there.
pub fn scope(location: u32, item: Option<u32>) -> RuleScope {
    let location = LocationId(location);
    match item {
        Some(item) => RuleScope::Position(ItemId(item), location),
        None => RuleScope::Location(location),
    }
}

/// Policy 0 inherits, 1 is static, others follow.
pub fn follow(location: u32, item: Option<u32>, policy: u8) -> Command {
    let policy = match policy {
        0 => BufferPolicy::Inherit,
        1 => BufferPolicy::Static,
        _ => BufferPolicy::Forecast(ForecastBuffer {
            level: ServiceLevel::Default,
            lead_time_days: 1,
            review_days: 1,
            cap: Units::ZERO,
        }),
    };
    Command::PutBufferPolicy(scope(location, item), policy)
}

pub fn derive(buffers: Vec<(u32, u64)>, model: u8) -> Command {
    let units = |n| Units::new(n).expect("a small number");
    let buffers = buffers.into_iter();
    Command::DeriveBuffers(DerivedBuffers {
        model: format!("m@{model}").into(),
        computed_at: UtcMillis::ZERO,
        buffers: buffers.map(|(id, n)| (PositionId(id), units(n))).collect(),
    })
}

pub fn are_known(derived: &DerivedBuffers, oracle: &Oracle) -> bool {
    let mut buffers = derived.buffers.iter();
    buffers.all(|(id, _)| id.index() < oracle.places.len())
}
