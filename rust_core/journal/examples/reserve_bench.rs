//! Measures reservations through a partition: decided, applied, encoded and synced, without a server.
//!
//! `cargo run --release -p bespeak-journal --example reserve_bench -- DIRECTORY [POSITIONS [BATCHES]]`
//! reserves batches of 8,192 lines, one request each, syncs after each batch and prints a JSON line. The directory is
//! filled and should be empty. Under callgrind, with some batches and with none, it counts the instructions of a line.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use bespeak_engine::{
    Command, HoldTerms, Item, ItemId, Location, LocationId, LocationKind, Meta, Outcome, Reply,
    Reserve, ReserveLine, SetOnHand, StockStatus, Units,
};
use bespeak_journal::storage::FsStorage;
use bespeak_journal::{Partition, PartitionConfig, PartitionError, SyncBy, SystemClock};

const LINES: u32 = 8_192;
const STOCK: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("give an empty directory")?;
    let positions: u32 = arguments.next().map_or(Ok(10_000), |text| text.parse())?;
    let batches: u32 = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let config = PartitionConfig {
        sync_by: SyncBy::Waiter,
        ..PartitionConfig::default()
    };
    let storage = Arc::new(FsStorage::new(directory)?);
    let clock = Arc::new(SystemClock::default());
    let (partition, _) = Partition::open(storage, config, clock, Arc::new(()))?;
    fill(&partition, positions)?;
    let started = Instant::now();
    let mut random = 7_u64;
    let mut full = 0_u32;
    for batch in 0..batches {
        let mut revision = 0;
        for line in 0..LINES {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let item = ItemId((random >> 33) as u32 % positions);
            let meta = Meta {
                request_id: u128::from(batch * LINES + line) + 1,
                ..Meta::default()
            };
            let seen = partition.write(
                meta,
                |_| Ok::<_, PartitionError>(reserve(item)),
                |_, answer| {
                    Ok(matches!(&answer.reply, Reply::Hold(hold) if hold.outcome == Outcome::Full))
                },
            );
            full += u32::from(seen.result?);
            revision = seen.revision;
        }
        partition.wait_durable(revision)?;
    }
    let lines = f64::from((batches * LINES).max(1));
    println!(
        "{{\"bench\":\"reserve_durable\",\"positions\":{positions},\"lines\":{},\"held\":{full},\"ns_per_line\":{:.0}}}",
        batches * LINES,
        started.elapsed().as_nanos() as f64 / lines,
    );
    partition.close()?;
    Ok(())
}

fn fill(partition: &Partition, positions: u32) -> Result<(), Box<dyn Error>> {
    let mut commands = vec![Command::PutLocation(Location {
        name: "ams1".into(),
        time_zone: "".into(),
        day_offsets: Vec::new(),
        kind: LocationKind::Dc,
    })];
    for item in 0..positions {
        commands.push(Command::PutItem(Item {
            name: format!("sku-{item:07}").into(),
            base_unit: "each".into(),
            units: Vec::new(),
        }));
        commands.push(Command::SetOnHand(SetOnHand {
            item: ItemId(item),
            location: LocationId(0),
            status: StockStatus::Unrestricted,
            quantity: Units::new(STOCK).ok_or("too much stock")?,
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        }));
    }
    for block in commands.chunks(LINES as usize) {
        let mut revision = 0;
        for command in block {
            let seen = partition.write(
                Meta::default(),
                |_| Ok::<_, PartitionError>(command.clone()),
                |_, answer| Ok(answer.revision),
            );
            revision = seen.result?;
        }
        partition.wait_durable(revision)?;
    }
    Ok(())
}

fn reserve(item: ItemId) -> Command {
    let line = ReserveLine {
        item,
        location: LocationId(0),
        quantity: Units::new(1).expect("a small quantity"),
        ship_time: None,
        latest: None,
    };
    Command::Reserve(Reserve {
        lines: [line].into_iter().collect(),
        terms: HoldTerms::default(),
    })
}
