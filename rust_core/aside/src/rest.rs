//! Rests for others: of a disk, and of a processor.

use std::time::Duration;

/// The longest rest, however slow the disk is.
const REST_MAX: Duration = Duration::from_millis(20);
/// A piece that took less did not touch a disk.
const REST_MIN: Duration = Duration::from_micros(100);
/// Work without a rest: a thread that wakes does not always have the core before.
const WORK: Duration = Duration::from_micros(200);
/// Rest, in times of the work before it.
const RESTS: u32 = 2;
/// The same, of what has time.
const LONG_RESTS: u32 = 4;

/// How long to leave the disk to others after a piece that took so long.
pub fn rest_after(took: Duration) -> Option<Duration> {
    (took >= REST_MIN).then(|| took.min(REST_MAX))
}

/// Long work that nobody waits for, with rests: about a third of a core's time, or a fifth. Standing back does not keep it
/// out of the way of a sync: while promises wait for the disk the core is free for it, and on a shared host, where whoever
/// drives the disk needs that core as well, such syncs were seen to take milliseconds.
#[derive(Debug)]
pub struct Pace {
    /// How long one is, in times of the work before it.
    rests: u32,
    /// Processor time of the thread at its last rest.
    rested_at: Duration,
}

impl Pace {
    /// Of the calling thread, which alone may rest by it.
    #[expect(clippy::new_without_default, reason = "it begins to measure")]
    pub fn new() -> Self {
        Self::resting(RESTS)
    }

    /// The same of work that has time: a fifth of a core's.
    pub fn slow() -> Self {
        Self::resting(LONG_RESTS)
    }

    fn resting(rests: u32) -> Self {
        Self {
            rests,
            rested_at: processor_time(),
        }
    }

    /// Rests, if it is time to. Waiting for a disk or for the processor is no work.
    pub fn rest(&mut self) {
        let now = processor_time();
        if let Some(rest) = rest_from_work(now.saturating_sub(self.rested_at), self.rests) {
            std::thread::sleep(rest);
            self.rested_at = now;
        }
    }
}

/// What the calling thread has had of it.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

fn rest_from_work(worked: Duration, rests: u32) -> Option<Duration> {
    (worked >= WORK).then(|| (worked * rests).min(REST_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_as_long_as_the_piece_took_within_limits() {
        let us = Duration::from_micros;
        assert_eq!(rest_after(us(99)), None, "memory needs none");
        assert_eq!(rest_after(us(900)), Some(us(900)));
        assert_eq!(rest_after(us(1_000_000)), Some(REST_MAX));
    }

    #[test]
    fn work_rests_twice_or_four_times_as_long_as_it_took_within_limits() {
        let us = Duration::from_micros;
        assert_eq!(rest_from_work(us(199), RESTS), None);
        assert_eq!(rest_from_work(us(200), RESTS), Some(us(400)));
        assert_eq!(rest_from_work(us(200), LONG_RESTS), Some(us(800)));
        assert_eq!(rest_from_work(us(1_000_000), RESTS), Some(REST_MAX));
    }
}
