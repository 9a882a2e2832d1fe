//! Time from outside, and the guard that notices when it jumps.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::config::PartitionConfig;

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01 UTC, as the machine believes.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since some fixed moment; never set, never jumps.
    fn steady_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn steady_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// Clocks that stand still until told otherwise, for tests and simulation.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// Clocks at `wall_ms`.
    #[must_use]
    pub fn new(wall_ms: i64) -> Self {
        Self {
            wall: AtomicI64::new(wall_ms),
            steady: AtomicI64::new(0),
        }
    }

    /// Lets time pass.
    pub fn pass(&self, ms: i64) {
        self.steady.fetch_add(ms, Ordering::SeqCst);
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock forward or back without time passing.
    pub fn jump(&self, ms: i64) {
        self.wall.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}

/// Compares the wall clock with the steady one.
#[derive(Debug)]
pub(super) struct ClockGuard {
    limit_ms: i64,
    base_wall: i64,
    base_steady: i64,
    jump_ms: Option<i64>,
}

impl ClockGuard {
    /// A guard that starts now. A wall clock far behind `last_ms`, the engine's last time, has
    /// been set back; one ahead says that the service was down, unless it is further ahead than
    /// anybody would let it be down. A new journal has no last time.
    pub(super) fn new(clock: &dyn Clock, config: &PartitionConfig, last_ms: i64) -> Self {
        let wall = clock.wall_ms();
        let ahead = wall.saturating_sub(last_ms);
        let suspect = ahead < -config.clock_jump_ms || (last_ms > 0 && ahead > config.downtime_ms);
        Self {
            limit_ms: config.clock_jump_ms,
            base_wall: wall,
            base_steady: clock.steady_ms(),
            jump_ms: suspect.then_some(ahead),
        }
    }

    /// The wall clock, or by how many milliseconds it jumped.
    pub(super) fn now(&mut self, clock: &dyn Clock) -> Result<i64, i64> {
        if let Some(jump) = self.jump_ms {
            return Err(jump);
        }
        let wall = clock.wall_ms();
        // Within the limit of the base no jump can be too large, and the second clock rests.
        let moved = wall - self.base_wall;
        if moved.abs() <= self.limit_ms {
            return Ok(wall);
        }
        let steady = clock.steady_ms();
        let jump = moved - (steady - self.base_steady);
        if jump.abs() > self.limit_ms {
            self.jump_ms = Some(jump);
            return Err(jump);
        }
        self.base_wall = wall;
        self.base_steady = steady;
        Ok(wall)
    }

    /// Takes the wall clock as right from now on.
    pub(super) fn confirm(&mut self, clock: &dyn Clock) {
        self.base_wall = clock.wall_ms();
        self.base_steady = clock.steady_ms();
        self.jump_ms = None;
    }

    /// The jump that waits for an operator.
    pub(super) fn suspect(&self) -> Option<i64> {
        self.jump_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_passes_is_no_jump_and_a_set_clock_is() {
        let clock = ManualClock::new(1_000_000);
        let mut guard = ClockGuard::new(&clock, &PartitionConfig::default(), 0);
        for _ in 0..100 {
            clock.pass(45_000);
            assert!(guard.now(&clock).is_ok());
        }
        clock.pass(86_400_000);
        assert!(guard.now(&clock).is_ok(), "a long silence is no jump");
        clock.jump(59_000);
        assert!(guard.now(&clock).is_ok());
        clock.jump(2_000);
        assert_eq!(guard.now(&clock), Err(61_000));
        clock.jump(-61_000);
        assert_eq!(
            guard.now(&clock),
            Err(61_000),
            "stays suspect until confirmed"
        );
        guard.confirm(&clock);
        assert!(guard.now(&clock).is_ok());
        clock.jump(-61_000);
        assert_eq!(guard.now(&clock), Err(-61_000));
    }

    #[test]
    fn downtime_is_no_jump_but_a_clock_behind_the_journal_is() {
        const DAY_MS: i64 = 24 * 3_600_000;
        let now = 1_790_000_000_000;
        let clock = ManualClock::new(now);
        let config = PartitionConfig::default();
        for (ahead, suspect) in [
            (7 * DAY_MS, false),
            (7 * DAY_MS + 1, true),
            (10 * 365 * DAY_MS, true),
            (0, false),
            (-60_000, false),
            (-60_001, true),
        ] {
            let guard = ClockGuard::new(&clock, &config, now - ahead);
            assert_eq!(guard.suspect(), suspect.then_some(ahead), "{ahead}");
        }
        let new = ClockGuard::new(&clock, &config, 0);
        assert_eq!(new.suspect(), None, "a new journal");
    }
}
