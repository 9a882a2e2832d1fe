//! One step: operations start when the schedule says, workers carry them out, and every one that was due is counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinHandle;

use super::arrivals::{Arrival, Op, Schedule};
use super::client::{Client, Finished, Reserved};
use super::due::Due;
use super::holds::{Finish, Hold, Holds, Units, gone};
use super::spec::{Step, Transport};
use super::tally::{Outcome, Tally};
use crate::grpc::CallError;
use crate::keys::{KeyRing, Walk};
use crate::ledger::Ledger;

/// Orders ask for 1, 2 or 3 units in turn.
const QUANTITY_MAX: u64 = 3;

/// What all workers of a step share.
pub struct Shared {
    pub due: Due,
    pub tally: Mutex<Tally>,
    pub holds: Mutex<Holds>,
    ledger: Ledger,
    transport: Transport,
    lines: usize,
    /// Due and not ended.
    open: AtomicUsize,
    /// A worker saw something that no server may answer.
    wrong: AtomicBool,
    /// A write has no good answer: nobody knows whether it was done.
    pub unsure: AtomicBool,
}

impl Shared {
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no holder of this lock panics")
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().expect("no holder of this lock panics")
    }
}

pub struct Workers {
    pub shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Workers {
    /// Workers that wait for what is due.
    pub fn start(clients: Vec<Client>, step: &Step, keys: &KeyRing, ledger: &Ledger) -> Self {
        let shared = Arc::new(Shared {
            due: Due::default(),
            tally: Mutex::new(Tally::new(step)),
            holds: Mutex::default(),
            ledger: ledger.clone(),
            transport: step.transport,
            lines: step.lines,
            open: AtomicUsize::new(0),
            wrong: AtomicBool::new(false),
            unsure: AtomicBool::new(false),
        });
        let count = clients.len();
        let worker = |(index, client)| {
            let worker = Worker {
                client,
                walk: keys.walk(index, count),
                shared: shared.clone(),
                turn: index as u64,
            };
            tokio::spawn(worker.run())
        };
        let tasks = clients.into_iter().enumerate().map(worker).collect();
        Self { shared, tasks }
    }

    /// Makes operations due at their times, from `begin` on, then waits for their ends.
    pub async fn pace(&self, step: &Step, begin: Instant) {
        for Arrival { at, op } in Schedule::new(step) {
            let intended = begin + at;
            // It spins: a timer's millisecond would be the measurement.
            while Instant::now() < intended {
                tokio::task::yield_now().await;
            }
            self.shared.open.fetch_add(1, Ordering::Relaxed);
            self.shared.due.push(op, intended, Instant::now());
            if self.shared.wrong.load(Ordering::Relaxed) {
                break;
            }
        }
        let deadline = Instant::now() + Duration::from_secs_f64(step.drain_s);
        while self.shared.open.load(Ordering::Relaxed) > 0
            && Instant::now() < deadline
            && !self.tasks.iter().all(JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.shared.due.close();
    }

    /// Ends the workers and counts what they never answered. Gives the holds that are still open.
    ///
    /// # Errors
    /// An answer was wrong.
    pub async fn end(self) -> Result<Vec<Hold>> {
        let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
        for mut task in self.tasks {
            match tokio::time::timeout_at(deadline, &mut task).await {
                Ok(ended) => ended??,
                // It waits for an answer, and would for ever: what it does is in the tally.
                Err(_) => task.abort(),
            }
        }
        let now = Instant::now();
        let mut tally = self.shared.tally();
        for (op, intended) in self.shared.due.rest() {
            tally.ended(op, intended, now, Outcome::Failed("Unanswered"));
        }
        if tally.unanswered(now) {
            self.shared.unsure.store(true, Ordering::Relaxed);
        }
        drop(tally);
        Ok(self.shared.holds().rest())
    }
}

/// Releases what a step left open, so that the account at the end adds up.
///
/// # Errors
/// The server is gone, or answers wrongly.
pub async fn release(rest: Vec<Hold>, client: &mut Client, ledger: &Ledger) -> Result<()> {
    for hold in rest {
        client.release(hold.id).await?;
        gone(&hold.units, ledger);
    }
    Ok(())
}

struct Worker {
    client: Client,
    walk: Walk,
    shared: Arc<Shared>,
    turn: u64,
}

impl Worker {
    async fn run(mut self) -> Result<()> {
        while let Some(due) = self.shared.due.next().await {
            let started = Instant::now();
            // A worker that was waiting starts at once, unless the generator itself is late. One that was busy starts
            // late because of the server: then the generator answers for making it due, and no more.
            let able = if due.waited { started } else { due.pushed };
            let place = self.shared.tally().started(due.op, due.intended, able);
            let result = self.perform(due.op).await;
            let now = Instant::now();
            let outcome = match &result {
                Ok(outcome) => *outcome,
                Err(error) => match error.downcast_ref::<CallError>() {
                    Some(error) => Outcome::Failed(code_name(error.code)),
                    None if lost(error) => Outcome::Failed("ConnectionLost"),
                    None => {
                        self.shared.wrong.store(true, Ordering::Relaxed);
                        return result.map(|_| ());
                    }
                },
            };
            if matches!(outcome, Outcome::Failed(_)) && due.op != Op::Check {
                self.shared.unsure.store(true, Ordering::Relaxed);
            }
            let mut tally = self.shared.tally();
            tally.ended(due.op, due.intended, now, outcome);
            tally.done(place);
            drop(tally);
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            if outcome == Outcome::Failed("ConnectionLost") {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn perform(&mut self, op: Op) -> Result<Outcome> {
        self.turn += 1;
        match op {
            Op::Check => {
                let skus: Vec<u32> = self.units().iter().map(|&(sku, _)| sku).collect();
                self.client.check(&skus).await?;
                Ok(Outcome::Done)
            }
            Op::Reserve if self.shared.transport == Transport::Flight => self.batch().await,
            Op::Reserve => self.reserve().await,
            Op::Supply => {
                let (sku, quantity) = self.units()[0];
                self.client.found(sku, quantity).await?;
                gone(&[(sku, quantity)], &self.shared.ledger);
                Ok(Outcome::Done)
            }
            Op::Finish => {
                let next = self.shared.holds().next();
                match next {
                    Some(next) => self.finish(next).await,
                    // At the beginning nothing is open yet.
                    None => self.reserve().await,
                }
            }
        }
    }

    async fn reserve(&mut self) -> Result<Outcome> {
        let units = self.units();
        match self.client.reserve(&units).await? {
            Reserved::Refused => Ok(Outcome::Refused),
            Reserved::Held(id) => {
                self.shared
                    .holds()
                    .add(Hold { id, units }, &self.shared.ledger);
                Ok(Outcome::Done)
            }
        }
    }

    async fn finish(&mut self, next: Finish) -> Result<Outcome> {
        let (finished, id, units) = match next {
            Finish::Fulfil(id) => {
                self.client.fulfil(id).await?;
                return Ok(Outcome::Done);
            }
            Finish::Release(hold) => {
                self.client.release(hold.id).await?;
                gone(&hold.units, &self.shared.ledger);
                return Ok(Outcome::Done);
            }
            Finish::Confirm(hold) => (self.client.confirm(hold.id).await?, hold.id, hold.units),
        };
        if finished == Finished::Expired {
            gone(&units, &self.shared.ledger);
            return Ok(Outcome::Refused);
        }
        self.shared.holds().confirmed(id);
        Ok(Outcome::Done)
    }

    async fn batch(&mut self) -> Result<Outcome> {
        let units = self.units();
        let held = self.client.batch(&units).await?;
        ensure!(
            held.len() == units.len(),
            "{} of {} lines were answered",
            held.len(),
            units.len()
        );
        for (&(sku, quantity), _) in units.iter().zip(&held).filter(|(_, held)| **held) {
            self.shared.ledger.accepted(sku, quantity);
        }
        let all = held.iter().all(|&held| held);
        Ok(if all { Outcome::Done } else { Outcome::Refused })
    }

    /// Lines of one order. An item is asked for once in an order of few lines.
    fn units(&mut self) -> Units {
        const DISTINCT_MAX: usize = 256;
        let lines = self.shared.lines;
        let mut units: Vec<(u32, u8)> = Vec::with_capacity(lines);
        for line in 0..lines as u64 {
            let mut sku = self.walk.next_sku();
            let mut tries = 0;
            while lines <= DISTINCT_MAX && tries < 16 && units.iter().any(|&(seen, _)| seen == sku)
            {
                sku = self.walk.next_sku();
                tries += 1;
            }
            units.push((sku, ((self.turn + line) % QUANTITY_MAX) as u8 + 1));
        }
        units.into()
    }
}

/// Whether the connection ended, which a server that is killed does to its callers.
fn lost(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<h2::Error>().is_some()
            || cause.downcast_ref::<std::io::Error>().is_some()
    }) || error.to_string() == crate::grpc::STREAM_ENDED
}

/// gRPC codes as the server's metrics name them.
fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
