//! One round: so many clients drive one system with one job for some seconds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;

use crate::connection::{Connection, Settle};
use crate::keys::{KeyRing, Walk};
use crate::latency::{self, histogram};
use crate::ledger::Ledger;
use crate::machine;
use crate::schedule::{Due, Schedule};

/// Holds that a client keeps open before it settles the oldest: "later" confirm or cancel.
const OPEN_HOLDS: usize = 4;
/// Of this many settled holds one is cancelled, the others are confirmed.
const CANCEL_ONE_IN: u64 = 4;
/// Orders ask for 1, 2 or 3 units in turn.
const QUANTITY_MAX: u64 = 3;
/// Lines of one batch.
const BATCH_LINES: usize = 8_192;
/// A round whose clients do not come back this long after its end has failed.
const DRAIN_MAX: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Reserve, and settle each hold a few operations later: as many settlements as reserves.
    ReserveSettle,
    /// Availability of one SKU, nothing written.
    Check,
    /// Reserve many lines in one trip, each by itself; the holds are left to expire.
    Batch,
}

impl Job {
    /// Lines of one operation.
    pub fn lines(self) -> usize {
        if self == Self::Batch { BATCH_LINES } else { 1 }
    }
}

#[derive(Clone)]
pub struct Spec {
    pub job: Job,
    pub keys: KeyRing,
    pub warmup: Duration,
    pub measure: Duration,
    /// Operations a second over all clients; closed loop when there is none.
    pub rate: Option<f64>,
    pub seed: u64,
}

/// What a round measured. Counts and histograms hold what ended inside the measured time; in open loop what was due in it,
/// whenever it ended.
pub struct Measured {
    /// Reserves, or checks.
    pub first: Histogram<u32>,
    /// Confirms and cancels.
    pub settle: Histogram<u32>,
    /// How late operations started, open loop only.
    pub lag: Histogram<u32>,
    pub refused: u64,
    pub wall: Duration,
    pub server_cpu: Duration,
    pub client_cpu: Duration,
    /// CPU time that went to neither: the kernel's own threads, and neighbours.
    pub foreign_cpu: Duration,
    /// Operations that were due but not started at the end, open loop only.
    pub backlog: usize,
}

impl Measured {
    pub fn operations(&self) -> u64 {
        self.first.len() + self.settle.len()
    }
}

struct Shared {
    phase: AtomicU8,
    job: Job,
    ledger: Ledger,
    due: Option<Due>,
    /// When the measured time began.
    begin: OnceLock<Instant>,
    measure: Duration,
    /// Operations that count.
    ended: AtomicU64,
}

impl Shared {
    /// Whether an operation counts that was begun, or in open loop due, then, and has just ended.
    fn counts(&self, start: Instant) -> bool {
        if self.due.is_none() {
            return self.phase.load(Ordering::Relaxed) == MEASURE;
        }
        let begun = |&begin: &Instant| start >= begin;
        self.begin.get().is_some_and(begun) && !self.is_over(start)
    }

    /// Whether something that is due then is due after the measured time.
    fn is_over(&self, intended: Instant) -> bool {
        let over = |&begin: &Instant| intended >= begin + self.measure;
        self.begin.get().is_some_and(over)
    }
}

const WARMUP: u8 = 0;
const MEASURE: u8 = 1;
const DRAIN: u8 = 2;

struct ClientResult {
    first: Histogram<u32>,
    settle: Histogram<u32>,
    refused: u64,
}

/// Runs one round. `server_pids` are the processes whose CPU time is the server's.
///
/// # Errors
/// Any client's operation failed, or one hangs at the end of the round.
pub async fn run<C: Connection>(
    connections: Vec<C>,
    spec: &Spec,
    ledger: &Ledger,
    server_pids: &[u32],
) -> Result<Measured> {
    let shared = Arc::new(Shared {
        phase: AtomicU8::new(WARMUP),
        job: spec.job,
        ledger: ledger.clone(),
        due: spec.rate.map(|_| Due::new()),
        begin: OnceLock::new(),
        measure: spec.measure,
        ended: AtomicU64::new(0),
    });
    let clients = connections.len();
    let tasks: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(index, connection)| {
            let walk = spec.keys.walk(index, clients);
            let client = Client {
                connection,
                walk,
                holds: VecDeque::new(),
                turn: index as u64,
            };
            tokio::spawn(client.run(shared.clone()))
        })
        .collect();
    let pacer = spec
        .rate
        .map(|rate| tokio::spawn(pace(rate, spec.seed, shared.clone())));

    let server_cpu = || {
        server_pids
            .iter()
            .map(|&pid| machine::tree_cpu_ns(pid))
            .sum::<Result<u64>>()
    };
    let client_cpu = || machine::cpu_ns(std::process::id());
    tokio::time::sleep(spec.warmup).await;
    let (server_before, client_before, begin) = (server_cpu()?, client_cpu()?, Instant::now());
    let busy_before = machine::busy_ns()?;
    shared.begin.get_or_init(|| begin);
    shared.phase.store(MEASURE, Ordering::Relaxed);
    tokio::time::sleep(spec.measure).await;
    // A batch on a busy machine may outlast a short round: the time is measured, so wait for it.
    while shared.ended.load(Ordering::Relaxed) == 0 && begin.elapsed() < DRAIN_MAX {
        tokio::time::sleep(spec.measure).await;
    }
    shared.phase.store(DRAIN, Ordering::Relaxed);
    let (server_after, client_after, wall) = (server_cpu()?, client_cpu()?, begin.elapsed());
    let busy = Duration::from_nanos(machine::busy_ns()?.saturating_sub(busy_before));
    let backlog = shared.due.as_ref().map_or(0, Due::waiting);

    let server_cpu = Duration::from_nanos(server_after.saturating_sub(server_before));
    let client_cpu = Duration::from_nanos(client_after.saturating_sub(client_before));
    let mut measured = Measured {
        first: histogram(),
        settle: histogram(),
        lag: histogram(),
        refused: 0,
        wall,
        server_cpu,
        client_cpu,
        foreign_cpu: busy.saturating_sub(server_cpu + client_cpu),
        backlog,
    };
    if let Some(pacer) = pacer {
        measured.lag = pacer.await?;
    }
    for (index, task) in tasks.into_iter().enumerate() {
        let result = tokio::time::timeout(DRAIN_MAX, task)
            .await
            .with_context(|| format!("client {index} has had no answer for {DRAIN_MAX:?}"))??
            .with_context(|| format!("client {index} of {clients}"))?;
        measured.first.add(&result.first)?;
        measured.settle.add(&result.settle)?;
        measured.refused += result.refused;
    }
    if measured.operations() == 0 {
        bail!("no operation of {clients} clients ended within {wall:?}");
    }
    Ok(measured)
}

struct Client<C: Connection> {
    connection: C,
    walk: Walk,
    holds: VecDeque<(C::Hold, u32, u8)>,
    turn: u64,
}

impl<C: Connection> Client<C> {
    async fn run(mut self, shared: Arc<Shared>) -> Result<ClientResult> {
        let mut result = ClientResult {
            first: histogram(),
            settle: histogram(),
            refused: 0,
        };
        loop {
            let start = match &shared.due {
                None if shared.phase.load(Ordering::Relaxed) == DRAIN => break,
                None => Instant::now(),
                // What was due is carried out, whatever the time: a stall at the end is seen by all who met it.
                Some(due) => match due.next().await {
                    Some(intended) => intended,
                    None => break,
                },
            };
            let settles = self.holds.len() >= OPEN_HOLDS;
            let refused = self.one(&shared, settles).await?;
            if shared.counts(start) {
                let histogram = if settles {
                    &mut result.settle
                } else {
                    &mut result.first
                };
                latency::record(histogram, start.elapsed());
                result.refused += u64::from(refused);
                shared.ended.fetch_add(1, Ordering::Relaxed);
            }
        }
        // What is still held would be there in the next round's verification.
        while !self.holds.is_empty() {
            self.one(&shared, true).await?;
        }
        Ok(result)
    }

    /// One operation; tells whether the server refused it for want of stock.
    async fn one(&mut self, shared: &Shared, settles: bool) -> Result<bool> {
        self.turn += 1;
        if settles && let Some((hold, sku, quantity)) = self.holds.pop_front() {
            let how = if (self.turn / 2).is_multiple_of(CANCEL_ONE_IN) {
                Settle::Cancel
            } else {
                Settle::Confirm
            };
            self.connection.settle(hold, how).await?;
            if how == Settle::Cancel {
                shared.ledger.cancelled(sku, quantity);
            }
            return Ok(false);
        }
        let sku = self.walk.next_sku();
        if shared.job == Job::Check {
            self.connection.check(sku).await?;
            return Ok(false);
        }
        let quantity = (self.turn % QUANTITY_MAX) as u8 + 1;
        if shared.job == Job::Batch {
            return self.batch(shared, (sku, quantity)).await;
        }
        match self.connection.reserve(sku, quantity).await? {
            Some(hold) => {
                shared.ledger.accepted(sku, quantity);
                self.holds.push_back((hold, sku, quantity));
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

impl<C: Connection> Client<C> {
    /// One batch; tells whether any line was refused for want of stock.
    async fn batch(&mut self, shared: &Shared, first: (u32, u8)) -> Result<bool> {
        let mut lines = vec![first];
        lines.extend(
            (1..BATCH_LINES)
                .map(|line| (self.walk.next_sku(), (line as u64 % QUANTITY_MAX) as u8 + 1)),
        );
        let held = self.connection.reserve_batch(&lines).await?;
        ensure!(
            held.len() == lines.len(),
            "{} of {} lines were answered",
            held.len(),
            lines.len()
        );
        for (&(sku, quantity), &held) in lines.iter().zip(&held) {
            if held {
                shared.ledger.accepted(sku, quantity);
            }
        }
        Ok(held.contains(&false))
    }
}

/// Makes operations due at their time until the measured time is over. It spins: a timer's millisecond would be the
/// measurement.
async fn pace(rate: f64, seed: u64, shared: Arc<Shared>) -> Histogram<u32> {
    let mut lag = histogram();
    let due = shared.due.as_ref().expect("an open-loop round has a queue");
    let begin = Instant::now();
    for offset in Schedule::new(rate, seed) {
        let intended = begin + offset;
        while Instant::now() < intended && !shared.is_over(intended) {
            tokio::task::yield_now().await;
        }
        if shared.is_over(intended) {
            break;
        }
        due.push(intended);
        if shared.counts(intended) {
            latency::record(&mut lag, intended.elapsed());
        }
    }
    due.close();
    lag
}
