//! Positions at which time alone will make more available: a receipt that comes due is no event.

use std::collections::BTreeSet;

use bespeak_engine::{PositionId, UtcMillis};

use crate::store::Store;

/// How far ahead receipts are looked for.
const WINDOW_MS: i64 = 60 * 60 * 1_000;
/// Rises that are remembered; beyond it the window is shorter.
const RISES_MAX: usize = 1_000_000;
/// Receipts looked at under one lock.
const SLICE: usize = 4_096;

/// What is known of the next rises.
#[derive(Debug)]
pub(super) struct Rises {
    by_time: BTreeSet<(UtcMillis, PositionId)>,
    /// All that was planned up to here has been found.
    known_until: UtcMillis,
    /// When to look further ahead.
    look_at: UtcMillis,
    /// The instant at which more rise than are remembered.
    lost_at: Option<UtcMillis>,
}

impl Rises {
    /// Nothing is known of what comes after `now`.
    pub fn from(now: UtcMillis) -> Self {
        Self {
            by_time: BTreeSet::new(),
            known_until: now,
            look_at: now,
            lost_at: None,
        }
    }

    /// A position will rise at `at`.
    pub fn add(&mut self, at: UtcMillis, position: PositionId) {
        if at > self.known_until {
            return;
        }
        self.by_time.insert((at, position));
        if self.by_time.len() > RISES_MAX
            && let Some((last, _)) = self.by_time.pop_last()
        {
            // Of what comes at the same instant some are lost: everybody will be told to look. What comes later will be
            // looked for again.
            self.lost_at = Some(self.lost_at.map_or(last, |at| at.min(last)));
            self.known_until = last;
            self.by_time.split_off(&(last, PositionId(0)));
        }
    }

    /// Whether more have risen by `now` than could be remembered; told once.
    pub fn lost(&mut self, now: UtcMillis) -> bool {
        self.lost_at.take_if(|at| *at <= now).is_some()
    }

    /// Positions that have risen by `now`.
    pub fn due(&mut self, now: UtcMillis) -> Vec<PositionId> {
        let later = self.by_time.split_off(&(now.plus(1), PositionId(0)));
        let due = std::mem::replace(&mut self.by_time, later);
        due.into_iter().map(|(_, position)| position).collect()
    }

    /// Looks through the receipts when what is known does not reach far enough.
    pub async fn look_ahead(&mut self, store: &Store, now: UtcMillis) {
        if now < self.look_at {
            return;
        }
        let since = self.known_until;
        self.known_until = now.plus(WINDOW_MS);
        let mut next = 0;
        loop {
            let until = self.known_until;
            let slice = store.partition().peek(|state| {
                let mut last = None;
                let mut found = Vec::new();
                for (no, receipt) in state.receipts_from(next).take(SLICE) {
                    last = Some(no);
                    let at = receipt.counts_from();
                    if since < at && at <= until {
                        found.push((at, receipt.position()));
                    }
                }
                (last, found)
            });
            let Ok((Some(last), found)) = slice else {
                break;
            };
            for (at, position) in found {
                self.add(at, position);
            }
            next = last + 1;
            tokio::task::yield_now().await;
        }
        let reach = self.known_until.get() - now.get();
        self.look_at = now.plus((reach / 2).max(1));
    }
}
