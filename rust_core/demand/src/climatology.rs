//! Same-weekday empirical quantiles over the last eight weeks: the forecast that needs no worker.
//!
//! 1. The window is the 56 days up to and including the item's last day.
//! 2. A day is a sample when its target is known and it was in stock all day.
//! 3. The samples of a forecast day are those of its weekday. With fewer than three, all samples of the window;
//!    with none at all, every known day of the window; with none of those, the forecast is null.
//! 4. Quantile p of n sorted samples x: position p (n + 1) - 1, clipped to [0, n - 1], interpolated linearly
//!    (Hyndman and Fan 1996, type 6). The mean is the arithmetic mean of the samples.

/// Who made it.
pub const MADE_BY: &str = "climatology@1";
/// Days that are looked at.
pub const WINDOW_DAYS: i32 = 56;
/// Samples of a weekday that are enough.
pub const SAMPLES_MIN: usize = 3;
/// Levels when none are asked.
pub const LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// One day of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// Days since 1970-01-01.
    pub day: i32,
    /// Units sold; `None` is not known.
    pub target: Option<f64>,
    /// Whether it was in stock all day.
    pub in_stock: bool,
}

/// The last day of a series sorted by day, and mean and quantiles for each of the seven days after it, which repeat:
/// the mean, then the levels in their order. `None` where nothing is known; an empty series ends on day 0.
#[must_use]
pub fn one_week(history: &[Observed], levels: &[f64]) -> (i32, Vec<Vec<Option<f64>>>) {
    let last = history.last().map_or(0, |day| day.day);
    let window = history
        .iter()
        .filter(|day| i64::from(day.day) > i64::from(last) - i64::from(WINDOW_DAYS));
    let samples = |wanted: &dyn Fn(&Observed) -> bool| {
        let mut found: Vec<f64> = window
            .clone()
            .filter(|day| wanted(day))
            .filter_map(|day| day.target)
            .collect();
        found.sort_by(f64::total_cmp);
        found
    };
    let in_stock = samples(&|day| day.in_stock);
    let pooled = if in_stock.is_empty() {
        samples(&|_| true)
    } else {
        in_stock
    };
    let week = (1..=7i64).map(|ahead| {
        let weekday = |day: &Observed| (i64::from(last) + ahead - i64::from(day.day)) % 7 == 0;
        let own = samples(&|day| day.in_stock && weekday(day));
        let chosen = if own.len() >= SAMPLES_MIN {
            &own
        } else {
            &pooled
        };
        summary(chosen, levels)
    });
    (last, week.collect())
}

fn summary(sorted: &[f64], levels: &[f64]) -> Vec<Option<f64>> {
    if sorted.is_empty() {
        return vec![None; levels.len() + 1];
    }
    let mut out = vec![Some(sorted.iter().sum::<f64>() / sorted.len() as f64)];
    out.extend(levels.iter().map(|level| Some(quantile(sorted, *level))));
    out
}

fn quantile(sorted: &[f64], level: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = (level * (sorted.len() as f64 + 1.0) - 1.0).clamp(0.0, last as f64);
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

/// Name of a level's column: as `%.6g`, so 0.1 is "0.1" and 0.00001 is "1e-05".
#[must_use]
pub fn level_name(level: f64) -> String {
    let scientific = format!("{level:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 {
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e-{:02}", -exponent);
    }
    let places = usize::try_from(5 - exponent).unwrap_or(0);
    let plain = format!("{level:.places$}");
    plain.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i32, target: f64) -> Observed {
        Observed {
            day,
            target: Some(target),
            in_stock: true,
        }
    }

    #[test]
    fn a_weekday_repeats_itself() {
        // Eight weeks in which weekday k sells k units.
        let history: Vec<Observed> = (0..56).map(|n| day(n, f64::from(n % 7))).collect();
        let (last, week) = one_week(&history, &[0.5]);
        assert_eq!(last, 55);
        for (ahead, values) in week.iter().enumerate() {
            let expected = (56 + ahead) % 7;
            assert_eq!(values, &vec![Some(expected as f64); 2]);
        }
    }

    #[test]
    fn quantiles_are_interpolated_and_clipped() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), 2.0);
        assert_eq!(quantile(&sorted, 0.6), 2.0 + 2.0 * (0.6 * 4.0 - 2.0));
        assert_eq!(quantile(&sorted, 0.01), 1.0);
        assert_eq!(quantile(&sorted, 0.99), 4.0);
    }

    #[test]
    fn stocked_out_days_are_no_samples_unless_there_is_nothing_else() {
        let hidden = Observed {
            day: 9,
            target: Some(0.0),
            in_stock: false,
        };
        let (_, week) = one_week(&[day(8, 6.0), hidden], &[]);
        assert!(week.iter().all(|values| values == &vec![Some(6.0)]));
        let (_, week) = one_week(&[hidden], &[]);
        assert!(week.iter().all(|values| values == &vec![Some(0.0)]));
        let unknown = Observed {
            day: 9,
            target: None,
            in_stock: true,
        };
        let (_, week) = one_week(&[unknown], &[0.5]);
        assert!(week.iter().all(|values| values == &vec![None, None]));
    }

    #[test]
    fn levels_are_named_as_elsewhere() {
        let names = [
            (0.1, "0.1"),
            (0.995, "0.995"),
            (0.000_012_345_67, "1.23457e-05"),
            (0.000_1, "0.0001"),
            (0.123_456_78, "0.123457"),
            (0.999_999_9, "1"),
        ];
        for (level, name) in names {
            assert_eq!(level_name(level), name);
        }
    }
}
