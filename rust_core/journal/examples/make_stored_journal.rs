//! Makes the stored journals under `tests/data`. Run once a format version, never again for an
//! old one: they show that what was written then still opens.
//!
//! `cargo run -p bespeak-journal --example make_stored_journal -- DIRECTORY`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use bespeak_engine::{
    AdjustOnHand, AdjustReason, Command, Due, HoldTerms, Item, ItemId, Location, LocationId,
    LocationKind, Meta, ReceiptKind, ReservationId, Reserve, ReserveLine, ScheduleReceipt,
    SetOnHand, StockStatus, Units, UtcMillis,
};
use bespeak_journal::storage::FsStorage;
use bespeak_journal::{
    Batch, Log, LogConfig, ManualClock, NO_REQUEST, Partition, PartitionConfig, PartitionError,
    RecordMeta,
};

const START_MS: i64 = 1_800_000_000_000;

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 16 * 1024,
        max_record_bytes: 8 * 1024,
        background: false,
        journal_id: Some(*b"stored journal 1"),
        ..LogConfig::default()
    }
}

/// Opaque records of every length up to 400 bytes, in batches of 1 to 9, over two epochs.
fn make_log(dir: &Path) -> Result<(), Box<dyn Error>> {
    let storage = Arc::new(FsStorage::new(dir)?);
    let mut revision = 1;
    for _ in 0..2 {
        let (mut log, _) = Log::open(storage.clone(), log_config())?;
        let mut batch = Batch::new();
        for size in 1..=10 {
            batch.clear();
            for _ in 0..size {
                let request_id = if revision % 4 == 0 {
                    NO_REQUEST
                } else {
                    u128::from(revision)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
                        .to_be_bytes()
                };
                let meta = RecordMeta {
                    revision,
                    time_ms: START_MS as u64 + revision * 250,
                    request_id,
                    kind: (revision % 3) as u16,
                };
                let payload: Vec<u8> = (0..revision * 37 % 401)
                    .map(|at| (at * revision) as u8)
                    .collect();
                batch.push(&meta, &payload, 8 * 1024)?;
                revision += 1;
            }
            log.append(&mut batch)?;
        }
        log.seal()?;
    }
    Ok(())
}

fn units(value: u64) -> Units {
    Units::new(value).unwrap_or(Units::ZERO)
}

fn reserve(item: u32, location: u32, quantity: u64) -> Command {
    let line = ReserveLine {
        item: ItemId(item),
        location: LocationId(location),
        quantity: units(quantity),
        ship_time: None,
        latest: None,
    };
    let terms = HoldTerms {
        order_ref: "order".into(),
        ..HoldTerms::default()
    };
    Command::Reserve(Reserve {
        lines: [line].into_iter().collect(),
        terms,
    })
}

/// A small shop over two lives, with a snapshot between them.
fn make_partition(dir: &Path) -> Result<(), Box<dyn Error>> {
    let storage = Arc::new(FsStorage::new(dir)?);
    let clock = Arc::new(ManualClock::new(START_MS));
    let config = PartitionConfig {
        log: log_config(),
        snapshot_every_bytes: 0,
        ..PartitionConfig::default()
    };
    let (partition, _) =
        Partition::open(storage.clone(), config.clone(), clock.clone(), Arc::new(()))?;
    for name in ["tea", "coffee"] {
        let item = Item {
            name: name.into(),
            base_unit: "each".into(),
            units: Vec::new(),
        };
        partition.execute(Meta::default(), &Command::PutItem(item))?;
    }
    for name in ["ams1", "rtm1"] {
        let location = Location {
            name: name.into(),
            time_zone: "".into(),
            day_offsets: Vec::new(),
            kind: LocationKind::Dc,
        };
        partition.execute(Meta::default(), &Command::PutLocation(location))?;
    }
    for (item, location) in [(0, 0), (0, 1), (1, 0)] {
        let count = SetOnHand {
            item: ItemId(item),
            location: LocationId(location),
            status: StockStatus::Unrestricted,
            quantity: units(100),
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        };
        partition.execute(Meta::default(), &Command::SetOnHand(count))?;
    }
    let receipt = ScheduleReceipt {
        receipt: "po-1".into(),
        item: ItemId(1),
        location: LocationId(0),
        quantity: units(40),
        due: Due::At(UtcMillis::new(START_MS + 86_400_000)),
        kind: ReceiptKind::PurchaseOrder,
        spread: None,
    };
    partition.execute(Meta::default(), &Command::ScheduleReceipt(receipt))?;
    trade(&partition, &clock, 1)?;
    partition.snapshot()?;
    drop(partition);
    let (partition, _) = Partition::open(storage, config, clock.clone(), Arc::new(()))?;
    trade(&partition, &clock, 1_000)?;
    partition.close()?;
    Ok(())
}

fn trade(partition: &Partition, clock: &ManualClock, first_id: u128) -> Result<(), PartitionError> {
    for number in 0..60 {
        clock.pass(30_000);
        let meta = Meta {
            request_id: first_id + number,
            ..Meta::default()
        };
        let (item, location) = [(0, 0), (0, 1), (1, 0)][(number % 3) as usize];
        let command = match number % 10 {
            8 => Command::AdjustOnHand(AdjustOnHand {
                item: ItemId(item),
                location: LocationId(location),
                status: StockStatus::Unrestricted,
                delta: -1,
                reason: AdjustReason::Sale,
                happened_at: None,
            }),
            9 => Command::Confirm(ReservationId(number as u64 / 2)),
            _ => reserve(item, location, 1 + (number % 4) as u64),
        };
        match partition.execute(meta, &command) {
            Ok(_) | Err(PartitionError::Engine(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("give a directory")?;
    make_log(&Path::new(&dir).join("log"))?;
    make_partition(&Path::new(&dir).join("partition"))
}
