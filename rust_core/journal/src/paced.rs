//! Large writes beside the journal: in pieces, each on the disk before the next is written, with a rest after each. A sync
//! of promises then never queues behind more than one piece, and finds the disk free half of the time.

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

/// Writes one piece and syncs it. Returns how long that took.
pub(crate) fn piece(file: &dyn StorageFile, data: &[u8], offset: u64) -> io::Result<Duration> {
    let began = Instant::now();
    file.write_all_at(data, offset)?;
    file.sync_data()?;
    Ok(began.elapsed())
}

/// Writes and syncs all of `data`, at leisure.
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

/// Makes the calling thread stand back behind those that promise, where there is too little processor for all. Only that
/// thread, and what it starts.
pub(crate) fn lower_priority(what: &str) {
    let own = Some(rustix::thread::gettid());
    if let Err(error) = rustix::process::setpriority_process(own, NICENESS) {
        tracing::debug!(%error, "{what} at normal priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Fault, FaultRule, OpKind, SimStorage, Storage};

    #[test]
    fn every_piece_is_synced_before_the_next() {
        let disk = SimStorage::new(1);
        let data: Vec<u8> = (0..3 * PIECE_BYTES + 7).map(|at| at as u8).collect();
        let file = disk.create("whole", 0).expect("a file");
        write_all_at(file.as_ref(), &data, 5).expect("is written");
        let mut read = vec![0; data.len()];
        file.read_exact_at(&mut read, 5).expect("is read");
        assert!(read == data, "what was written is not what is read");

        disk.inject(FaultRule {
            op: OpKind::SyncData,
            name_contains: "torn".to_owned(),
            after: 1,
            sticky: false,
            fault: Fault::Eio,
        });
        let file = disk.create("torn", 0).expect("a file");
        write_all_at(file.as_ref(), &data, 0).expect_err("the second sync fails");
        assert_eq!(file.size().expect("a size"), 2 * PIECE_BYTES as u64);
    }

    #[test]
    fn a_rest_is_as_long_as_the_piece_took_within_limits() {
        let us = Duration::from_micros;
        assert_eq!(rest_after(us(99)), None, "memory needs none");
        assert_eq!(rest_after(us(900)), Some(us(900)));
        assert_eq!(rest_after(us(1_000_000)), Some(REST_MAX));
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
