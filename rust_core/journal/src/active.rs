//! The segment being written.

use crate::error::{IoContext, Result};
use crate::format::{
    ChainHash, FRAME_HEADER_LEN, FrameHeader, FrameKind, SegmentHeader, SegmentTie, segment_name,
};
use crate::scan::Cursor;
use crate::storage::{Storage, StorageFile};

pub(crate) struct Active {
    pub name: String,
    pub header: SegmentHeader,
    pub cursor: Cursor,
    file: Box<dyn StorageFile>,
    tie: SegmentTie,
}

impl Active {
    /// Goes on writing a segment that was read up to `cursor`.
    pub(crate) fn resume(
        name: String,
        header: SegmentHeader,
        cursor: Cursor,
        file: Box<dyn StorageFile>,
    ) -> Self {
        let tie = header.tie();
        Self {
            name,
            header,
            cursor,
            file,
            tie,
        }
    }

    /// Makes a prepared file of zeros the segment described by `header`. When this
    /// returns, header and directory entry are durable.
    pub(crate) fn begin(
        storage: &dyn Storage,
        prepared: (String, Box<dyn StorageFile>),
        header: SegmentHeader,
    ) -> Result<Self> {
        let (aside, file) = prepared;
        let name = segment_name(header.first_revision);
        file.write_all_at(&header.encode(), 0)
            .doing("write the header of", &name)?;
        file.sync_data().doing("sync the header of", &name)?;
        storage.rename(&aside, &name).doing("name", &name)?;
        storage
            .sync_dir()
            .doing("sync the directory entry of", &name)?;
        let cursor = Cursor::start(&header);
        Ok(Self::resume(name, header, cursor, file))
    }

    /// Bytes of records that fit in one more frame, with room kept for the end frame.
    pub(crate) fn room(&self) -> u64 {
        let block = u64::from(self.header.block_bytes);
        let taken = self.cursor.offset + block + FRAME_HEADER_LEN as u64;
        self.header.segment_bytes.saturating_sub(taken)
    }

    /// Bytes of records that fit in one frame of an empty segment.
    pub(crate) fn room_when_empty(header: &SegmentHeader) -> u64 {
        let block = u64::from(header.block_bytes);
        header.segment_bytes - 2 * block - FRAME_HEADER_LEN as u64
    }

    /// Whether a seal fits beside the end frame.
    pub(crate) fn has_room_for_seal(&self) -> bool {
        self.cursor.offset + 2 * u64::from(self.header.block_bytes) <= self.header.segment_bytes
    }

    /// Writes a frame and syncs it. `frame` starts with room for the frame's header and is padded
    /// here. Returns the bytes written.
    pub(crate) fn write_frame(
        &mut self,
        kind: FrameKind,
        epoch: u32,
        records: u32,
        time_ms: u64,
        frame: &mut Vec<u8>,
    ) -> Result<u64> {
        let body_bytes = frame.len() - FRAME_HEADER_LEN;
        let mut header = FrameHeader {
            kind,
            epoch,
            records,
            body_bytes: body_bytes as u32,
            first_revision: self.cursor.next_revision,
            time_ms,
            offset: self.cursor.offset,
            chain: [0; 32],
        };
        header.chain = header.finish(self.tie, &self.cursor.chain, frame);
        let total = header.frame_bytes(self.header.block_bytes);
        frame.resize(total as usize, 0);
        self.file
            .write_all_at(frame, header.offset)
            .doing("write", &self.name)?;
        self.file.sync_data().doing("sync", &self.name)?;
        self.cursor.offset += total;
        self.cursor.chain = header.chain;
        self.cursor.next_revision += u64::from(records);
        self.cursor.time_ms = time_ms;
        self.cursor.epoch = epoch;
        self.cursor.last = Some(header);
        Ok(total)
    }

    /// Writes a frame without records.
    pub(crate) fn write_mark(&mut self, kind: FrameKind, epoch: u32) -> Result<u64> {
        let mut frame = vec![0; FRAME_HEADER_LEN];
        self.write_frame(kind, epoch, 0, self.cursor.time_ms, &mut frame)
    }

    /// Writes bytes that a reader has already seen once more and syncs them, so that what was
    /// read from a cache is on the disk; `zeros_to` clears what follows the last frame.
    pub(crate) fn settle(
        &mut self,
        last_frame: Option<&[u8]>,
        zeros_to: Option<u64>,
    ) -> Result<()> {
        if let (Some(bytes), Some(frame)) = (last_frame, &self.cursor.last) {
            self.file
                .write_all_at(bytes, frame.offset)
                .doing("rewrite", &self.name)?;
        }
        if let Some(end) = zeros_to.filter(|&end| end > self.cursor.offset) {
            let zeros = vec![0; (end - self.cursor.offset) as usize];
            self.file
                .write_all_at(&zeros, self.cursor.offset)
                .doing("clear the tail of", &self.name)?;
        }
        self.file.sync_data().doing("sync", &self.name)
    }

    pub(crate) fn salt(&self) -> u32 {
        self.tie.salt
    }

    pub(crate) fn chain(&self) -> ChainHash {
        self.cursor.chain
    }
}
