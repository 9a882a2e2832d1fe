//! What a disk may give back: segments, records, snapshots, indexes and backups, damaged or made up.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bespeak_engine::{
    Command, Due, HoldTerms, Item, ItemId, Location, LocationId, LocationKind, Meta, ReceiptKind,
    Record, Reserve, ReserveLine, ScheduleReceipt, SetOnHand, State, StockStatus, Units, UtcMillis,
};
use bespeak_journal::storage::{SimStorage, Storage};
use bespeak_journal::{
    Batch, KIND_ENGINE_RECORD, Log, LogConfig, ManualClock, NO_REQUEST, Partition, PartitionConfig,
    PartitionError, RECORD_SCHEMA, RecordMeta, SnapshotReader, SnapshotWriter, SyncBy,
    decode_record, list_snapshots, read_at_rest, read_manifest, restore, verify, verify_backup,
};
use fastrand::Rng;

use crate::mutate;

const INPUTS: usize = 30;
const NOW_MS: i64 = 1_790_000_000_000;

fn config() -> PartitionConfig {
    let standard = PartitionConfig::default();
    PartitionConfig {
        log: LogConfig {
            segment_bytes: 32 << 10,
            max_record_bytes: 8 << 10,
            background: false,
            journal_id: Some([7; 16]),
            ..standard.log
        },
        sync_by: SyncBy::Waiter,
        seal_after: Duration::from_secs(3_600),
        snapshot_every_bytes: 0,
        ..standard
    }
}

fn open(disk: &SimStorage) -> Result<Partition, PartitionError> {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    Partition::open(Arc::new(disk.clone()), config(), clock, Arc::new(())).map(|(open, _)| open)
}

fn units(value: u64) -> Units {
    Units::new(value).expect("small")
}

fn commands(rng: &mut Rng) -> Vec<Command> {
    let mut commands = Vec::new();
    for name in ["tea", "milk"] {
        commands.push(Command::PutItem(Item {
            name: name.into(),
            base_unit: "each".into(),
            units: vec![],
        }));
    }
    commands.push(Command::PutLocation(Location {
        name: "ams1".into(),
        time_zone: "".into(),
        day_offsets: vec![],
        kind: LocationKind::Dc,
    }));
    for number in 0..rng.usize(20..150) {
        let (item, location) = (ItemId(rng.u32(0..2)), LocationId(0));
        let at = UtcMillis::new(NOW_MS + rng.i64(1..50) * 3_600_000);
        commands.push(match rng.u8(0..4) {
            0 => Command::SetOnHand(SetOnHand {
                item,
                location,
                status: StockStatus::Unrestricted,
                quantity: units(rng.u64(0..100)),
                counted_at: None,
                expected_on_hand: None,
                expected_version: None,
            }),
            1 => Command::ScheduleReceipt(ScheduleReceipt {
                receipt: format!("po-{number}").into(),
                item,
                location,
                quantity: units(rng.u64(1..50)),
                due: Due::At(at),
                kind: ReceiptKind::PurchaseOrder,
                spread: None,
            }),
            _ => {
                let line = ReserveLine {
                    item,
                    location,
                    quantity: units(rng.u64(1..9)),
                    ship_time: Some(at),
                    latest: None,
                };
                Command::Reserve(Reserve {
                    lines: [line].into_iter().collect(),
                    terms: HoldTerms::default(),
                })
            }
        });
    }
    commands
}

/// A good journal with a few segments and a snapshot.
fn journal(rng: &mut Rng) -> SimStorage {
    let disk = SimStorage::new(rng.u64(..));
    let partition = open(&disk).expect("a new journal opens");
    let commands = commands(rng);
    let middle = rng.usize(0..commands.len());
    for (number, command) in commands.iter().enumerate() {
        let meta = Meta {
            request_id: rng.u128(1..),
            ..Meta::default()
        };
        let _ = partition.execute(meta, command);
        if number == middle {
            partition.snapshot().expect("a snapshot is made");
        }
    }
    partition.close().expect("closes");
    disk
}

fn read(disk: &dyn Storage, name: &str) -> Vec<u8> {
    let file = disk.open(name, false).expect("it is there");
    let mut data = vec![0; file.size().expect("it has a size") as usize];
    file.read_exact_at(&mut data, 0).expect("it is read");
    data
}

fn replace(disk: &dyn Storage, name: &str, data: &[u8]) {
    let _ = disk.remove(name);
    let file = disk.create(name, 0).expect("it is made");
    file.write_all_at(data, 0).expect("it is written");
}

/// Uses everything that a journal is read by. It may refuse; it may not panic, nor answer wrongly when it does not.
fn use_all(disk: &SimStorage) {
    let storage: Arc<dyn Storage> = Arc::new(disk.fork());
    let _ = verify(&storage);
    if let Ok(mut reader) = read_at_rest(storage, None) {
        while let Ok(Some(record)) = reader.next() {
            let _ = decode_record(&record);
        }
    }
    let Ok(partition) = open(disk) else { return };
    let _ = partition.peek(|state| (state.stats(), state.digest(), state.reconcile()));
    let _ = partition.reconcile();
    // An id that an index may hold.
    let meta = Meta {
        request_id: 7 << 100,
        ..Meta::default()
    };
    let count = Command::SetOnHand(SetOnHand {
        item: ItemId(0),
        location: LocationId(0),
        status: StockStatus::Unrestricted,
        quantity: units(5),
        counted_at: None,
        expected_on_hand: None,
        expected_version: None,
    });
    let _ = partition.execute(meta, &count);
}

fn one_of(rng: &mut Rng, disk: &SimStorage, ending: &str) -> Option<String> {
    let mut names = disk.list().expect("listed");
    names.retain(|name| name.ends_with(ending));
    names.sort();
    rng.choice(names)
}

/// Bytes of segments, indexes and snapshots are changed; checksums notice, or the change does no harm.
pub fn segments(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let good = journal(rng);
    for _ in 0..INPUTS {
        let disk = good.fork();
        let ending = [".seg", ".seg", ".idx", ".snap"][rng.usize(0..4)];
        let Some(name) = one_of(rng, &disk, ending) else {
            continue;
        };
        let mut data = read(&disk, &name);
        mutate::bytes(rng, &mut data);
        note(&name, &data);
        replace(&disk, &name, &data);
        use_all(&disk);
    }
}

/// Records whose checksums hold and whose payload is made up.
pub fn records(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let good = journal(rng);
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    let mut reader = read_at_rest(Arc::new(good.fork()), None).expect("it is good");
    while let Some(record) = reader.next().expect("it is good") {
        payloads.push(record.payload.to_vec());
    }
    for _ in 0..INPUTS {
        let disk = good.fork();
        let (mut log, report) = Log::open(Arc::new(disk.clone()), config().log).expect("opens");
        let mut batch = Batch::new();
        for _ in 0..rng.usize(1..4) {
            let revision = log.next_revision() + batch.len() as u64;
            let mut payload = payloads[rng.usize(0..payloads.len())].clone();
            // Another event of another record, under the number that is next, so that it is not refused for that.
            if let Ok(record) = postcard::from_bytes::<Record>(&payload) {
                let next = Record {
                    revision,
                    time: UtcMillis::new(report.newest.time_ms as i64),
                    ..record
                };
                payload = postcard::to_stdvec(&next).expect("it has a form");
                let head = payload.len().min(20);
                let mut tail = payload.split_off(head);
                mutate::bytes(rng, &mut tail);
                payload.extend(tail);
            }
            let meta = RecordMeta {
                revision,
                time_ms: report.newest.time_ms,
                request_id: NO_REQUEST,
                kind: KIND_ENGINE_RECORD,
            };
            note("record", &payload);
            let _ = postcard::from_bytes::<Record>(&payload);
            if batch.push(&meta, &payload, 8 << 10).is_err() {
                break;
            }
        }
        if log.append(&mut batch).is_ok() {
            drop(log);
            use_all(&disk);
        }
    }
}

/// Snapshots whose checksums hold and whose content is made up.
pub fn snapshots(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let good = journal(rng);
    let revision = *list_snapshots(&good)
        .expect("listed")
        .last()
        .expect("one was made");
    let mut reader = SnapshotReader::open(&good, revision).expect("it is good");
    let info = reader.info().clone();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut content).expect("it is good");
    for _ in 0..INPUTS {
        let mut content = content.clone();
        mutate::bytes(rng, &mut content);
        note("snapshot", &content);
        let mut rest = &content[..];
        let mut input = |out: &mut [u8]| std::io::Read::read(&mut rest, out);
        let read = State::read_snapshot(config().settings, &mut input, &mut || ());
        if let Ok(state) = read {
            let _ = (state.stats(), state.digest());
        }
        let disk = good.fork();
        let name = format!("snapshot-{revision:020}.snap");
        disk.remove(&name).expect("it was there");
        let writer = SnapshotWriter::create(&disk, [7; 16], info.position, RECORD_SCHEMA);
        let mut writer = writer.expect("it is made");
        writer.write_all(&content).expect("it is written");
        writer.finish().expect("it is finished");
        use_all(&disk);
    }
}

/// Index files whose header holds, with counts and sections that are made up.
pub fn indexes(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let good = journal(rng);
    for _ in 0..INPUTS {
        let disk = good.fork();
        let Some(name) = one_of(rng, &disk, ".idx") else {
            return;
        };
        let mut data = read(&disk, &name);
        for _ in 0..rng.usize(1..3) {
            let at = rng.usize(12..112);
            let value = [0, 1, 255, rng.u8(..)][rng.usize(0..4)];
            data[at] = value;
        }
        let header = data.len().min(4_096);
        let crc = crc32c::crc32c(&data[12..header]);
        data[8..12].copy_from_slice(&crc.to_le_bytes());
        note(&name, &data);
        replace(&disk, &name, &data);
        use_all(&disk);
    }
}

/// A backup whose manifest says something else, its own hash made to fit.
pub fn manifests(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let good = journal(rng);
    let partition = open(&good).expect("it is good");
    let backup = SimStorage::new(rng.u64(..));
    partition
        .journal()
        .expect("it has one")
        .backup(&backup)
        .expect("a backup is made");
    partition.close().expect("closes");
    let manifest = read(&backup, "MANIFEST");
    for _ in 0..INPUTS {
        let disk = backup.fork();
        let text = String::from_utf8_lossy(&manifest);
        let body = text.rfind("# end ").map_or(&*text, |end| &text[..end]);
        let mut body = body.as_bytes().to_vec();
        mutate::bytes(rng, &mut body);
        let mut whole = body.clone();
        if rng.u8(0..4) > 0 {
            let end = format!("# end {}\n", blake3::hash(&body).to_hex());
            whole.extend_from_slice(end.as_bytes());
        }
        note("MANIFEST", &whole);
        replace(&disk, "MANIFEST", &whole);
        let _ = read_manifest(&disk);
        let _ = verify_backup(&disk);
        let empty = SimStorage::new(1);
        let to: Arc<dyn Storage> = Arc::new(empty.clone());
        if restore(&disk, &to, bespeak_journal::RestoreTo::End).is_ok() {
            use_all(&empty);
        }
    }
}
