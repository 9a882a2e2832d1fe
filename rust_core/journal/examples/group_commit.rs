//! Measures group commit: records a second and the time of a sync, by batch size.
//!
//! `cargo run --release -p bespeak-journal --example group_commit -- DIRECTORY [PAYLOAD_BYTES]`
//! writes one JSON line a batch size. The directory is filled and should be empty.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespeak_journal::storage::{FsStorage, Storage, StorageFile, WriterLock};
use bespeak_journal::{Batch, Log, LogConfig, RecordMeta};

const ROUND: Duration = Duration::from_secs(2);

/// Takes everything and keeps nothing.
struct Void;

impl WriterLock for Void {}

impl Storage for Void {
    fn describe(&self) -> String {
        "void".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create(&self, _: &str, _: u64) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(Void))
    }

    fn open(&self, _: &str, _: bool) -> io::Result<Box<dyn StorageFile>> {
        Err(io::Error::from(io::ErrorKind::NotFound))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn WriterLock>> {
        Ok(Box::new(Void))
    }
}

impl StorageFile for Void {
    fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn fill(batch: &mut Batch, first: u64, size: u64, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    batch.clear();
    for revision in first..first + size {
        let request_id = u128::from(revision)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes();
        let meta = RecordMeta {
            revision,
            time_ms: 1,
            request_id,
            kind: 1,
        };
        batch.push(&meta, payload, 1 << 20)?;
    }
    Ok(())
}

fn measure(storage: Arc<dyn Storage>, disk: &str, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    let (mut log, _) = Log::open(storage, LogConfig::default())?;
    let mut batch = Batch::new();
    for size in [1, 16, 64, 256, 1024, 4096] {
        let before = log.view().stats().sync_us.snapshot();
        let (mut records, mut batches) = (0, 0_u64);
        let mut in_append = Duration::ZERO;
        let began = Instant::now();
        while began.elapsed() < ROUND {
            fill(&mut batch, log.next_revision(), size, payload)?;
            let start = Instant::now();
            log.append(&mut batch)?;
            in_append += start.elapsed();
            records += size;
            batches += 1;
        }
        let took = began.elapsed().as_secs_f64();
        let mut since = log.view().stats().sync_us.snapshot();
        for (bound, count) in &mut since.buckets {
            let old = before.buckets.iter().find(|(other, _)| other == bound);
            *count -= old.map_or(0, |(_, count)| *count);
        }
        since.count -= before.count;
        println!(
            "{{\"disk\":\"{disk}\",\"batch\":{size},\"payload_bytes\":{},\"records_per_s\":{:.0},\"append_us_p50\":{},\"append_us_p99\":{},\"append_ns_per_record\":{:.0},\"batches\":{batches}}}",
            payload.len(),
            records as f64 / took,
            since.quantile(0.5),
            since.quantile(0.99),
            in_append.as_nanos() as f64 / records as f64,
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("give an empty directory")?;
    let payload_bytes = args.next().map_or(Ok(100), |text| text.parse())?;
    let payload = vec![7_u8; payload_bytes];
    measure(Arc::new(FsStorage::new(dir)?), "file", &payload)?;
    // Without a disk what is left is the work of the processor.
    measure(Arc::new(Void), "none", &payload)
}
