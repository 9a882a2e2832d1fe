//! One history: a partition on a simulated disk, power losses and disk errors, and clients that retry.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bespeak_engine::{Answer, Command, EngineError, Meta, Reply, State};
use bespeak_journal::storage::{CrashMode, Fault, FaultRule, OpKind, SimStorage, SyncKind};
use bespeak_journal::{
    LogConfig, ManualClock, Partition, PartitionConfig, PartitionError, Seen, SyncBy,
};
use fastrand::Rng;

use crate::model::Model;
use crate::workload;

const START_MS: i64 = 1_790_000_000_000;

/// Faults that must be noticed: a run with one of them that passes proves the simulator blind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Syncs of file content do nothing.
    pub lose_data_syncs: bool,
    /// Syncs of the directory do nothing.
    pub lose_directory_syncs: bool,
}

/// What the histories did, so that a run that tests nothing is seen.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    acknowledged: u64,
    crashes: u64,
    disk_errors: u64,
    retried: u64,
    replayed: u64,
    snapshots: u64,
}

impl Totals {
    pub fn add(&mut self, one: &Self) {
        self.acknowledged += one.acknowledged;
        self.crashes += one.crashes;
        self.disk_errors += one.disk_errors;
        self.retried += one.retried;
        self.replayed += one.replayed;
        self.snapshots += one.snapshots;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answers acknowledged, {} power losses, {} disk errors, {} snapshots, {} retries of which {} were \
             answered from memory or journal",
            self.acknowledged,
            self.crashes,
            self.disk_errors,
            self.snapshots,
            self.retried,
            self.replayed
        )
    }
}

/// Name and number of an event feed.
type Source = Option<(Box<str>, u64)>;

/// A request whose answer the client has not seen.
struct Sent {
    id: u128,
    source: Source,
    command: Command,
    answer: Answer,
}

/// What became of a request.
enum Executed {
    Answer(Answer),
    /// The service is down.
    Stopped,
    /// It named something that is not there.
    Mistake,
}

struct Machine {
    rng: Rng,
    faults: Faults,
    disk: SimStorage,
    clock: Arc<ManualClock>,
    partition: Partition,
    model: Model,
    /// Sent and executed, not yet durable.
    unseen: Vec<Sent>,
    /// Acknowledged, for later retries.
    seen: Vec<Sent>,
    /// Digests of acknowledged revisions.
    digests: BTreeMap<u64, [u8; 32]>,
    totals: Totals,
    next_id: u128,
}

fn config() -> PartitionConfig {
    let defaults = PartitionConfig::default();
    PartitionConfig {
        log: LogConfig {
            segment_bytes: 32 << 10,
            max_record_bytes: 8 << 10,
            background: false,
            journal_id: Some([7; 16]),
            ..defaults.log
        },
        sync_by: SyncBy::Waiter,
        // The simulator alone decides when something is written.
        seal_after: std::time::Duration::from_secs(3_600),
        snapshot_every_bytes: 0,
        ..defaults
    }
}

fn open(disk: &SimStorage, clock: &Arc<ManualClock>) -> Result<Partition, String> {
    let clock = Arc::clone(clock) as Arc<dyn bespeak_journal::Clock>;
    let storage = Arc::new(disk.clone());
    match Partition::open(storage, config(), clock, Arc::new(())) {
        Ok((partition, _)) => Ok(partition),
        Err(error) => Err(format!("the journal does not open: {error}")),
    }
}

fn prepare(disk: &SimStorage, faults: Faults) {
    if faults.lose_data_syncs {
        disk.ignore_syncs(SyncKind::Data, "");
    }
    if faults.lose_directory_syncs {
        disk.ignore_syncs(SyncKind::Dir, "");
    }
}

/// Runs one history.
pub fn run(seed: u64, steps: usize, faults: Faults) -> Result<Totals, String> {
    let mut rng = Rng::with_seed(seed);
    let disk = SimStorage::new(seed);
    prepare(&disk, faults);
    let clock = Arc::new(ManualClock::new(START_MS));
    let partition = open(&disk, &clock)?;
    let next_id = u128::from(rng.u64(..)) << 64;
    let mut machine = Machine {
        rng,
        faults,
        disk,
        clock,
        partition,
        model: Model::default(),
        unseen: Vec::new(),
        seen: Vec::new(),
        digests: BTreeMap::new(),
        totals: Totals::default(),
        next_id,
    };
    for command in workload::opening() {
        machine.send(command, None)?;
    }
    machine.sync()?;
    for step in 0..steps {
        machine
            .step(step as u64)
            .map_err(|what| format!("step {step}: {what}"))?;
    }
    machine.crash()?;
    machine.compare_with_full_replay()?;
    Ok(machine.totals)
}

impl Machine {
    fn step(&mut self, serial: u64) -> Result<(), String> {
        if self.rng.u8(0..4) == 0 {
            let far = self.rng.u8(0..8) == 0;
            let ms = if far {
                self.rng.i64(0..20) * workload::HOUR_MS
            } else {
                self.rng.i64(0..120_000)
            };
            // Hours pass in steps that a clock may make, as they would for a service that is asked now and then.
            for _ in 0..ms / 50_000 {
                self.clock.pass(50_000);
            }
            self.clock.pass(ms % 50_000);
        }
        match self.rng.u8(0..60) {
            0 => self.crash(),
            1 => self.power_off_soon(),
            2 => self.disk_error(),
            3 => self.reopen(),
            4..=5 => self.retry_seen(),
            6..=20 => self.sync(),
            21 => self.snapshot(),
            _ => {
                let now = self.now()?;
                let (reservations, receipts) = (self.model.reservations(), self.model.receipts());
                let command = workload::next(&mut self.rng, now, &reservations, &receipts, serial);
                let source = workload::source(&mut self.rng, &command, serial);
                self.send(command, source)
            }
        }
    }

    fn now(&self) -> Result<i64, String> {
        let seen: Seen<Result<i64, PartitionError>> =
            self.partition.read(|state| Ok(state.now().get()));
        match seen.result {
            Ok(now) => Ok(now),
            Err(PartitionError::Stopped { .. }) => Ok(START_MS),
            Err(error) => Err(error.to_string()),
        }
    }

    fn execute(
        &mut self,
        id: u128,
        source: &Source,
        command: &Command,
    ) -> Result<Executed, String> {
        let meta = Meta {
            request_id: id,
            source: source.clone(),
            ..Meta::default()
        };
        let seen: Seen<Result<Answer, PartitionError>> =
            self.partition
                .write(meta, |_| Ok(command.clone()), |_, answer| Ok(answer));
        match seen.result {
            Ok(answer) => Ok(Executed::Answer(answer)),
            Err(PartitionError::Stopped { .. }) => Ok(Executed::Stopped),
            // What a client may get wrong: a receipt or reservation that is gone by now.
            Err(PartitionError::Engine(
                EngineError::UnknownReceipt(_)
                | EngineError::ReceiptExists(_)
                | EngineError::UnknownReservation(_)
                | EngineError::UnknownLine { .. },
            )) => Ok(Executed::Mistake),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a new request; its answer is seen at the next sync.
    fn send(&mut self, command: Command, source: Source) -> Result<(), String> {
        self.next_id += 1;
        let id = self.next_id;
        if let Executed::Answer(answer) = self.execute(id, &source, &command)? {
            if answer.replayed && answer.reply != Reply::Duplicate {
                return Err("a new request was answered as a repeated one".to_owned());
            }
            self.unseen.push(Sent {
                id,
                source,
                command,
                answer,
            });
        }
        Ok(())
    }

    /// Makes everything durable; then all answers are seen.
    fn sync(&mut self) -> Result<(), String> {
        match self.partition.flush() {
            Ok(()) => self.acknowledge(),
            Err(_) => self.crash(),
        }
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let mut unseen = std::mem::take(&mut self.unseen);
        // A retry may have been done after requests that were sent later: the journal's order counts.
        unseen.sort_by_key(|sent| sent.answer.revision);
        for sent in unseen {
            if self.partition.durable_revision() < sent.answer.revision {
                return Err(format!(
                    "a flush left revision {} behind",
                    sent.answer.revision
                ));
            }
            let idle = self.model.is_idle(&sent.command);
            self.model
                .answered(&sent.command, &sent.answer.reply, sent.answer.time.get())?;
            self.totals.acknowledged += 1;
            // Of an event that had been told before, and of what changed nothing, no first answer is kept.
            if self.seen.len() < 64 && sent.answer.reply != Reply::Duplicate && !idle {
                self.seen.push(sent);
            }
        }
        let at = self
            .partition
            .peek(|state| (state.revision(), state.digest()));
        if let Ok((revision, digest)) = at {
            self.digests.insert(revision, digest);
        }
        let agrees: Seen<Result<(), Disagrees>> = self
            .partition
            .read(|state| self.model.agrees(state).map_err(Disagrees));
        agrees.result.or_else(|what| {
            if what.0.is_empty() {
                Ok(())
            } else {
                Err(what.0)
            }
        })
    }

    /// The power fails now; the service comes back and the clients repeat what they have no answer to.
    fn crash(&mut self) -> Result<(), String> {
        self.totals.crashes += 1;
        // Whatever the partition still tries to write on its way out does not reach the disk.
        self.disk.power_off_after(0);
        let mode = [
            CrashMode::LoseUnsynced,
            CrashMode::KeepAll,
            CrashMode::Shuffle,
        ][self.rng.usize(0..3)];
        self.disk = self.disk.crash(mode, self.rng.u64(..));
        prepare(&self.disk, self.faults);
        self.come_back()
            .map_err(|what| format!("after a power loss ({mode:?}): {what}"))
    }

    /// As [`Machine::crash`], somewhere in the middle of what is to come.
    fn power_off_soon(&mut self) -> Result<(), String> {
        self.disk.power_off_after(self.rng.u64(0..6));
        self.sync()
    }

    fn disk_error(&mut self) -> Result<(), String> {
        self.totals.disk_errors += 1;
        let op = [OpKind::Write, OpKind::SyncData][self.rng.usize(0..2)];
        let fault = [Fault::Eio, Fault::Enospc][self.rng.usize(0..2)];
        let rule = FaultRule {
            op,
            name_contains: String::new(),
            after: self.rng.u64(0..3),
            sticky: false,
            fault,
        };
        self.disk.inject(rule);
        let result = self.sync();
        self.disk.heal();
        result
    }

    /// A clean stop and start.
    fn reopen(&mut self) -> Result<(), String> {
        if self.partition.close().is_err() {
            return self.crash();
        }
        self.acknowledge()?;
        match open(&self.disk, &self.clock) {
            Ok(partition) => self.partition = partition,
            // A power loss that was on its way came while opening.
            Err(what) if what.contains("simulated power loss") => return self.crash(),
            Err(what) => return Err(what),
        }
        self.check_digest()
    }

    fn come_back(&mut self) -> Result<(), String> {
        self.partition = open(&self.disk, &self.clock)?;
        self.check_digest()?;
        for sent in std::mem::take(&mut self.unseen) {
            self.totals.retried += 1;
            match self.execute(sent.id, &sent.source, &sent.command)? {
                Executed::Answer(answer) => {
                    self.totals.replayed += u64::from(answer.replayed);
                    if answer.replayed && answer.reply != sent.answer.reply {
                        return Err(format!(
                            "request {:x} got another answer when repeated",
                            sent.id
                        ));
                    }
                    self.unseen.push(Sent { answer, ..sent });
                }
                // Nobody knows yet whether it was done: the client goes on asking.
                Executed::Stopped => self.unseen.push(sent),
                Executed::Mistake => {}
            }
        }
        self.sync()
    }

    /// The newest acknowledged revision is there, with the state that it had.
    fn check_digest(&mut self) -> Result<(), String> {
        let Some((&revision, digest)) = self.digests.last_key_value() else {
            return Ok(());
        };
        let found = self.partition.durable_revision();
        if found < revision {
            return Err(format!(
                "revision {revision} was acknowledged, the journal ends at {found}"
            ));
        }
        if found == revision {
            let now = self
                .partition
                .peek(State::digest)
                .map_err(|error| error.to_string())?;
            if now != *digest {
                return Err(format!(
                    "the state at revision {revision} has another digest after replay"
                ));
            }
        }
        Ok(())
    }

    /// An answer that was acknowledged is given again, word for word.
    fn retry_seen(&mut self) -> Result<(), String> {
        if self.seen.is_empty() {
            return Ok(());
        }
        let n = self.rng.usize(0..self.seen.len());
        let (id, command) = (self.seen[n].id, self.seen[n].command.clone());
        let source = self.seen[n].source.clone();
        let Executed::Answer(answer) = self.execute(id, &source, &command)? else {
            return Ok(());
        };
        let first = &self.seen[n].answer;
        self.totals.retried += 1;
        let refused = matches!(&first.reply, Reply::Hold(hold) if hold.reservation.is_none())
            || matches!(&first.reply, Reply::Step(step) if step.refusal.is_some());
        if refused {
            // A refusal is judged afresh: this is a new request.
            self.seen.swap_remove(n);
            if !answer.replayed {
                self.unseen.push(Sent {
                    id,
                    source,
                    command,
                    answer,
                });
            }
            return Ok(());
        }
        if !answer.replayed || answer.reply != first.reply || answer.revision != first.revision {
            return Err(format!(
                "request {id:x} was acknowledged and got another answer when repeated"
            ));
        }
        self.totals.replayed += 1;
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), String> {
        self.sync()?;
        if self.partition.snapshot().is_ok() {
            self.totals.snapshots += 1;
        }
        Ok(())
    }

    /// Snapshot and tail give the state that the whole journal gives.
    fn compare_with_full_replay(&mut self) -> Result<(), String> {
        self.sync()?;
        let Some(view) = self.partition.journal() else {
            return Err("there is no journal".to_owned());
        };
        if view.oldest_revision() > 1 {
            return Ok(());
        }
        let mut state = State::new(config().settings);
        let mut reader = view.read_from(1).map_err(|error| error.to_string())?;
        while let Some(record) = reader.next().map_err(|error| error.to_string())? {
            let record = bespeak_journal::decode_record(&record)
                .map_err(|error| format!("record does not decode: {error}"))?;
            state.apply(&record).map_err(|error| error.to_string())?;
        }
        let (revision, digest) = self
            .partition
            .peek(|state| (state.revision(), state.digest()))
            .map_err(|error| error.to_string())?;
        if state.revision() != revision || state.digest() != digest {
            return Err(format!(
                "replay from the first record gives another state at revision {revision}"
            ));
        }
        Ok(())
    }
}

/// The oracle's complaint, in the form in which a read may fail.
struct Disagrees(String);

impl From<PartitionError> for Disagrees {
    fn from(error: PartitionError) -> Self {
        match error {
            // A stopped journal answers nothing, which is no wrong answer.
            PartitionError::Stopped { .. } => Self(String::new()),
            other => Self(other.to_string()),
        }
    }
}
