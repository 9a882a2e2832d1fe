//! Threads that stand back behind those that promise.

use std::io;

/// Of a thread that stands back.
const NICENESS: i32 = 10;
/// Nanoseconds that a thread that stands back asks the scheduler for at a time: more than any thread has unasked. From
/// Linux 6.12 on, a thread that wakes and asks for less has the core at once, where it otherwise may wait until the other
/// has had its time or rests. Systems before take no notice.
const SLICE_NS: u64 = 20_000_000;

/// Makes the calling thread stand back behind those that promise, where there is too little processor for all. Only that
/// thread, and what it starts. Where it is not allowed, all share the processor evenly.
pub fn lower_priority(what: &str) {
    let own = Some(rustix::thread::gettid());
    let lower = rustix::process::getpriority_process(own)
        // Who may do everything would be raised to it.
        .map(|now| now.max(NICENESS))
        .and_then(|niceness| rustix::process::setpriority_process(own, niceness));
    if let Err(error) = lower {
        tracing::debug!(%error, "{what}: at normal priority");
    }
    if let Err(error) = scheduling().and_then(|now| ask_for(now, SLICE_NS)) {
        tracing::debug!(%error, "{what}: with the slice of all");
    }
}

/// How the calling thread is scheduled.
fn scheduling() -> io::Result<libc::sched_attr> {
    // SAFETY: of numbers, of which each may be zero.
    let mut now: libc::sched_attr = unsafe { std::mem::zeroed() };
    // SAFETY: it writes as many bytes as it is told that there are.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            0,
            &raw mut now,
            size_of::<libc::sched_attr>(),
            0,
        )
    } != 0;
    failed.then(io::Error::last_os_error).map_or(Ok(now), Err)
}

/// Has the calling thread scheduled by slices of this length, if it shares by weight at all.
fn ask_for(mut scheduling: libc::sched_attr, slice_ns: u64) -> io::Result<()> {
    let shares = [libc::SCHED_OTHER, libc::SCHED_BATCH];
    if !shares
        .iter()
        .any(|policy| *policy as u32 == scheduling.sched_policy)
    {
        return Ok(());
    }
    scheduling.sched_runtime = slice_ns;
    // SAFETY: it reads a structure that says how long it is.
    let failed =
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) } != 0;
    failed.then(io::Error::last_os_error).map_or(Ok(()), Err)
}

/// Runs long work on a thread of its own, called `name`, that stands back; whoever asked waits for it. A panic comes back
/// as it does from joining a thread.
///
/// # Errors
/// No thread could be started; nothing was done.
pub fn aside<T: Send>(
    name: &str,
    work: impl FnOnce() -> T + Send,
) -> io::Result<std::thread::Result<T>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let started = thread.spawn_scoped(scope, || {
            lower_priority(name);
            work()
        })?;
        Ok(started.join())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_aside_stands_back_alone_and_its_panic_comes_back() {
        let own = || rustix::process::getpriority_process(Some(rustix::thread::gettid()));
        let mine = own().expect("own priority");
        let its = aside("a test", own).expect("a thread").expect("no panic");
        assert_eq!(its, Ok(mine.max(NICENESS)));
        assert_eq!(own(), Ok(mine));
        let panicked = aside("a test", || panic!("on purpose"));
        assert!(panicked.expect("a thread").is_err());
    }

    #[test]
    fn a_thread_that_stands_back_asks_for_a_long_slice_where_there_are_slices() {
        let slice = || scheduling().expect("told").sched_runtime;
        let mine = slice();
        let its = aside("a test", slice).expect("a thread").expect("no panic");
        // Before Linux 6.12 none is told.
        assert!(its == SLICE_NS || its == 0, "{its} ns");
        assert_eq!(slice(), mine);
        assert!(mine < SLICE_NS);
    }

    #[test]
    fn only_the_calling_thread_stands_back() {
        let mine = rustix::process::getpriority_process(None).expect("own priority");
        let its = std::thread::spawn(|| {
            lower_priority("a test runs");
            rustix::process::getpriority_process(Some(rustix::thread::gettid()))
        });
        let its = its.join().expect("a thread").expect("its priority");
        assert_eq!(its, mine.max(NICENESS));
        assert_eq!(rustix::process::getpriority_process(None), Ok(mine));
    }
}
