//! Quantiles of counts whose variance exceeds their mean.

/// Terms summed before the count is taken for continuous.
const TERMS_MAX: u32 = 4_096;
/// Mass at zero below which a sum from zero would lose its digits.
const LOG_MASS_MIN: f64 = -600.0;

/// The smallest count that a negative binomial variable of this mean and dispersion (variance over mean, at least 1)
/// stays within with probability `level`: Hilbe, *Negative Binomial Regression*, 2nd ed., section 8. Large counts by the
/// cube-root approximation of Wilson and Hilferty (1931) to the gamma distribution of the same mean and variance.
pub fn count(mean: f64, dispersion: f64, level: f64) -> f64 {
    if mean.is_nan() || mean <= 0.0 {
        return 0.0;
    }
    let dispersion = dispersion.max(1.0);
    // At dispersion 1 it is Poisson, the limit of what follows.
    let excess = (dispersion - 1.0).max(1e-9);
    let size = mean / excess;
    let log_zero = -size * excess.ln_1p();
    if log_zero > LOG_MASS_MIN && mean * 2.0 < f64::from(TERMS_MAX) {
        let mut mass = log_zero.exp();
        let mut sum = mass;
        let ratio = excess / (1.0 + excess);
        for n in 0..TERMS_MAX {
            if sum >= level {
                return f64::from(n);
            }
            mass *= (f64::from(n) + size) / (f64::from(n) + 1.0) * ratio;
            sum += mass;
        }
    }
    gamma(mean, dispersion, level)
}

fn gamma(mean: f64, dispersion: f64, level: f64) -> f64 {
    let ninth = dispersion / (9.0 * mean);
    let root = 1.0 - ninth + normal(level) * ninth.sqrt();
    mean * root.max(0.0).powi(3)
}

/// Quantile of the standard normal distribution, to about 4.5e-4: Abramowitz and Stegun, 26.2.23.
fn normal(level: f64) -> f64 {
    let tail = level.min(1.0 - level).max(f64::MIN_POSITIVE);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = t
        - (2.515_517 + t * (0.802_853 + t * 0.010_328))
            / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)));
    if level < 0.5 { -above } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_tables() {
        // Poisson of mean 2: P(0) .1353, P(≤1) .4060, P(≤2) .6767, P(≤3) .8571, P(≤4) .9473.
        let cases = [
            (0.13, 0.0),
            (0.14, 1.0),
            (0.5, 2.0),
            (0.68, 3.0),
            (0.9, 4.0),
        ];
        for (level, expected) in cases {
            assert_eq!(count(2.0, 1.0, level), expected, "at {level}");
        }
        // Geometric: mean 1, variance 2: P(≤ n) = 1 - 2^-(n + 1).
        for (level, expected) in [(0.5, 0.0), (0.51, 1.0), (0.8, 2.0), (0.95, 4.0)] {
            assert_eq!(count(1.0, 2.0, level), expected, "at {level}");
        }
        assert_eq!(count(0.0, 3.0, 0.99), 0.0);
    }

    #[test]
    fn large_counts_go_on_where_small_ones_end() {
        for dispersion in [1.0, 3.0, 40.0] {
            for level in [0.1, 0.5, 0.9] {
                let exact = count(2_000.0, dispersion, level);
                let near = gamma(2_000.0, dispersion, level);
                let error = (exact - near).abs() / exact;
                assert!(error < 2e-3, "{dispersion} {level}: {exact} and {near}");
            }
        }
        let mut last = 0.0;
        for level in 1..100 {
            let next = count(1e9, 7.0, f64::from(level) / 100.0);
            assert!(next >= last && next.is_finite());
            last = next;
        }
    }
}
