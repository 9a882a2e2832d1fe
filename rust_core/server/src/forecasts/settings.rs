//! What can be set of forecasts.

use std::collections::BTreeMap;

use bespeak_demand::forecasts::Level;
use bespeak_engine::ServiceLevel;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Forecasts kept beside the engine, and the buffers made from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastSettings {
    /// Age at which a forecast is stale, milliseconds.
    pub stale_after_ms: i64,
    /// Service level of buffers that name none.
    pub service_level: f64,
    /// Service levels by tier, for buffers that name one.
    pub tier_service_levels: BTreeMap<u8, f64>,
    /// A buffer stays while it would move by no more than this share of it.
    pub hysteresis: f64,
    /// Days for which past forecasts are kept, to be held against the truth.
    pub past_days: u16,
}

impl Default for ForecastSettings {
    fn default() -> Self {
        Self {
            stale_after_ms: 36 * 3_600_000,
            service_level: 0.95,
            tier_service_levels: BTreeMap::new(),
            hysteresis: 0.1,
            past_days: 35,
        }
    }
}

impl ForecastSettings {
    /// Checks that the settings can work.
    ///
    /// # Errors
    /// Names the first that cannot.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |setting, value: &dyn std::fmt::Display, rule| {
            Err(ConfigError {
                setting,
                value: value.to_string(),
                rule,
            })
        };
        let is_level = |level: f64| (0.5..=0.999_999).contains(&level);
        if self.stale_after_ms < 1 {
            let rule = "it must be at least 1";
            return wrong("forecasts.stale_after_ms", &self.stale_after_ms, rule);
        }
        let rule = "it must be 0.5 to 0.999999";
        if !is_level(self.service_level) {
            return wrong("forecasts.service_level", &self.service_level, rule);
        }
        if let Some(level) = self
            .tier_service_levels
            .values()
            .find(|level| !is_level(**level))
        {
            return wrong("forecasts.tier_service_levels", level, rule);
        }
        if !(0.0..=1.0).contains(&self.hysteresis) {
            return wrong(
                "forecasts.hysteresis",
                &self.hysteresis,
                "it must be 0 to 1",
            );
        }
        if !(1..=366).contains(&self.past_days) {
            return wrong(
                "forecasts.past_days",
                &self.past_days,
                "it must be 1 to 366",
            );
        }
        Ok(())
    }

    /// The level that a policy asks for.
    pub fn level(&self, asked: ServiceLevel) -> Level {
        let share = match asked {
            ServiceLevel::Default => self.service_level,
            ServiceLevel::Tier(tier) => {
                let set = self.tier_service_levels.get(&tier);
                set.copied().unwrap_or(self.service_level)
            }
            ServiceLevel::Ppm(ppm) => f64::from(ppm) / 1e6,
        };
        // Checked where it was set; the median keeps nothing back.
        Level::from_share(share).unwrap_or(Level::MEDIAN)
    }
}
