//! Tells watchers what can be promised, whenever a durable record changed it.
//!
//! The promise path only notes which positions changed, and only while somebody watches. One task looks the
//! positions up, waits until what it saw is durable, and hands the news to every watcher's own bounded queue.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bespeak_engine::{ItemId, LocationId, PositionId, State};
use bespeak_proto::v1 as pb;
use tokio::sync::{Notify, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::shared::Drained;
use crate::store::Store;

/// Changed positions that are remembered; beyond it all watchers are told to check again.
const CHANGES_MAX: usize = 100_000;
/// Positions looked up under one lock.
const SLICE: usize = 256;

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
        loop {
            self.news.notified().await;
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
                self.hand_out(&seen.result.unwrap_or_default(), metrics);
                tokio::task::yield_now().await;
            }
        }
    }

    fn hand_out(
        &self,
        news: &[(ItemId, LocationId, pb::WatchAvailabilityResponse)],
        metrics: &Metrics,
    ) {
        let list = lock(&self.list);
        for watcher in list.iter() {
            for (item, location, message) in news {
                if !watcher.wants(*item, *location) {
                    continue;
                }
                if watcher.queue.try_send(message.clone()).is_err()
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

fn look_up(state: &State, id: PositionId) -> (ItemId, LocationId, pb::WatchAvailabilityResponse) {
    let position = state.position(id);
    let (item, location) = (position.item(), position.location());
    let message = pb::WatchAvailabilityResponse {
        item: state.catalog().item(item).name.to_string(),
        location: state.catalog().location(location).name.to_string(),
        available: state.available(item, location, state.now()).get(),
        revision: state.revision(),
        resync: false,
    };
    (item, location, message)
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
