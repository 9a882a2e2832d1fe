//! Tells watchers what can be promised, whenever a durable record changed it.
//!
//! The promise path only notes which positions changed, and only while somebody watches. One task looks the
//! positions up, waits until what it saw is durable, and hands the news to every watcher's own bounded queue.

mod rises;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bespeak_engine::{ItemId, LocationId, PositionId, State, UtcMillis};
use bespeak_proto::v1 as pb;
use tokio::sync::{Notify, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::shared::Drained;
use crate::store::Store;

use self::rises::Rises;

/// Changed positions that are remembered; beyond it all watchers are told to check again.
const CHANGES_MAX: usize = 100_000;
/// Positions looked up under one lock.
const SLICE: usize = 256;
/// How often it is asked what time has brought.
const LOOK: Duration = Duration::from_millis(250);

/// Who watches, and what has changed.
#[derive(Debug, Default)]
pub struct Watchers {
    count: AtomicUsize,
    list: Mutex<Vec<Watcher>>,
    changed: Mutex<Changed>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Changed {
    positions: Vec<PositionId>,
    known: HashSet<PositionId>,
    lost: bool,
}

#[derive(Debug)]
struct Watcher {
    items: HashSet<ItemId>,
    locations: HashSet<LocationId>,
    queue: mpsc::Sender<pb::WatchAvailabilityResponse>,
    behind: Arc<AtomicBool>,
}

impl Watcher {
    fn wants(&self, item: ItemId, location: LocationId) -> bool {
        (self.items.is_empty() || self.items.contains(&item))
            && (self.locations.is_empty() || self.locations.contains(&location))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchers {
    /// Notes what a step changed. Called under the partition's lock.
    #[inline]
    pub fn note(&self, touched: &[PositionId]) {
        if !touched.is_empty() && self.count.load(Ordering::Relaxed) > 0 {
            self.note_watched(touched);
        }
    }

    #[cold]
    fn note_watched(&self, touched: &[PositionId]) {
        let mut changed = lock(&self.changed);
        for position in touched {
            if changed.positions.len() >= CHANGES_MAX {
                changed.lost = true;
            } else if changed.known.insert(*position) {
                changed.positions.push(*position);
            }
        }
        drop(changed);
        self.news.notify_one();
    }

    /// Begins to watch these items (all, when empty) at these locations (all, when empty).
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        items: HashSet<ItemId>,
        locations: HashSet<LocationId>,
        queue: usize,
        drained: Drained,
    ) -> Watch {
        let (sender, receiver) = mpsc::channel(queue);
        let behind = Arc::new(AtomicBool::new(false));
        let watcher = Watcher {
            items,
            locations,
            queue: sender,
            behind: Arc::clone(&behind),
        };
        lock(&self.list).push(watcher);
        self.count.fetch_add(1, Ordering::Relaxed);
        Watch {
            watchers: Arc::clone(self),
            receiver,
            behind,
            drained,
            ended: false,
        }
    }

    /// The task that looks up and hands out. Ends when nothing more becomes durable.
    pub async fn run(&self, store: &Store, metrics: &Metrics) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rises = Rises::from(UtcMillis::ZERO);
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                _ = look.tick() => {}
            }
            let Ok(now) = store.partition().peek(State::now) else {
                return;
            };
            if self.count.load(Ordering::Relaxed) == 0 {
                rises = Rises::from(now);
            } else {
                rises.look_ahead(store, now).await;
                if rises.lost(now) {
                    self.resync_all();
                }
                self.note(&rises.due(now));
            }
            let Changed {
                positions, lost, ..
            } = std::mem::take(&mut *lock(&self.changed));
            if lost {
                self.resync_all();
            }
            for slice in positions.chunks(SLICE) {
                let seen = store.read(|state| {
                    Ok(slice
                        .iter()
                        .map(|id| look_up(state, *id))
                        .collect::<Vec<_>>())
                });
                if store.gate().wait(seen.revision).await.is_err() {
                    return;
                }
                let news = seen.result.unwrap_or_default();
                for (id, one) in slice.iter().zip(&news) {
                    if let Some(at) = one.rises_at {
                        rises.add(at, *id);
                    }
                }
                self.hand_out(&news, metrics);
                tokio::task::yield_now().await;
            }
        }
    }

    fn hand_out(&self, news: &[News], metrics: &Metrics) {
        let list = lock(&self.list);
        for watcher in list.iter() {
            for one in news {
                if !watcher.wants(one.item, one.location) {
                    continue;
                }
                if watcher.queue.try_send(one.message.clone()).is_err()
                    && !watcher.behind.swap(true, Ordering::AcqRel)
                {
                    metrics.resyncs.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn resync_all(&self) {
        for watcher in lock(&self.list).iter() {
            let resync = pb::WatchAvailabilityResponse {
                resync: true,
                ..Default::default()
            };
            if watcher.queue.try_send(resync).is_err() {
                watcher.behind.store(true, Ordering::Release);
            }
        }
    }

    fn leave(&self, behind: &Arc<AtomicBool>) {
        lock(&self.list).retain(|watcher| !Arc::ptr_eq(&watcher.behind, behind));
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is told of one position.
struct News {
    item: ItemId,
    location: LocationId,
    message: pb::WatchAvailabilityResponse,
    /// When time alone will make more available.
    rises_at: Option<UtcMillis>,
}

fn look_up(state: &State, id: PositionId) -> News {
    let position = state.position(id);
    let (item, location) = (position.item(), position.location());
    let message = pb::WatchAvailabilityResponse {
        item: state.catalog().item(item).name.to_string(),
        location: state.catalog().location(location).name.to_string(),
        available: state.available(item, location, state.now()).get(),
        revision: state.revision(),
        resync: false,
    };
    News {
        item,
        location,
        message,
        rises_at: state.next_rise(id),
    }
}

/// One watcher's news.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    receiver: mpsc::Receiver<pb::WatchAvailabilityResponse>,
    behind: Arc<AtomicBool>,
    drained: Drained,
    ended: bool,
}

impl Stream for Watch {
    type Item = Result<pb::WatchAvailabilityResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Some(message)) = self.receiver.poll_recv(cx) {
            return Poll::Ready(Some(Ok(message)));
        }
        // The queue is empty: what was lost lies behind everything that was said.
        if self.behind.swap(false, Ordering::AcqRel) {
            let resync = pb::WatchAvailabilityResponse {
                resync: true,
                ..Default::default()
            };
            return Poll::Ready(Some(Ok(resync)));
        }
        if self.drained.as_mut().poll(cx).is_ready() {
            self.ended = true;
            return Poll::Ready(Some(Err(ApiError::Draining.into())));
        }
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.leave(&self.behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bespeak_engine::{
        Command, Due, HoldTerms, Item, Location, LocationKind, Meta, ReceiptKind, Reserve,
        ReserveLine, ScheduleReceipt, SetOnHand, StockStatus, Units,
    };
    use bespeak_journal::ManualClock;
    use tokio_stream::StreamExt;

    use crate::config::{EngineSettings, JournalSettings};
    use crate::store::Surroundings;

    const HOUR_MS: i64 = 3_600_000;

    fn units(value: u64) -> Units {
        Units::new(value).expect("a small quantity")
    }

    fn say(store: &Store, command: Command) -> Result<(), ApiError> {
        store
            .write(Ok(Meta::default()), |_| Ok(command), |_, _| Ok(()))
            .result
    }

    /// A store without a server: nothing sweeps it.
    fn store(clock: &Arc<ManualClock>) -> Arc<Store> {
        let around = Surroundings {
            clock: Arc::clone(clock) as _,
            ..Surroundings::default()
        };
        let store = Store::open(
            &JournalSettings::default(),
            &EngineSettings::default(),
            around,
            &Arc::default(),
        )
        .expect("opens");
        let setup = [
            Command::PutItem(Item {
                name: "tea".into(),
                base_unit: "each".into(),
                units: Vec::new(),
            }),
            Command::PutLocation(Location {
                name: "ams1".into(),
                time_zone: "".into(),
                day_offsets: Vec::new(),
                kind: LocationKind::Store,
            }),
            Command::SetOnHand(SetOnHand {
                item: ItemId(0),
                location: LocationId(0),
                status: StockStatus::Unrestricted,
                quantity: units(5),
                counted_at: None,
                expected_on_hand: None,
                expected_version: None,
            }),
        ];
        for command in setup {
            say(&store, command).expect("makes sense");
        }
        Arc::new(store)
    }

    fn watch(store: &Arc<Store>) -> Watch {
        let watch = store.watchers().subscribe(
            HashSet::new(),
            HashSet::new(),
            100,
            Box::pin(std::future::pending()),
        );
        let store = Arc::clone(store);
        tokio::spawn(async move { store.watchers().run(&store, &Metrics::default()).await });
        watch
    }

    async fn told(watch: &mut Watch) -> u64 {
        watch
            .next()
            .await
            .expect("goes on")
            .expect("news")
            .available
    }

    fn receipt(name: &str, now: i64, hours: i64) -> Command {
        Command::ScheduleReceipt(ScheduleReceipt {
            receipt: name.into(),
            item: ItemId(0),
            location: LocationId(0),
            quantity: units(10),
            due: Due::At(UtcMillis::new(now + hours * HOUR_MS)),
            kind: ReceiptKind::PurchaseOrder,
            spread: None,
        })
    }

    #[tokio::test]
    async fn what_ran_out_before_a_mistake_is_told() {
        let clock = Arc::new(ManualClock::new(1_790_000_000_000));
        let store = store(&clock);
        let mut watch = watch(&store);
        let line = ReserveLine {
            item: ItemId(0),
            location: LocationId(0),
            quantity: units(2),
            ship_time: None,
            latest: None,
        };
        let hold = Reserve {
            lines: [line].into_iter().collect(),
            terms: HoldTerms {
                expires_in_ms: Some(1_000),
                ..HoldTerms::default()
            },
        };
        say(&store, Command::Reserve(hold)).expect("is held");
        assert_eq!(told(&mut watch).await, 3);
        clock.pass(2_000);
        // The first to find that the hold has run out is a request that makes no sense.
        let unknown = Command::Confirm(bespeak_engine::ReservationId(77));
        say(&store, unknown).expect_err("nobody has it");
        assert_eq!(told(&mut watch).await, 5);
    }

    #[tokio::test]
    async fn what_comes_due_is_told() {
        let now = 1_790_000_000_000;
        let clock = Arc::new(ManualClock::new(now));
        let store = store(&clock);
        say(&store, receipt("before", now, 1)).expect("is planned");
        say(&store, receipt("tomorrow", now, 20)).expect("is planned");
        let mut watch = watch(&store);
        say(&store, receipt("meanwhile", now, 2)).expect("is planned");
        assert_eq!(told(&mut watch).await, 5);
        // The last comes when the others are overdue and no longer count.
        for (hours, available) in [(1, 15), (1, 25), (18, 15)] {
            clock.pass(hours * HOUR_MS);
            store.sweep();
            assert_eq!(told(&mut watch).await, available);
        }
    }
}
