//! Time from outside, and the guard that notices when it jumps.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    /// been set back; one far ahead only says that the service was down.
    pub(super) fn new(clock: &dyn Clock, limit_ms: i64, last_ms: i64) -> Self {
        let wall = clock.wall_ms();
        let behind = wall - last_ms;
        Self {
            limit_ms,
            base_wall: wall,
            base_steady: clock.steady_ms(),
            jump_ms: (behind < -limit_ms).then_some(behind),
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
        let mut guard = ClockGuard::new(&clock, 60_000, 0);
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
        let clock = ManualClock::new(1_000_000);
        assert_eq!(ClockGuard::new(&clock, 60_000, 1_000).suspect(), None);
        assert_eq!(ClockGuard::new(&clock, 60_000, 1_060_000).suspect(), None);
        assert_eq!(
            ClockGuard::new(&clock, 60_000, 1_060_001).suspect(),
            Some(-60_001)
        );
    }
}
