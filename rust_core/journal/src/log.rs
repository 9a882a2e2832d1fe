//! The log: append with sync, seal, roll.

use std::sync::Arc;
use std::time::Instant;

use crate::active::Active;
use crate::batch::Batch;
use crate::config::LogConfig;
use crate::error::{JournalError, Result};
use crate::format::{FRAME_HEADER_LEN, FrameKind, SegmentHeader, stamp_record};
use crate::index::SidecarSource;
use crate::keeper::{Finished, Keeper};
use crate::storage::WriterLock;
use crate::view::{LogView, Position, SegmentInfo, Shared};

/// The single writer of a journal directory. Any failed write or sync poisons it: what is on disk
/// is unknown then, and only a restart, which reads it, can tell.
pub struct Log {
    pub(crate) config: LogConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) active: Active,
    pub(crate) keeper: Keeper,
    pub(crate) epoch: u32,
    pub(crate) poisoned: Option<String>,
    pub(crate) _lock: Box<dyn WriterLock>,
}

impl Log {
    /// A handle for readers.
    #[must_use]
    pub fn view(&self) -> LogView {
        LogView {
            shared: Arc::clone(&self.shared),
        }
    }

    /// The revision that the next record must have.
    #[must_use]
    pub fn next_revision(&self) -> u64 {
        self.active.cursor.next_revision
    }

    /// Epoch of this writer: one more than that of the writer before.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The first failure, once there was one.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Writes a batch and syncs it. When this returns `Ok`, every record of it is durable.
    ///
    /// # Errors
    /// `WrongRevision` and `TimeFalls` leave the log as it was. After any other error the log is
    /// poisoned and the batch may or may not be found at the next start.
    pub fn append(&mut self, batch: &mut Batch) -> Result<()> {
        self.check_alive()?;
        if batch.is_empty() {
            return Ok(());
        }
        let expected = self.next_revision();
        if batch.first_revision() != expected {
            return Err(JournalError::WrongRevision {
                expected,
                found: batch.first_revision(),
            });
        }
        if batch.first_time_ms() < self.active.cursor.time_ms {
            return Err(JournalError::TimeFalls {
                revision: expected,
                before: self.active.cursor.time_ms,
                found: batch.first_time_ms(),
            });
        }
        let result = self.append_rolling(batch);
        self.poison_on_error(result)
    }

    /// Writes a seal, unless the last frame is one already: what is in front of it can no longer
    /// be taken for an unfinished write. Called when there is nothing else to do.
    ///
    /// # Errors
    /// Any error poisons the log.
    pub fn seal(&mut self) -> Result<()> {
        self.check_alive()?;
        let result = self.seal_now();
        self.poison_on_error(result)
    }

    fn check_alive(&self) -> Result<()> {
        match &self.poisoned {
            Some(cause) => Err(JournalError::Poisoned {
                cause: cause.clone(),
            }),
            None => Ok(()),
        }
    }

    fn poison_on_error(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            tracing::error!(%error, "the journal stops");
            self.poisoned = Some(error.to_string());
        }
        result
    }

    fn append_rolling(&mut self, batch: &mut Batch) -> Result<()> {
        if batch.bytes() as u64 > self.active.room() {
            self.roll()?;
        }
        if batch.bytes() as u64 <= self.active.room() {
            return self.append_here(batch);
        }
        // Larger than a whole segment: each record is atomic by itself, so pieces are as good.
        let room = Active::room_when_empty(&self.active.header);
        for mut piece in batch.split(room as usize) {
            if piece.bytes() as u64 > self.active.room() {
                self.roll()?;
            }
            self.append_here(&mut piece)?;
        }
        Ok(())
    }

    fn append_here(&mut self, batch: &mut Batch) -> Result<()> {
        let began = Instant::now();
        let (salt, epoch, records) = (self.active.salt(), self.epoch, batch.len() as u32);
        let time_ms = batch.last_time_ms();
        let body_end = FRAME_HEADER_LEN + batch.bytes();
        let frame = batch.frame_mut();
        let mut at = FRAME_HEADER_LEN;
        while at < body_end {
            at += stamp_record(salt, epoch, &mut frame[at..]);
        }
        let at = (self.active.cursor.next_revision, self.active.cursor.offset);
        let bytes = self
            .active
            .write_frame(FrameKind::Batch, epoch, records, time_ms, frame)?;
        frame.truncate(body_end);
        let of = self.active.header.segment_bytes;
        self.keeper.filled(self.active.cursor.offset, of);
        self.shared.index.insert(batch.requests());
        let newest = self.position();
        let mut published = self.shared.published();
        published.durable_end = self.active.cursor.offset;
        published.frames.push(at);
        published.newest = newest;
        drop(published);
        self.shared
            .stats
            .batch(u64::from(records), bytes, began.elapsed());
        Ok(())
    }

    fn position(&self) -> Position {
        let cursor = &self.active.cursor;
        Position {
            revision: cursor.next_revision - 1,
            time_ms: cursor.time_ms,
            epoch: self.epoch,
            chain: cursor.chain,
        }
    }

    pub(crate) fn seal_now(&mut self) -> Result<()> {
        let sealed_by_us = |frame: &crate::format::FrameHeader| {
            frame.kind != FrameKind::Batch && frame.epoch == self.epoch
        };
        if self.active.cursor.last.as_ref().is_some_and(sealed_by_us) {
            return Ok(());
        }
        let fresh = self.active.cursor.last.is_none() && self.active.header.epoch == self.epoch;
        if fresh {
            return Ok(());
        }
        if !self.active.has_room_for_seal() {
            return self.roll();
        }
        self.active.write_mark(FrameKind::Seal, self.epoch)?;
        self.shared
            .stats
            .seals
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let newest = self.position();
        let mut published = self.shared.published();
        published.durable_end = self.active.cursor.offset;
        published.newest = newest;
        Ok(())
    }

    /// Ends the active segment and starts the next.
    pub(crate) fn roll(&mut self) -> Result<()> {
        if self.active.cursor.next_revision == self.active.header.first_revision {
            return self.replace_empty();
        }
        if !self.active.cursor.ended() {
            self.active.write_mark(FrameKind::End, self.epoch)?;
        }
        let cursor = &self.active.cursor;
        let header = SegmentHeader {
            epoch: self.epoch,
            block_bytes: self.config.block_bytes,
            segment_bytes: self.config.segment_bytes,
            first_revision: cursor.next_revision,
            base_time_ms: cursor.time_ms,
            journal_id: self.shared.journal_id,
            chain_seed: cursor.chain,
            schema: self.config.schema,
        };
        let old_first = self.active.header.first_revision;
        let source = SidecarSource {
            journal_id: header.journal_id,
            first_revision: old_first,
            end_chain: self.active.chain(),
        };
        let prepared = self.keeper.take(header.segment_bytes)?;
        self.active = Active::begin(self.shared.storage.as_ref(), prepared, header)?;
        self.keeper.prepare_ahead(self.config.segment_bytes);
        let ids = self.shared.index.freeze(old_first);
        let info = SegmentInfo::new(&self.active.name, &self.active.header);
        let newest = self.position();
        let mut published = self.shared.published();
        published.segments.push(info);
        published.durable_end = self.active.cursor.offset;
        published.newest = newest;
        // As many will come again, and the list is not copied as it grows.
        let room = Vec::with_capacity(published.frames.len());
        let frames = std::mem::replace(&mut published.frames, room);
        drop(published);
        self.shared
            .stats
            .rolls
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.keeper.index(Finished {
            source,
            ids,
            frames,
            window_ms: self.config.index_window_ms,
        });
        Ok(())
    }

    /// Puts a fresh file in the place of an active segment that is full of seals and holds no
    /// record: its successor would have the same first revision, so the same name.
    fn replace_empty(&mut self) -> Result<()> {
        let header = SegmentHeader {
            epoch: self.epoch,
            block_bytes: self.config.block_bytes,
            segment_bytes: self.config.segment_bytes,
            schema: self.config.schema,
            ..self.active.header.clone()
        };
        let prepared = self.keeper.take(header.segment_bytes)?;
        self.active = Active::begin(self.shared.storage.as_ref(), prepared, header)?;
        self.keeper.prepare_ahead(self.config.segment_bytes);
        let info = SegmentInfo::new(&self.active.name, &self.active.header);
        let newest = self.position();
        let mut published = self.shared.published();
        published.segments.pop();
        published.segments.push(info);
        published.durable_end = self.active.cursor.offset;
        published.newest = newest;
        Ok(())
    }
}
