//! Safety stock from the forecast of total demand.
//!
//! Under periodic review a position is covered until the next order but one can arrive: over lead time plus review
//! time. The order-up-to level S is the quantile of the demand over that time at the service level, and the safety
//! stock is what of S goes beyond the expected demand (E. A. Silver, D. F. Pyke, D. J. Thomas, Inventory and
//! Production Management in Supply Chains, 4th edition, 2017, sections 6.7 and 6.9, with the forecast's own quantile
//! in the place of a normal one).
//!
//! Between two horizons the spread (quantile less mean) is linear in the square root of the number of days, and grows
//! with it beyond the last one: so it does when days are independent. Between two levels a quantile is linear in the
//! normal score of the level, and so it goes on above the highest one.

use bespeak_engine::Units;

use super::{Level, Series};

/// Units kept back so that the demand of `days` days is covered at this level; `None` for a series without totals.
pub fn safety_stock(totals: &Series<'_>, days: u16, level: Level) -> Option<f64> {
    let spread = |row: usize| (quantile(totals, row, level) - totals.mean(row)).max(0.0);
    let root = |days: i32| f64::from(days).sqrt();
    let (keys, wanted) = (totals.keys(), f64::from(days).sqrt());
    let above = keys.partition_point(|key| *key < i32::from(days));
    let last = keys.len().checked_sub(1)?;
    if above > last {
        return Some(spread(last) * wanted / root(keys[last]));
    }
    let (low, low_spread) = match above {
        0 => (0.0, 0.0),
        _ => (root(keys[above - 1]), spread(above - 1)),
    };
    let high = root(keys[above]);
    let share = (wanted - low) / (high - low);
    Some(low_spread + (spread(above) - low_spread) * share)
}

fn quantile(totals: &Series<'_>, row: usize, level: Level) -> f64 {
    let (levels, values) = (totals.levels(), totals.quantiles(row));
    let above = levels.partition_point(|known| *known < level);
    if let Some(known) = levels.get(above)
        && *known == level
    {
        return f64::from(values[above]);
    }
    // Below the lowest level its quantile is kept: more than is asked for.
    if above == 0 || levels.len() == 1 {
        return f64::from(values[above.min(levels.len() - 1)]);
    }
    let high = above.min(levels.len() - 1);
    let (a, b) = (f64::from(values[high - 1]), f64::from(values[high]));
    let (za, zb) = (levels[high - 1].z(), levels[high].z());
    a + (b - a) * (level.z() - za) / (zb - za)
}

/// The buffer in whole units, rounded up, within the cap when there is one.
pub fn whole(units: f64, cap: Units) -> Units {
    let most = match cap {
        Units::ZERO => bespeak_engine::limits::MAX_QUANTITY,
        cap => cap.get(),
    };
    // A little less, so that what f32 made of a whole number is not rounded up; the cast stops at the ends.
    let units = (units * (1.0 - 1e-6)).ceil() as u64;
    Units::new(units.min(most)).unwrap_or(cap)
}

/// Whether a buffer stays although the forecast moved: by less than this share of it. Small moves are noise, and each
/// change is a record.
pub fn keeps(old: Units, new: Units, hysteresis: f64) -> bool {
    let moved = old.get().abs_diff(new.get()) as f64;
    new == old || (!new.is_zero() && moved <= hysteresis * old.get() as f64)
}

#[cfg(test)]
mod tests {
    use bespeak_engine::{PositionId, UtcMillis};

    use super::super::{Block, Draft, Kind};
    use super::*;

    fn level(share: f64) -> Level {
        Level::from_share(share).expect("a level")
    }

    /// Totals of independent normal days: mean 10 and deviation 2 a day.
    fn normal(horizons: &[i32], shares: &[f64]) -> Block {
        let levels: Vec<Level> = shares.iter().map(|share| level(*share)).collect();
        let mut draft = Draft::new(Kind::Totals, &levels).expect("ascending");
        for horizon in horizons {
            let (mean, deviation) = (10.0 * f64::from(*horizon), 2.0 * f64::from(*horizon).sqrt());
            let quantiles = levels.iter().map(|level| mean + deviation * level.z());
            let row = std::iter::once(mean).chain(quantiles).map(Some);
            draft.push(PositionId(0), *horizon, row).expect("sound");
        }
        draft.finish("m", UtcMillis::ZERO).expect("sound")
    }

    #[test]
    fn independent_days_give_the_textbook_number_at_any_horizon_and_level() {
        let block = normal(&[1, 2, 3, 7, 14, 28], &[0.5, 0.8, 0.9, 0.95, 0.99]);
        for days in [1u16, 2, 5, 7, 10, 28, 40, 366] {
            for share in [0.5, 0.6, 0.9, 0.925, 0.97, 0.99, 0.995] {
                let found = safety_stock(&block.series(0), days, level(share)).expect("totals");
                let expected = level(share).z() * 2.0 * f64::from(days).sqrt();
                assert!(
                    (found - expected).abs() < 2e-3,
                    "{days} {share}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn days_before_the_first_horizon_are_covered_in_part() {
        let block = normal(&[4], &[0.9]);
        let four = safety_stock(&block.series(0), 4, level(0.9)).expect("totals");
        let one = safety_stock(&block.series(0), 1, level(0.9)).expect("totals");
        assert!((one * 2.0 - four).abs() < 1e-9);
        assert_eq!(safety_stock(&block.series(0), 4, level(0.99)), Some(four));
        assert_eq!(safety_stock(&block.series(0), 4, level(0.5)), Some(four));
    }

    #[test]
    fn units_are_whole_and_capped() {
        let cap = |n| Units::new(n).expect("small");
        for (units, most, expected) in [
            (0.0, 0, 0),
            (0.2, 0, 1),
            (3.0, 0, 3),
            (3.000_000_1, 0, 3),
            (3.1, 0, 4),
            (9.9, 5, 5),
            (1e30, 0, bespeak_engine::limits::MAX_QUANTITY),
        ] {
            assert_eq!(whole(units, cap(most)).get(), expected, "{units} {most}");
        }
    }

    #[test]
    fn small_moves_change_nothing() {
        let u = |n| Units::new(n).expect("small");
        for (old, new, kept) in [
            (0, 0, true),
            (0, 1, false),
            (10, 11, true),
            (10, 9, true),
            (10, 12, false),
            (1, 0, false),
            (100, 0, false),
        ] {
            assert_eq!(keeps(u(old), u(new), 0.1), kept, "{old} {new}");
        }
    }
}
