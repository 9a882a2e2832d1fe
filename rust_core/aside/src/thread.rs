//! Threads that stand back behind those that promise.

use std::io;

/// Of a thread that stands back.
const NICENESS: i32 = 10;

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
