//! Large writes beside the journal: in pieces, each on the disk before the next is written, with a rest after each. A sync
//! of promises then never queues behind more than one piece, and finds the disk free half of the time. The pieces are not
//! synced: each sync of a file that grows commits the file system's own journal, for which others wait.

use std::io;
use std::time::{Duration, Instant};

use crate::storage::StorageFile;

/// Bytes of a piece: what a sync of promises may find in front of it.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// The longest rest, however slow the disk is.
const REST_MAX: Duration = Duration::from_millis(20);
/// A piece that took less did not touch a disk.
const REST_MIN: Duration = Duration::from_micros(100);
/// Of a thread that stands back.
const NICENESS: i32 = 10;

/// How long to leave the disk to others after a piece that took so long.
pub(crate) fn rest_after(took: Duration) -> Option<Duration> {
    (took >= REST_MIN).then(|| took.min(REST_MAX))
}

/// Writes one piece, to the disk. Returns how long that took.
pub(crate) fn piece(file: &dyn StorageFile, data: &[u8], offset: u64) -> io::Result<Duration> {
    let began = Instant::now();
    file.write_all_at(data, offset)?;
    file.write_out(offset, data.len() as u64)?;
    Ok(began.elapsed())
}

/// Writes all of `data`, at leisure. A sync makes it durable.
pub(crate) fn write_all_at(file: &dyn StorageFile, data: &[u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    for part in data.chunks(PIECE_BYTES) {
        let took = piece(file, part, at)?;
        at += part.len() as u64;
        if let Some(rest) = rest_after(took) {
            std::thread::sleep(rest);
        }
    }
    Ok(())
}

/// Long work that nobody waits for, with rests: about a third of a core's time. Standing back does not keep it out of the
/// way of a sync: while promises wait for the disk the core is free for it, and on a shared host, where whoever drives
/// the disk needs that core as well, such syncs were seen to take milliseconds.
pub(crate) struct Pace {
    /// Processor time of the thread at its last rest.
    rested_at: Duration,
}

/// Work without a rest.
const WORK: Duration = Duration::from_millis(1);
/// Rest, in times of the work before it.
const RESTS: u32 = 2;

impl Pace {
    pub fn new() -> Self {
        Self {
            rested_at: processor_time(),
        }
    }

    /// Rests, if it is time to. Waiting for a disk or for the processor is no work.
    pub fn rest(&mut self) {
        let now = processor_time();
        if let Some(rest) = rest_from_work(now.saturating_sub(self.rested_at)) {
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

fn rest_from_work(worked: Duration) -> Option<Duration> {
    (worked >= WORK).then(|| (worked * RESTS).min(REST_MAX))
}

/// Makes the calling thread stand back behind those that promise, where there is too little processor for all. Only that
/// thread, and what it starts. Where it is not allowed, all share the processor evenly.
pub(crate) fn lower_priority(what: &str) {
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
    use std::sync::Mutex;

    use super::*;
    use crate::storage::{FsStorage, Storage};

    /// Notes what is done to a file.
    struct Noted(Box<dyn StorageFile>, Mutex<Vec<(&'static str, u64, u64)>>);

    impl Noted {
        fn note(&self, what: &'static str, offset: u64, len: u64) {
            self.1.lock().expect("a list").push((what, offset, len));
        }
    }

    impl StorageFile for Noted {
        fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buf, offset)
        }

        fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
            self.note("write", offset, buf.len() as u64);
            self.0.write_all_at(buf, offset)
        }

        fn write_out(&self, offset: u64, len: u64) -> io::Result<()> {
            self.note("out", offset, len);
            self.0.write_out(offset, len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.note("sync", 0, 0);
            self.0.sync_data()
        }

        fn size(&self) -> io::Result<u64> {
            self.0.size()
        }

        fn truncate(&self, len: u64) -> io::Result<()> {
            self.0.truncate(len)
        }
    }

    #[test]
    fn every_piece_is_on_the_disk_before_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let storage = FsStorage::new(dir.path()).expect("a journal's directory");
        let file = Noted(
            storage.create("large", 0).expect("a file"),
            Mutex::default(),
        );
        let data: Vec<u8> = (0..2 * PIECE_BYTES + 7).map(|at| at as u8).collect();
        write_all_at(&file, &data, 5).expect("is written");
        let mut read = vec![0; data.len()];
        file.read_exact_at(&mut read, 5).expect("is read");
        assert!(read == data, "what was written is not what is read");
        let piece = PIECE_BYTES as u64;
        assert_eq!(
            *file.1.lock().expect("a list"),
            [
                ("write", 5, piece),
                ("out", 5, piece),
                ("write", 5 + piece, piece),
                ("out", 5 + piece, piece),
                ("write", 5 + 2 * piece, 7),
                ("out", 5 + 2 * piece, 7),
            ]
        );
    }

    #[test]
    fn a_rest_is_as_long_as_the_piece_took_within_limits() {
        let us = Duration::from_micros;
        assert_eq!(rest_after(us(99)), None, "memory needs none");
        assert_eq!(rest_after(us(900)), Some(us(900)));
        assert_eq!(rest_after(us(1_000_000)), Some(REST_MAX));
    }

    #[test]
    fn work_rests_twice_as_long_as_it_took_within_limits() {
        let us = Duration::from_micros;
        assert_eq!(rest_from_work(us(999)), None);
        assert_eq!(rest_from_work(us(1_000)), Some(us(2_000)));
        assert_eq!(rest_from_work(us(1_000_000)), Some(REST_MAX));
    }

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
