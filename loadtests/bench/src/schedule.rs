//! When operations of an open-loop round start: Poisson arrivals at a rate, whatever the server
//! does. Latency counts from the intended start, so a stall is seen by all who would have met it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::rng::Rng;

/// Intended starts as offsets from the beginning of the round.
pub struct Schedule {
    rng: Rng,
    mean_gap_ns: f64,
    at_ns: f64,
}

impl Schedule {
    /// `rate` is operations a second and must be above zero.
    pub fn new(rate: f64, seed: u64) -> Self {
        assert!(
            rate > 0.0 && rate.is_finite(),
            "an open loop needs a rate above zero, not {rate}"
        );
        Self {
            rng: Rng::new(seed),
            mean_gap_ns: 1e9 / rate,
            at_ns: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    /// Never ends; offsets never go back.
    fn next(&mut self) -> Option<Duration> {
        self.at_ns += -(1.0 - self.rng.unit()).ln() * self.mean_gap_ns;
        Some(Duration::from_nanos(self.at_ns as u64))
    }
}

/// Operations that are due and wait for a free client.
pub struct Due {
    queue: Mutex<VecDeque<Instant>>,
    ready: Semaphore,
}

impl Due {
    pub fn new() -> Self {
        Self {
            queue: Mutex::new(VecDeque::new()),
            ready: Semaphore::new(0),
        }
    }

    pub fn push(&self, intended: Instant) {
        self.lock().push_back(intended);
        self.ready.add_permits(1);
    }

    /// Waits for the oldest operation that is due; `None` when the round has ended and nothing is left.
    pub async fn next(&self) -> Option<Instant> {
        if let Ok(permit) = self.ready.acquire().await {
            permit.forget();
        }
        self.lock().pop_front()
    }

    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Ends the round: clients that wait get `None`, the others what is left.
    pub fn close(&self) {
        self.ready.close();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Instant>> {
        self.queue.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let starts: Vec<f64> = Schedule::new(20_000.0, 1)
            .take(100_000)
            .map(|d| d.as_secs_f64())
            .collect();
        let rate = starts.len() as f64 / starts[starts.len() - 1];
        assert!((rate / 20_000.0 - 1.0).abs() < 0.02, "rate {rate}");
        let gaps: Vec<f64> = starts.windows(2).map(|w| w[1] - w[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // For exponential gaps the deviation equals the mean; for a metronome it would be 0.
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.03,
            "{} {mean}",
            variance.sqrt()
        );
    }

    #[test]
    fn starts_never_go_back_and_repeat_with_the_seed() {
        let starts: Vec<_> = Schedule::new(1e6, 9).take(10_000).collect();
        assert!(starts.is_sorted());
        assert_eq!(
            starts,
            Schedule::new(1e6, 9).take(10_000).collect::<Vec<_>>()
        );
    }

    #[test]
    #[should_panic(expected = "rate above zero")]
    fn a_rate_of_zero_is_refused() {
        Schedule::new(0.0, 1);
    }

    #[tokio::test]
    async fn what_is_due_comes_in_order_and_ends_with_the_round() {
        let due = Due::new();
        let first = Instant::now();
        let second = first + Duration::from_micros(3);
        due.push(first);
        due.push(second);
        assert_eq!(due.waiting(), 2);
        assert_eq!(due.next().await, Some(first));
        assert_eq!(due.next().await, Some(second));
        due.push(second);
        due.close();
        assert_eq!(due.next().await, Some(second), "it was due");
        assert_eq!(due.next().await, None);
    }
}
