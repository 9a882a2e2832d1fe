//! A small shop: seeded commands against a partition.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;
use std::time::Duration;

use bespeak_engine::{
    AdjustOnHand, AdjustReason, Answer, Command, Due, Fulfil, HoldTerms, Item, ItemId, Location,
    LocationId, LocationKind, Meta, Outcome, ReceiptKind, Receive, Release, Reply, ReservationId,
    Reserve, ReserveLine, ScheduleReceipt, SetOnHand, StockStatus, Units, UtcMillis,
};
use bespeak_journal::storage::SimStorage;
use bespeak_journal::{
    Hooks, LogConfig, ManualClock, Partition, PartitionConfig, PartitionError, PartitionReport,
    SyncBy,
};

use super::Dice;

pub const ITEMS: u32 = 3;
pub const LOCATIONS: u32 = 2;
pub const START_MS: i64 = 1_800_000_000_000;
pub const HOUR_MS: i64 = 3_600_000;

/// Small segments; syncs only when somebody waits, so that a run is the same every time.
pub fn config() -> PartitionConfig {
    PartitionConfig {
        log: LogConfig {
            segment_bytes: 32 * 1024,
            max_record_bytes: 16 * 1024,
            background: false,
            journal_id: Some([7; 16]),
            ..LogConfig::default()
        },
        sync_by: SyncBy::Waiter,
        seal_after: Duration::from_secs(3600),
        snapshot_every_bytes: 0,
        ..PartitionConfig::default()
    }
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START_MS))
}

pub fn open_at(
    disk: &SimStorage,
    clock: &Arc<ManualClock>,
    config: PartitionConfig,
) -> Result<(Partition, PartitionReport), PartitionError> {
    open_with(disk, clock, config, Arc::new(()))
}

pub fn open_with(
    disk: &SimStorage,
    clock: &Arc<ManualClock>,
    config: PartitionConfig,
    hooks: Arc<dyn Hooks>,
) -> Result<(Partition, PartitionReport), PartitionError> {
    let clock: Arc<ManualClock> = Arc::clone(clock);
    Partition::open(Arc::new(disk.clone()), config, clock, hooks)
}

pub fn meta(id: u128) -> Meta {
    Meta {
        request_id: id,
        ..Meta::default()
    }
}

pub fn units(value: u64) -> Units {
    Units::new(value).expect("a small quantity")
}

/// Items, locations and stock to begin with.
pub fn stock_up(partition: &Partition) -> Result<(), PartitionError> {
    for number in 0..ITEMS {
        let item = Item {
            name: format!("item-{number}").into(),
            base_unit: "each".into(),
            units: Vec::new(),
        };
        partition.execute(Meta::default(), &Command::PutItem(item))?;
    }
    for number in 0..LOCATIONS {
        let location = Location {
            name: format!("store-{number}").into(),
            time_zone: "".into(),
            day_offsets: Vec::new(),
            kind: LocationKind::Store,
        };
        partition.execute(Meta::default(), &Command::PutLocation(location))?;
    }
    for item in 0..ITEMS {
        for location in 0..LOCATIONS {
            partition.execute(Meta::default(), &count(item, location, 50))?;
        }
    }
    Ok(())
}

pub fn count(item: u32, location: u32, quantity: u64) -> Command {
    Command::SetOnHand(SetOnHand {
        item: ItemId(item),
        location: LocationId(location),
        status: StockStatus::Unrestricted,
        quantity: units(quantity),
        counted_at: None,
        expected_on_hand: None,
        expected_version: None,
    })
}

pub fn reserve(item: u32, location: u32, quantity: u64) -> Command {
    let line = ReserveLine {
        item: ItemId(item),
        location: LocationId(location),
        quantity: units(quantity),
        ship_time: None,
        latest: None,
    };
    Command::Reserve(Reserve {
        lines: [line].into_iter().collect(),
        terms: HoldTerms::default(),
    })
}

/// Any command, valid or not.
pub fn any_command(dice: &mut Dice, now: i64) -> Command {
    let item = dice.below(ITEMS.into()) as u32;
    let location = dice.below(LOCATIONS.into()) as u32;
    let reservation = ReservationId(1 + dice.below(200));
    let receipt: Box<str> = format!("po-{}", dice.below(30)).into();
    match dice.below(12) {
        0 => count(item, location, dice.below(80)),
        1 => Command::AdjustOnHand(AdjustOnHand {
            item: ItemId(item),
            location: LocationId(location),
            status: StockStatus::Unrestricted,
            delta: dice.below(11) as i64 - 5,
            reason: AdjustReason::Correction,
            happened_at: None,
        }),
        2 => Command::ScheduleReceipt(ScheduleReceipt {
            receipt,
            item: ItemId(item),
            location: LocationId(location),
            quantity: units(1 + dice.below(20)),
            due: Due::At(UtcMillis::new(now + dice.below(48) as i64 * HOUR_MS)),
            kind: ReceiptKind::PurchaseOrder,
            spread: None,
        }),
        3 => Command::Receive(Receive {
            receipt,
            quantity: units(1 + dice.below(20)),
            status: StockStatus::Unrestricted,
            last: dice.below(2) == 0,
            happened_at: None,
        }),
        4 => Command::Confirm(reservation),
        5 => Command::Fulfil(Fulfil {
            reservation,
            lines: [].into_iter().collect(),
            happened_at: None,
        }),
        6 => Command::Release(Release {
            reservation,
            lines: [].into_iter().collect(),
        }),
        _ => reserve(item, location, 1 + dice.below(8)),
    }
}

/// Whether an answer stays the answer under its request id: refusals are judged afresh.
pub fn is_remembered(answer: &Answer) -> bool {
    match &answer.reply {
        Reply::Hold(hold) => hold.outcome != Outcome::Refused,
        Reply::Step(step) | Reply::StepWithShocks(step, _) => step.refusal.is_none(),
        Reply::Supply(supply) => supply.refusal.is_none(),
        Reply::Catalog | Reply::Duplicate => true,
    }
}
