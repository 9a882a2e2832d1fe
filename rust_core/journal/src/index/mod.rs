//! From request id to revision: a list in memory for the active segment, a sorted file beside each
//! finished one, with a bloom filter and one key a page in memory.

mod batches;
mod bloom;
mod ids;
mod rebuild;
mod sidecar;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::JournalError;

pub(crate) use ids::{Ids, NewIds};
pub(crate) use rebuild::{forget_old, load_indexes, rebuild, requests_of};
pub(crate) use sidecar::{Sidecar, SidecarSource, sidecar_name, sidecar_revision};

/// First revision and offset of each batch of one segment, ascending.
pub(crate) type FrameList = Vec<(u64, u64)>;

/// Finds the revision of a request id.
#[derive(Debug, Default)]
pub(crate) struct IdIndex {
    active: Mutex<NewIds>,
    /// Finished segments, oldest first.
    sealed: RwLock<Vec<(u64, Sealed)>>,
}

#[derive(Debug, Clone)]
enum Sealed {
    /// The file is not written yet.
    InMemory(Arc<Ids>),
    OnDisk(Arc<Sidecar>),
}

impl IdIndex {
    /// Adds durable records of the active segment, in order.
    pub(crate) fn insert(&self, requests: impl Iterator<Item = ([u8; 16], u64)>) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, revision) in requests {
            active.push(id, revision);
        }
    }

    /// Closes the active segment's ids under the segment's first revision and starts anew.
    pub(crate) fn freeze(&self, first_revision: u64) -> Arc<Ids> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let frozen = Arc::new(std::mem::take(&mut *active).freeze());
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        sealed.push((first_revision, Sealed::InMemory(Arc::clone(&frozen))));
        frozen
    }

    /// Puts a segment's file in place of its ids.
    pub(crate) fn install(&self, first_revision: u64, sidecar: Arc<Sidecar>) {
        let file = Sealed::OnDisk(sidecar);
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        let before = match sealed.binary_search_by_key(&first_revision, |(first, _)| *first) {
            Ok(at) => Some(std::mem::replace(&mut sealed[at].1, file)),
            Err(at) => {
                sealed.insert(at, (first_revision, file));
                None
            }
        };
        drop(sealed);
        drop(before);
    }

    /// The file of a segment, if it is loaded.
    pub(crate) fn sidecar(&self, first_revision: u64) -> Option<Arc<Sidecar>> {
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let at = sealed
            .binary_search_by_key(&first_revision, |(first, _)| *first)
            .ok()?;
        match &sealed[at].1 {
            Sealed::OnDisk(sidecar) => Some(Arc::clone(sidecar)),
            Sealed::InMemory(_) => None,
        }
    }

    /// Forgets segments before `first_revision`.
    pub(crate) fn forget_before(&self, first_revision: u64) {
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        let before = sealed.partition_point(|(first, _)| *first < first_revision);
        let kept = sealed.split_off(before);
        let forgotten = std::mem::replace(&mut *sealed, kept);
        // Files are closed and megabytes freed: whoever looks for an id does not wait for that.
        drop(sealed);
        drop(forgotten);
    }

    /// Bytes that the index takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let active_bytes = active.memory_bytes();
        drop(active);
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let sealed_bytes = sealed.iter().map(|(_, segment)| match segment {
            Sealed::InMemory(ids) => ids.memory_bytes(),
            Sealed::OnDisk(sidecar) => sidecar.memory_bytes(),
        });
        active_bytes + sealed_bytes.sum::<usize>()
    }

    /// The newest revision that carries `id`, if it is not after `last`, or the file that could not be read.
    ///
    /// Ids that hold the time they were made at, as those of UUID version 7 do, are mostly larger than all before
    /// them: the first and last id of each segment then tell that a new one was never seen.
    pub(crate) fn lookup(
        &self,
        id: &[u8; 16],
        last: u64,
    ) -> std::result::Result<Option<u64>, (Arc<Sidecar>, JournalError)> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(revision) = active.lookup(id, last) {
            return Ok(Some(revision));
        }
        drop(active);
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        let known = sealed.iter().rev().filter(|(first, _)| *first <= last);
        for (_, segment) in known {
            let found = match segment {
                Sealed::InMemory(ids) => ids.lookup(id, last),
                Sealed::OnDisk(sidecar) => sidecar
                    .lookup(id)
                    .map_err(|error| (Arc::clone(sidecar), error))?,
            };
            if found.is_some() {
                return Ok(found.filter(|revision| *revision <= last));
            }
        }
        Ok(None)
    }
}
