//! Measures how long a journal takes to open: a snapshot of so many positions, and so many records after it.
//!
//! ```text
//! cargo run --release -p bespeak-journal --example recovery_bench -- 1000000 1000000
//! ```
//! Positions hold 4 receipts and 8 commitments; each record after the snapshot is a reservation of one line. The
//! directory lies where the system keeps passing files (TMPDIR) and is removed at the end.

#[path = "../../engine/examples/engine_bench/world.rs"]
#[allow(dead_code, reason = "the engine's benchmark asks for more")]
mod world;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bespeak_engine::{Answer, Command, Meta};
use bespeak_journal::storage::FsStorage;
use bespeak_journal::{ManualClock, Partition, PartitionConfig, PartitionError, Seen};

use world::{Keys, Random};

/// As in the extension.
#[global_allocator]
static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;

/// Commands between two waits for the disk.
const WINDOW: u64 = 8_192;

fn main() -> Result<(), Box<dyn Error>> {
    bespeak_memory::keep_huge_pages_whole();
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        let given = arguments.next().map(|text| text.replace('_', "").parse());
        given.unwrap_or(Ok(default))
    };
    let positions = u32::try_from(number(1_000_000)?)?;
    let records = number(1_000_000)?;
    let directory = tempfile::tempdir()?;
    let keys = Keys::new(positions);
    let open = || -> Result<_, PartitionError> {
        // The clock starts at zero and is set ahead, as a machine's is long after the last record.
        let clock = Arc::new(ManualClock::new(keys.now.get()));
        let storage = Arc::new(FsStorage::new(directory.path()).map_err(|error| {
            PartitionError::Stopped {
                cause: error.to_string(),
            }
        })?);
        let config = PartitionConfig {
            snapshot_every_bytes: 0,
            ..PartitionConfig::default()
        };
        Partition::open(storage, config, clock, Arc::new(()))
    };

    let (partition, _) = open()?;
    let mut said = 0u64;
    let mut say = |command: &Command| -> Result<(), PartitionError> {
        let meta = Meta::default();
        let seen: Seen<Result<Answer, PartitionError>> =
            partition.write(meta, |_| Ok(command.clone()), |_, answer| Ok(answer));
        seen.result?;
        said += 1;
        if said.is_multiple_of(WINDOW) {
            partition.wait_durable(seen.revision)?;
        }
        Ok(())
    };
    let mut failed = None;
    keys.fill(4, 8, 4, &mut |command| {
        if failed.is_none() {
            failed = say(command).err();
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    partition.flush()?;
    let snapshot = partition.snapshot()?;
    let mut random = Random::new(7);
    for _ in 0..records {
        say(&keys.reserve(&mut random, 1))?;
    }
    let before = partition.peek(|state| state.digest())?;
    partition.close()?;
    drop(partition);

    let start = Instant::now();
    let (partition, report) = open()?;
    let opened = start.elapsed();
    assert_eq!(partition.peek(|state| state.digest())?, before);
    println!(
        "{{\"bench\": \"recovery\", \"positions\": {positions}, \"snapshot_revision\": {}, \"records\": {}, \
         \"open_ms\": {}, \"target_ms\": 5000}}",
        snapshot.position.revision,
        report.replayed.records,
        opened.as_millis(),
    );
    Ok(())
}
