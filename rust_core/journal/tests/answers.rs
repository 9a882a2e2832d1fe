//! One request, one answer: the first comes again from memory and disk, or the request is refused.

mod common;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bespeak_engine::{Answer, Command, EngineError, Meta, Outcome, Reply, Settings, State};
use bespeak_journal::storage::{SimStorage, Storage, StorageFile, WriterLock};
use bespeak_journal::{Partition, PartitionConfig, PartitionError};
use common::shop::{
    START_MS, clock, config, count, is_remembered, meta, open_at, reserve, stock_up,
};

fn outcome(answer: &Answer) -> Outcome {
    match &answer.reply {
        Reply::Hold(hold) => hold.outcome,
        other => panic!("no hold: {other:?}"),
    }
}

#[test]
fn the_first_answer_comes_back_from_memory_disk_and_another_life() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let few = PartitionConfig {
        settings: Settings {
            remembered_requests: 4,
            ..Settings::default()
        },
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, few.clone()).unwrap();
    stock_up(&partition).unwrap();
    let mut first = Vec::new();
    for id in 1..=300_u128 {
        clock.pass(10);
        let command = match id % 3 {
            0 => count(1, 1, id as u64),
            _ => reserve((id % 2) as u32, 0, 1 + (id % 7) as u64),
        };
        let answer = partition.execute(meta(id), &command).unwrap();
        assert!(!answer.replayed);
        first.push((id, command, answer));
    }
    let check = |partition: &Partition, id: u128, command: &Command, first: &Answer| {
        let before = partition.peek(|state| state.revision()).unwrap();
        let again = partition.execute(meta(id), command).unwrap();
        if is_remembered(first) {
            assert_eq!(
                again,
                Answer {
                    replayed: true,
                    ..first.clone()
                }
            );
            assert_eq!(partition.peek(|state| state.revision()).unwrap(), before);
            let other = partition.execute(meta(id), &count(2, 1, 77));
            assert!(
                matches!(
                    other,
                    Err(PartitionError::Engine(EngineError::RequestIdReused(_)))
                ),
                "{other:?}"
            );
        } else {
            assert!(!again.replayed, "a refusal for stock is judged afresh");
        }
    };
    assert!(first.iter().any(|(_, _, answer)| !is_remembered(answer)));
    for (id, command, answer) in &first {
        check(&partition, *id, command, answer);
    }
    // A refusal, then stock, then the same id again: accepted, and from then on remembered.
    let (id, command, _) = first
        .iter()
        .find(|(_, _, answer)| !is_remembered(answer))
        .cloned()
        .unwrap();
    partition.execute(meta(0), &count(0, 0, 10_000)).unwrap();
    partition.execute(meta(0), &count(1, 0, 10_000)).unwrap();
    let accepted = partition.execute(meta(id), &command).unwrap();
    assert_eq!(outcome(&accepted), Outcome::Full);
    for filler in 1_001..1_010 {
        partition.execute(meta(filler), &count(2, 0, 5)).unwrap();
    }
    check(&partition, id, &command, &accepted);
    drop(partition);
    let (partition, _) = open_at(&disk, &clock, few).unwrap();
    check(&partition, id, &command, &accepted);
    for (id, command, answer) in first.iter().filter(|(_, _, answer)| is_remembered(answer)) {
        check(&partition, *id, command, answer);
    }
}

/// A disk on which something happens just before a read.
struct Interrupted {
    disk: SimStorage,
    before_read: Interruption,
}

type Interruption = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct InterruptedFile {
    file: Box<dyn StorageFile>,
    before_read: Interruption,
}

impl Storage for Interrupted {
    fn describe(&self) -> String {
        self.disk.describe()
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str, len: u64) -> std::io::Result<Box<dyn StorageFile>> {
        self.disk.create(name, len)
    }
    fn open(&self, name: &str, write: bool) -> std::io::Result<Box<dyn StorageFile>> {
        let (file, before_read) = (self.disk.open(name, write)?, Arc::clone(&self.before_read));
        Ok(Box::new(InterruptedFile { file, before_read }))
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self) -> std::io::Result<()> {
        self.disk.sync_dir()
    }
    fn lock(&self) -> std::io::Result<Box<dyn WriterLock>> {
        self.disk.lock()
    }
}

impl StorageFile for InterruptedFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let happens = self.before_read.lock().unwrap().take();
        if let Some(happens) = happens {
            happens();
        }
        self.file.read_exact_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> std::io::Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
    fn size(&self) -> std::io::Result<u64> {
        self.file.size()
    }
    fn truncate(&self, len: u64) -> std::io::Result<()> {
        self.file.truncate(len)
    }
}

#[test]
fn an_answer_forgotten_while_the_disk_is_asked_is_given_again() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let few = PartitionConfig {
        settings: Settings {
            remembered_requests: 4,
            ..Settings::default()
        },
        ..config()
    };
    let before_read = Interruption::default();
    let interrupted = Interrupted {
        disk,
        before_read: Arc::clone(&before_read),
    };
    let (partition, _) = Partition::open(Arc::new(interrupted), few, clock, Arc::new(())).unwrap();
    let partition = Arc::new(partition);
    stock_up(&partition).unwrap();
    partition
        .execute(Meta::default(), &count(0, 0, 10_000))
        .unwrap();
    // Up to the last request of a segment: memory has it, and so has an index on the disk.
    let rolls = || {
        partition
            .journal()
            .unwrap()
            .stats()
            .rolls
            .load(Ordering::Relaxed)
    };
    let mut id = 0;
    let mut last = None;
    while rolls() == 0 {
        id += 1;
        let answer = partition.execute(meta(id), &reserve(0, 0, 1)).unwrap();
        last = last.filter(|_| rolls() > 0).or(Some((id, answer)));
    }
    let (id, first) = last.unwrap();
    assert!(
        partition
            .peek(|state| state.remembered(id).is_some())
            .unwrap()
    );
    // Others get ahead and drive it out of memory, just while the disk is asked for it.
    let others = Arc::clone(&partition);
    *before_read.lock().unwrap() = Some(Box::new(move || {
        for other in 1..=4 {
            others
                .execute(meta(1_000_000 + other), &reserve(0, 0, 1))
                .unwrap();
        }
    }));
    let again = partition.execute(meta(id), &reserve(0, 0, 1)).unwrap();
    assert!(before_read.lock().unwrap().is_none(), "the disk was asked");
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..first
        }
    );
}

#[test]
fn an_answer_that_is_forgotten_before_it_is_durable_is_given_again() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let few = PartitionConfig {
        settings: Settings {
            remembered_requests: 4,
            ..Settings::default()
        },
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, few).unwrap();
    stock_up(&partition).unwrap();
    let write = |id| {
        let seen = partition.write(
            meta(id),
            |_| Ok::<_, PartitionError>(reserve(0, 0, 1)),
            |_, answer| Ok(answer),
        );
        seen.result.unwrap()
    };
    let first = write(1);
    for id in 2..=6 {
        write(id);
    }
    assert_eq!(
        write(1),
        Answer {
            replayed: true,
            ..first
        }
    );
}

/// A request id of version 7, made at `ms`.
fn made_at(ms: i64, number: u16) -> u128 {
    (ms as u128) << 80 | 7 << 76 | 0b10 << 62 | u128::from(number)
}

#[test]
fn without_a_journal_a_request_that_may_be_forgotten_is_refused() {
    let clock = clock();
    let few = PartitionConfig {
        settings: Settings {
            remembered_requests: 4,
            ..Settings::default()
        },
        ..config()
    };
    let partition = Partition::in_memory(few, Arc::clone(&clock) as _, Arc::new(()));
    stock_up(&partition).unwrap();
    let first = partition
        .execute(meta(made_at(START_MS, 1)), &reserve(0, 0, 1))
        .unwrap();
    for number in 2..=4 {
        clock.pass(10);
        partition
            .execute(meta(made_at(START_MS, number)), &reserve(0, 0, 1))
            .unwrap();
    }
    let again = partition
        .execute(meta(made_at(START_MS, 1)), &reserve(0, 0, 1))
        .unwrap();
    assert_eq!(
        again,
        Answer {
            replayed: true,
            ..first
        }
    );
    // One more, and the first is lost for good.
    clock.pass(10);
    let fresh = made_at(START_MS + 1, 5);
    partition.execute(meta(fresh), &reserve(0, 0, 1)).unwrap();
    for number in [0, 1] {
        let refused = partition.execute(meta(made_at(START_MS, number)), &reserve(0, 0, 1));
        assert!(
            matches!(
                refused,
                Err(PartitionError::Engine(EngineError::RequestIdTooOld(_)))
            ),
            "{refused:?}"
        );
    }
    for number in 2..=4 {
        let again = partition
            .execute(meta(made_at(START_MS, number)), &reserve(0, 0, 1))
            .unwrap();
        assert!(again.replayed, "{number} is still remembered");
    }
    // No larger id was lost, not of the same millisecond either, and one from a clock far ahead shuts nobody out.
    let ahead = made_at(START_MS + 1_000_000, 1);
    for id in [made_at(START_MS, 9), ahead, made_at(START_MS + 2, 6)] {
        let later = partition.execute(meta(id), &reserve(0, 0, 1)).unwrap();
        assert!(!later.replayed);
    }
    for number in 7..=12 {
        clock.pass(10);
        let now = START_MS + 40 + 10 * i64::from(number - 6);
        let id = made_at(now, number);
        partition.execute(meta(id), &reserve(0, 0, 1)).unwrap();
    }
    let refused = partition.execute(meta(ahead), &reserve(0, 0, 1));
    assert!(
        refused.is_ok(),
        "an id from the future is known by its own clock only: {refused:?}"
    );
}

/// A request that says what was sent, of which no command can be made this time.
fn without_a_command(
    partition: &Partition,
    request_id: u128,
    sent: u64,
) -> Result<Answer, PartitionError> {
    let meta = Meta {
        sent,
        ..meta(request_id)
    };
    let none = |_: &State| Err(PartitionError::InMemory("this command"));
    partition.write(meta, none, |_, answer| Ok(answer)).result
}

#[test]
fn what_was_sent_finds_its_answer_where_no_command_can_be_made_of_it() {
    let (disk, clock) = (SimStorage::new(1), clock());
    let few = PartitionConfig {
        settings: Settings {
            remembered_requests: 4,
            ..Settings::default()
        },
        ..config()
    };
    let (partition, _) = open_at(&disk, &clock, few.clone()).unwrap();
    stock_up(&partition).unwrap();
    let sent = Meta {
        sent: 77,
        ..meta(1)
    };
    let first = partition.execute(sent, &reserve(0, 0, 3)).unwrap();
    let again = Answer {
        replayed: true,
        ..first
    };
    let check = |partition: &Partition, place: &str| {
        let before = partition.peek(State::revision).unwrap();
        let found = without_a_command(partition, 1, 77).unwrap();
        assert_eq!(found, again, "{place}");
        for (id, sent) in [(1, 78), (1, 0), (2, 77), (0, 77)] {
            let told = without_a_command(partition, id, sent);
            assert!(
                matches!(told, Err(PartitionError::InMemory(_))),
                "{place}, {id} sent as {sent}: {told:?}"
            );
        }
        assert_eq!(partition.peek(State::revision).unwrap(), before, "{place}");
    };
    check(&partition, "memory");
    for filler in 1_001..1_010 {
        partition.execute(meta(filler), &count(2, 0, 5)).unwrap();
    }
    let is_remembered = partition.peek(|state| state.remembered(1).is_some());
    assert!(!is_remembered.unwrap());
    check(&partition, "disk");
    drop(partition);
    let (partition, _) = open_at(&disk, &clock, few).unwrap();
    check(&partition, "another life");
}
