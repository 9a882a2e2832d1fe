//! When each operation of a step starts and what it is: drawn from the seed alone, whatever the server does.

use std::time::Duration;

use super::spec::{Arrivals, Step};
use crate::rng::Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Check,
    Reserve,
    Finish,
    Supply,
    Allocate,
    Forecast,
}

impl Op {
    pub const ALL: [Self; 6] = [
        Self::Check,
        Self::Reserve,
        Self::Finish,
        Self::Supply,
        Self::Allocate,
        Self::Forecast,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Reserve => "reserve",
            Self::Finish => "finish",
            Self::Supply => "supply",
            Self::Allocate => "allocate",
            Self::Forecast => "forecast",
        }
    }

    /// Whether it changes what the server keeps.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Check | Self::Forecast)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// From the beginning of the warm-up.
    pub at: Duration,
    pub op: Op,
}

/// Arrivals in order, to the end of the measured time.
///
/// Time is stretched by the rate: in units of expected arrivals the process has rate 1, and a start is found by the
/// inverse of the integral of the rate over time.
pub struct Schedule {
    kind: Arrivals,
    gaps: Rng,
    ops: Rng,
    /// Weights added up.
    mix: [u32; Op::ALL.len()],
    /// Expected arrivals so far.
    expected: f64,
    rate: f64,
    rate_to: f64,
    warmup_s: f64,
    measure_s: f64,
}

impl Schedule {
    pub fn new(step: &Step) -> Self {
        let mut sum = 0;
        let mix = step.mix.weights().map(|weight| {
            sum += weight;
            sum
        });
        Self {
            kind: step.arrivals,
            gaps: Rng::new(step.seed),
            // Another stream of the same seed: which operation it is must not depend on when it is.
            ops: Rng::new(step.seed ^ 0x5EED_0B5E_55ED_0B5E),
            mix,
            expected: 0.0,
            rate: step.rate,
            rate_to: step.rate_to.unwrap_or(step.rate),
            warmup_s: step.warmup_s,
            measure_s: step.measure_s,
        }
    }

    /// The time at which so many arrivals are expected, if that is before the end.
    fn time_of(&self, expected: f64) -> Option<f64> {
        let after = expected - self.rate * self.warmup_s;
        if after <= 0.0 {
            return Some(expected / self.rate);
        }
        let growth = (self.rate_to - self.rate) / self.measure_s;
        let root = (self.rate * self.rate + 2.0 * growth * after).sqrt();
        let seconds = 2.0 * after / (self.rate + root);
        // Not a number where a falling rate would have passed zero: that is after the end.
        (seconds < self.measure_s).then_some(self.warmup_s + seconds)
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.expected += match self.kind {
            Arrivals::Poisson => -(1.0 - self.gaps.unit()).ln(),
            Arrivals::Constant if self.expected == 0.0 => 0.5,
            Arrivals::Constant => 1.0,
        };
        let at = Duration::from_secs_f64(self.time_of(self.expected)?);
        let drawn = self.ops.below(self.mix[Op::ALL.len() - 1]);
        let index = self.mix.partition_point(|&end| end <= drawn);
        Some(Arrival {
            at,
            op: Op::ALL[index],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::spec::Mix;

    fn step(change: impl FnOnce(&mut Step)) -> Step {
        let mut step: Step = serde_json::from_str(
            r#"{"name": "s", "mix": {"check": 80, "reserve": 10, "finish": 8, "supply": 2},
                "rate": 20000, "warmup_s": 2, "measure_s": 8, "seed": 7}"#,
        )
        .unwrap();
        change(&mut step);
        step.checked().unwrap()
    }

    fn seconds(step: &Step) -> Vec<f64> {
        Schedule::new(step).map(|a| a.at.as_secs_f64()).collect()
    }

    /// Largest distance between the gaps' distribution and the exponential one (Kolmogorov and Smirnov).
    fn distance(gaps: &mut [f64], rate: f64) -> f64 {
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let apart = |(index, gap): (usize, &f64)| {
            let expected = 1.0 - (-rate * gap).exp();
            (expected - index as f64 / n).max((index as f64 + 1.0) / n - expected)
        };
        gaps.iter().enumerate().map(apart).fold(0.0, f64::max)
    }

    #[test]
    fn poisson_arrivals_have_exponential_gaps_that_know_nothing_of_one_another() {
        for seed in 1..=5 {
            let at = seconds(&step(|s| s.seed = seed));
            let mut gaps: Vec<f64> = at.windows(2).map(|w| w[1] - w[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let apart = |g: f64| g - mean;
            let variance = gaps.iter().map(|&g| apart(g).powi(2)).sum::<f64>();
            let along = gaps
                .windows(2)
                .map(|w| apart(w[0]) * apart(w[1]))
                .sum::<f64>()
                / variance;
            let n = gaps.len() as f64;
            // 0.1 % critical values: 1.95 / sqrt(n), and 3.3 deviations of a correlation.
            assert!(
                along.abs() < 3.3 / n.sqrt(),
                "seed {seed}: correlation {along}"
            );
            let found = distance(&mut gaps, 20_000.0);
            assert!(found < 1.95 / n.sqrt(), "seed {seed}: distance {found}");
            // A metronome of the same rate is far outside.
            let mut even = vec![1.0 / 20_000.0; gaps.len()];
            assert!(distance(&mut even, 20_000.0) > 0.3);
        }
    }

    #[test]
    fn counts_of_intervals_are_poisson() {
        let mut counts = [0.0f64; 1_000];
        for at in seconds(&step(|s| s.seed = 11)) {
            counts[(at * 100.0) as usize] += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 1_000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 999.0;
        // Variance by mean is 1, with a deviation of sqrt(2 / 999).
        assert!((variance / mean - 1.0).abs() < 0.15, "{variance} {mean}");
        assert!((mean - 200.0).abs() < 2.0, "{mean}");
    }

    #[test]
    fn over_many_seeds_counts_are_as_many_as_the_rate_says() {
        let count = |seed| seconds(&step(|s| (s.rate, s.seed) = (10.0, seed))).len() as f64;
        let counts: Vec<f64> = (0..1_000).map(count).collect();
        let mean = counts.iter().sum::<f64>() / 1_000.0;
        let variance = counts.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 999.0;
        assert!((mean - 100.0).abs() < 4.0 * (0.1f64).sqrt(), "{mean}");
        assert!((variance / 100.0 - 1.0).abs() < 0.2, "{variance}");
    }

    #[test]
    fn constant_arrivals_are_a_metronome() {
        let at = seconds(&step(|s| s.arrivals = Arrivals::Constant));
        assert_eq!(at.len(), 200_000);
        for gap in at.windows(2).map(|w| w[1] - w[0]) {
            assert!((gap - 5e-5).abs() < 2e-9, "{gap}");
        }
    }

    #[test]
    fn a_ramp_has_the_rate_of_its_time() {
        for (from, to) in [(1_000.0, 9_000.0), (9_000.0, 1_000.0)] {
            for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
                let at = seconds(&step(|s| {
                    (s.rate, s.rate_to, s.arrivals) = (from, Some(to), arrivals);
                }));
                let within = |begin: f64, end: f64| {
                    at.iter().filter(|&&t| (begin..end).contains(&t)).count() as f64
                };
                let close = |found: f64, expected: f64| {
                    assert!(
                        (found - expected).abs() < 4.5 * expected.sqrt(),
                        "{found} {expected}"
                    );
                };
                close(within(0.0, 2.0), 2.0 * from);
                for second in 0..8 {
                    let begin = f64::from(second);
                    let expected = from + (to - from) * (begin + 0.5) / 8.0;
                    close(within(2.0 + begin, 3.0 + begin), expected);
                }
                assert!(at.is_sorted() && *at.last().unwrap() < 10.0);
            }
        }
    }

    #[test]
    fn operations_come_in_their_shares_and_without_a_pattern() {
        let ops: Vec<Op> = Schedule::new(&step(|_| ())).map(|a| a.op).collect();
        let n = ops.len() as f64;
        for (op, share) in Op::ALL.into_iter().zip([0.80, 0.10, 0.08, 0.02]) {
            let found = ops.iter().filter(|&&o| o == op).count() as f64;
            let deviation = (n * share * (1.0 - share)).sqrt();
            assert!(
                (found - n * share).abs() < 4.0 * deviation,
                "{op:?} {found}"
            );
        }
        let pairs = ops.windows(2).filter(|w| w == &[Op::Reserve; 2]).count() as f64;
        assert!(
            (pairs - n * 0.01).abs() < 5.0 * (n * 0.01).sqrt(),
            "{pairs}"
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_does_not() {
        let of = |seed| {
            Schedule::new(&step(|s| s.seed = seed))
                .take(1_000)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }

    #[test]
    fn an_operation_without_weight_never_comes() {
        let only = |s: &mut Step| {
            s.mix = Mix {
                supply: 3,
                ..Mix::default()
            }
        };
        assert!(Schedule::new(&step(only)).all(|a| a.op == Op::Supply));
    }
}
