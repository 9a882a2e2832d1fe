//! From request id to revision: a map in memory for the active segment, a sorted file beside each
//! finished one, with a bloom filter and one key a page in memory.

mod bloom;
mod rebuild;
mod sidecar;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::JournalError;
use crate::format::NO_REQUEST;

pub(crate) use rebuild::{load_indexes, rebuild, requests_of};
pub(crate) use sidecar::{Sidecar, SidecarSource, sidecar_name, sidecar_revision};

/// Request id to revision of one segment.
pub(crate) type IdMap = HashMap<[u8; 16], u64>;

/// First revision and offset of each batch of one segment, ascending.
pub(crate) type FrameList = Vec<(u64, u64)>;

/// Finds the revision of a request id.
#[derive(Debug, Default)]
pub(crate) struct IdIndex {
    active: Mutex<IdMap>,
    /// Finished segments, oldest first.
    sealed: RwLock<Vec<(u64, Sealed)>>,
}

#[derive(Debug, Clone)]
enum Sealed {
    /// The file is not written yet.
    InMemory(Arc<IdMap>),
    OnDisk(Arc<Sidecar>),
}

impl IdIndex {
    /// Adds durable records of the active segment.
    pub(crate) fn insert(&self, requests: impl Iterator<Item = ([u8; 16], u64)>) {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, revision) in requests {
            if id != NO_REQUEST {
                active.insert(id, revision);
            }
        }
    }

    /// Closes the active segment's map under the segment's first revision and starts a new one.
    pub(crate) fn freeze(&self, first_revision: u64) -> Arc<IdMap> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        let frozen = Arc::new(std::mem::take(&mut *active));
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        sealed.push((first_revision, Sealed::InMemory(Arc::clone(&frozen))));
        frozen
    }

    /// Puts a segment's file in place of its map.
    pub(crate) fn install(&self, first_revision: u64, sidecar: Arc<Sidecar>) {
        let mut sealed = self.sealed.write().unwrap_or_else(PoisonError::into_inner);
        match sealed.binary_search_by_key(&first_revision, |(first, _)| *first) {
            Ok(at) => sealed[at].1 = Sealed::OnDisk(sidecar),
            Err(at) => sealed.insert(at, (first_revision, Sealed::OnDisk(sidecar))),
        }
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
        sealed.retain(|(first, _)| *first >= first_revision);
    }

    /// The newest revision that carries `id`, or the file that could not be read.
    pub(crate) fn lookup(
        &self,
        id: &[u8; 16],
    ) -> std::result::Result<Option<u64>, (Arc<Sidecar>, JournalError)> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&revision) = active.get(id) {
            return Ok(Some(revision));
        }
        drop(active);
        let sealed = self.sealed.read().unwrap_or_else(PoisonError::into_inner);
        for (_, segment) in sealed.iter().rev() {
            let found = match segment {
                Sealed::InMemory(map) => map.get(id).copied(),
                Sealed::OnDisk(sidecar) => sidecar
                    .lookup(id)
                    .map_err(|error| (Arc::clone(sidecar), error))?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
