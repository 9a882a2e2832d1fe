//! Buffer policies, both ways.

use bespeak_engine::{BufferPolicy, Catalog, Command, ForecastBuffer, RuleScope, ServiceLevel};
use bespeak_proto::v1 as pb;

use super::{fields, item, location};
use crate::error::ApiError;

/// Makes a `PutBufferPolicy`.
///
/// # Errors
/// Those of the fields; `UnknownLocation`, `UnknownItem`.
pub fn put_policy(
    catalog: &Catalog,
    request: &pb::PutBufferPolicyRequest,
) -> Result<Command, ApiError> {
    let location = location(catalog, &request.location)?;
    let scope = match request.item.as_str() {
        "" => RuleScope::Location(location),
        name => RuleScope::Position(item(catalog, name)?, location),
    };
    let missing = || ApiError::invalid("policy", "missing", "it is required");
    let policy = request.policy.as_ref().ok_or_else(missing)?;
    Ok(Command::PutBufferPolicy(scope, read(policy)?))
}

fn read(policy: &pb::BufferPolicy) -> Result<BufferPolicy, ApiError> {
    match fields::known::<pb::BufferSource>("policy.source", policy.source)? {
        pb::BufferSource::Inherit => Ok(BufferPolicy::Inherit),
        pb::BufferSource::Static => Ok(BufferPolicy::Static),
        pb::BufferSource::Forecast => Ok(BufferPolicy::Forecast(ForecastBuffer {
            level: level(policy)?,
            lead_time_days: days("policy.lead_time_days", policy.lead_time_days)?,
            review_days: days("policy.review_days", policy.review_days.max(1))?,
            cap: fields::units("policy.cap", policy.cap)?,
        })),
        pb::BufferSource::Unspecified => {
            let rule = "say inherit, static or forecast";
            Err(ApiError::invalid("policy.source", "unspecified", rule))
        }
    }
}

fn level(policy: &pb::BufferPolicy) -> Result<ServiceLevel, ApiError> {
    match (policy.level_ppm, policy.tier) {
        (0, None) => Ok(ServiceLevel::Default),
        (0, Some(tier)) => u8::try_from(tier)
            .map(ServiceLevel::Tier)
            .map_err(|_| ApiError::invalid("policy.tier", tier, "it must be 0 to 255")),
        (ppm, None) => Ok(ServiceLevel::Ppm(ppm)),
        (ppm, Some(_)) => {
            let rule = "a level takes none from a tier: leave one of them out";
            Err(ApiError::invalid("policy.level_ppm", ppm, rule))
        }
    }
}

fn days(field: &'static str, days: u32) -> Result<u16, ApiError> {
    u16::try_from(days).map_err(|_| ApiError::invalid(field, days, "at most 366 are allowed"))
}

/// A policy as callers see it.
pub fn policy_out(policy: BufferPolicy) -> pb::BufferPolicy {
    let of = |source: pb::BufferSource| pb::BufferPolicy {
        source: source.into(),
        ..Default::default()
    };
    match policy {
        BufferPolicy::Inherit => of(pb::BufferSource::Inherit),
        BufferPolicy::Static => of(pb::BufferSource::Static),
        BufferPolicy::Forecast(follow) => {
            let (level_ppm, tier) = match follow.level {
                ServiceLevel::Default => (0, None),
                ServiceLevel::Tier(tier) => (0, Some(u32::from(tier))),
                ServiceLevel::Ppm(ppm) => (ppm, None),
            };
            pb::BufferPolicy {
                level_ppm,
                tier,
                lead_time_days: follow.lead_time_days.into(),
                review_days: follow.review_days.into(),
                cap: follow.cap.get(),
                ..of(pb::BufferSource::Forecast)
            }
        }
    }
}
