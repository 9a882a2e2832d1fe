//! A timer that wakes within tens of microseconds: the event loop's own knows milliseconds.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// # Errors
    /// The system has no timer left.
    pub fn new() -> Result<Self> {
        // SAFETY: plain system call.
        let timer = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
            )
        };
        if timer < 0 {
            return Err(std::io::Error::last_os_error()).context("no timer");
        }
        // SAFETY: the descriptor was just made, and nobody else has it.
        let timer = unsafe { OwnedFd::from_raw_fd(timer) };
        // SAFETY: the descriptor is owned, so it stays open and the same as long as it is registered.
        let registered = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self(registered.map_err(std::io::Error::from)?))
    }

    /// Waits.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub async fn sleep(&self, time: Duration) -> Result<()> {
        let timer = self.0.get_ref().as_raw_fd();
        let setting = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: time.as_secs().cast_signed(),
                // Zero would switch it off.
                tv_nsec: i64::from(time.subsec_nanos().max(1)),
            },
        };
        // SAFETY: the descriptor is open and the setting lives through the call.
        if unsafe { libc::timerfd_settime(timer, 0, &raw const setting, std::ptr::null_mut()) } != 0
        {
            return Err(std::io::Error::last_os_error()).context("the timer cannot be set");
        }
        loop {
            let mut ready = self.0.readable().await?;
            let mut rung = [0_u8; 8];
            // SAFETY: the buffer is as long as is said.
            if unsafe { libc::read(timer, rung.as_mut_ptr().cast(), rung.len()) } == 8 {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_never_rings_early_and_rings_again() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 1, 300, 2_000, 150] {
            let (begin, time) = (Instant::now(), Duration::from_micros(micros));
            alarm.sleep(time).await.unwrap();
            assert!(begin.elapsed() >= time, "{micros}");
        }
    }
}
