//! One step: operations start when the schedule says, workers carry them out, and every one that was due is counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinHandle;

use super::again::{Acknowledged, Known, Then, Unsure};
use super::alarm::Alarm;
use super::arrivals::{Arrival, Op, Schedule};
use super::client::{Client, Finished, Reserved};
use super::due::Due;
use super::forecasts::Forecasts;
use super::holds::{Finish, Hold, Holds, Units, gone};
use super::plans::Plans;
use super::slot::Slot;
use super::spec::{Step, Transport};
use super::tally::{Begun, Outcome, Tally};
use crate::grpc::CallError;
use crate::keys::{KeyRing, Walk};
use crate::ledger::Ledger;

/// So many calls may wait before it is looked at whether anybody is left to take them up.
const LOOK_EVERY: usize = 1_024;
const LOST: Outcome = Outcome::Failed("ConnectionLost");
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
    asked: Asked,
    reconnect: bool,
    /// Writes without a good answer, and what was acknowledged, where both are looked after.
    again: Mutex<Vec<Unsure>>,
    acknowledged: Mutex<Acknowledged>,
}

/// What was made ready for batches and forecasts, where a step has them.
#[derive(Clone, Default)]
pub struct Asked {
    pub plans: Option<Arc<Plans>>,
    pub forecasts: Option<Arc<Forecasts>>,
}

/// A worker's client and the connection that it shares.
pub struct Line {
    pub client: Client,
    pub slot: Arc<Slot>,
}

impl Shared {
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no holder of this lock panics")
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().expect("no holder of this lock panics")
    }

    fn acknowledge(&self, id: u64, known: Known) {
        if self.reconnect {
            let mut all = self.acknowledged.lock();
            all.as_mut()
                .expect("no holder of this lock panics")
                .insert(id, known);
        }
    }

    pub fn plans(&self) -> Option<&Plans> {
        self.asked.plans.as_deref()
    }

    /// Takes what was written without a good answer, and all that was acknowledged.
    pub fn looked_after(&self) -> (Vec<Unsure>, Acknowledged) {
        let again = self.again.lock().map(|mut all| std::mem::take(&mut *all));
        let known = self.acknowledged.lock();
        (
            again.unwrap_or_default(),
            known
                .map(|mut all| std::mem::take(&mut *all))
                .unwrap_or_default(),
        )
    }
}

pub struct Workers {
    pub shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Workers {
    /// Workers that wait for what is due.
    pub fn start(
        clients: Vec<Line>,
        step: &Step,
        keys: &KeyRing,
        ledger: &Ledger,
        asked: Asked,
    ) -> Self {
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
            asked,
            reconnect: step.reconnect,
            again: Mutex::default(),
            acknowledged: Mutex::default(),
        });
        let count = clients.len();
        let worker = |(index, line): (usize, Line)| {
            let worker = Worker {
                client: line.client,
                slot: line.slot,
                made: 0,
                lost: false,
                then: None,
                walk: keys.walk(index, count),
                shared: shared.clone(),
                turn: index as u64,
            };
            tokio::spawn(worker.run())
        };
        let tasks = clients.into_iter().enumerate().map(worker).collect();
        Self { shared, tasks }
    }

    /// Makes operations due at their times, from `begin` on, until it is stopped or the measured time is over, then waits
    /// for their ends.
    pub async fn pace(
        &self,
        step: &Step,
        begin: Instant,
        stopped: &Cell<Option<Instant>>,
    ) -> Result<()> {
        let alarm = step.rest.then(Alarm::new).transpose()?;
        'due: for Arrival { at, op } in Schedule::new(step) {
            let intended = begin + at;
            if stopped.get().is_some() {
                break;
            }
            if let Some(alarm) = &alarm
                && let Some(left) = intended.checked_duration_since(Instant::now())
            {
                alarm.sleep(left).await?;
            }
            // It spins: what a timer is late by would be the measurement.
            while Instant::now() < intended {
                tokio::task::yield_now().await;
                if stopped.get().is_some() {
                    break 'due;
                }
            }
            let open = self.shared.open.fetch_add(1, Ordering::Relaxed);
            self.shared.due.push(op, intended, Instant::now());
            if open > 0 && open.is_multiple_of(LOOK_EVERY) {
                ensure!(
                    !self.tasks.iter().all(JoinHandle::is_finished),
                    "step {}: every connection was lost",
                    step.name
                );
            }
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
        Ok(())
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
            // No worker took it up.
            let never = Begun::on_time(op, intended);
            tally.ended(never, now, Outcome::Failed("Unanswered"), None);
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
    slot: Arc<Slot>,
    /// Which connection of the slot is used, and whether it is lost.
    made: u64,
    lost: bool,
    /// What the call under way would bring.
    then: Option<Then>,
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
            let begun = Begun {
                op: due.op,
                intended: due.intended,
                able,
            };
            let place = self.shared.tally().started(begun);
            let (outcome, by) = if self.connected().await {
                self.then = None;
                match self.perform(due.op).await {
                    Ok((outcome, by)) => (outcome, by),
                    Err(error) => match error.downcast_ref::<CallError>() {
                        Some(error) => (Outcome::Failed(code_name(error.code)), None),
                        None if lost(&error) => (LOST, None),
                        None => {
                            self.shared.wrong.store(true, Ordering::Relaxed);
                            return Err(error);
                        }
                    },
                }
            } else {
                // Nothing was sent.
                (Outcome::Failed("NoConnection"), None)
            };
            let now = Instant::now();
            if outcome != Outcome::Failed("NoConnection") {
                self.look_after(due.op, outcome);
            }
            let mut tally = self.shared.tally();
            tally.ended(begun, now, outcome, by.as_deref());
            tally.done(place);
            drop(tally);
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            self.lost |= outcome == LOST;
            if self.lost && !self.shared.reconnect {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes a connection again that is lost, if somebody listens, or that the server ends, as it does with old ones:
    /// what is under way there is still answered, so nothing is lost by it.
    async fn connected(&mut self) -> bool {
        if self.lost || self.client.ends() {
            self.lost = true;
            if let Ok((made, channel)) = self.slot.again(self.made).await
                && self.client.over(channel).await.is_ok()
            {
                (self.made, self.lost) = (made, false);
            }
        }
        !self.lost
    }

    /// Keeps a write without a good answer, or notes that there was one.
    fn look_after(&mut self, op: Op, outcome: Outcome) {
        if !matches!(outcome, Outcome::Failed(_)) || !op.writes() {
            return;
        }
        match (self.then.take(), self.client.sent()) {
            (Some(then), Some(sent)) if self.shared.reconnect => {
                let mut again = self.shared.again.lock();
                again
                    .as_mut()
                    .expect("no holder of this lock panics")
                    .push(Unsure { sent, then });
            }
            _ => self.shared.unsure.store(true, Ordering::Relaxed),
        }
    }

    async fn perform(&mut self, op: Op) -> Result<(Outcome, Option<String>)> {
        self.turn += 1;
        let outcome = match op {
            Op::Allocate => return self.allocate().await,
            Op::Forecast => return self.forecast().await,
            Op::Check => {
                let skus: Vec<u32> = self.units().iter().map(|&(sku, _)| sku).collect();
                self.client.check(&skus).await?;
                Outcome::Done
            }
            Op::Reserve if self.shared.transport == Transport::Flight => self.batch().await?,
            Op::Reserve => self.reserve().await?,
            Op::Supply => {
                let (sku, quantity) = self.units()[0];
                self.then = Some(Then::Found(sku, quantity));
                self.client.found(sku, quantity).await?;
                gone(&[(sku, quantity)], &self.shared.ledger);
                Outcome::Done
            }
            Op::Finish => {
                let next = self.shared.holds().next();
                match next {
                    Some(next) => self.finish(next).await?,
                    // At the beginning nothing is open yet.
                    None => self.reserve().await?,
                }
            }
        };
        Ok((outcome, None))
    }

    async fn allocate(&mut self) -> Result<(Outcome, Option<String>)> {
        let shared = self.shared.clone();
        let plans = shared.asked.plans.as_ref().context("no plans are ready")?;
        let batch = plans.at(self.turn);
        self.then = Some(Then::Planned(batch));
        let answer = self.client.allocate(|id| plans.request(batch, id)).await?;
        let planned = plans.held(batch, &answer)?;
        let mut holds = shared.holds();
        for hold in planned.holds {
            shared.acknowledge(hold.id, Known::Held);
            holds.add(hold, &shared.ledger);
        }
        let outcome = if planned.whole {
            Outcome::Done
        } else {
            Outcome::Refused
        };
        Ok((outcome, Some(planned.by)))
    }

    async fn forecast(&mut self) -> Result<(Outcome, Option<String>)> {
        let shared = self.shared.clone();
        let forecasts = shared.asked.forecasts.as_ref();
        let forecasts = forecasts.context("no forecasts are ready")?;
        let answer = self.client.forecast(forecasts.request(self.turn)).await?;
        Ok((Outcome::Done, Some(forecasts.made_by(&answer)?)))
    }

    async fn reserve(&mut self) -> Result<Outcome> {
        let units = self.units();
        self.then = Some(Then::Reserved(units.clone()));
        match self.client.reserve(&units).await? {
            Reserved::Refused => Ok(Outcome::Refused),
            Reserved::Held(id) => {
                self.shared.acknowledge(id, Known::Held);
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
                self.then = Some(Then::Fulfilled(id));
                self.client.fulfil(id).await?;
                self.shared.acknowledge(id, Known::Ended);
                return Ok(Outcome::Done);
            }
            Finish::Release(hold) => {
                self.then = Some(Then::Released(hold.clone()));
                self.client.release(hold.id).await?;
                self.shared.acknowledge(hold.id, Known::Ended);
                gone(&hold.units, &self.shared.ledger);
                return Ok(Outcome::Done);
            }
            Finish::Confirm(hold) => {
                self.then = Some(Then::Confirmed(hold.clone()));
                (self.client.confirm(hold.id).await?, hold.id, hold.units)
            }
        };
        if finished == Finished::Expired {
            self.shared.acknowledge(id, Known::Ended);
            gone(&units, &self.shared.ledger);
            return Ok(Outcome::Refused);
        }
        self.shared.acknowledge(id, Known::Confirmed);
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
