//! Records in order, across segments, with everything checked on the way.

use std::sync::Arc;

use crate::error::{JournalError, Result};
use crate::format::{FRAME_HEADER_LEN, FrameHeader, RECORD_HEADER_LEN, RecordHeader, parse_record};
use crate::scan::{Cursor, Fault, SegmentData, Step};
use crate::storage::Storage;
use crate::view::{Pin, SegmentInfo, StoredRecord};

/// A record as it lies in a loaded segment.
#[derive(Debug)]
pub struct RecordRef<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// Its payload.
    pub payload: &'a [u8],
    /// The segment's file.
    pub segment: &'a str,
    /// Where the record starts in it.
    pub offset: u64,
}

impl RecordRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_stored(&self) -> StoredRecord {
        StoredRecord {
            header: self.header,
            payload: self.payload.to_vec(),
        }
    }
}

/// What follows the last good frame of a journal that nobody is writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailCut {
    /// The segment's file.
    pub segment: String,
    /// Offset of the first byte that is no part of a good frame.
    pub offset: u64,
    /// Bytes from there to the last one that is not zero.
    pub bytes: u64,
    /// Why they are no frame.
    pub what: String,
}

/// Lends the records of a log from a revision on.
pub struct LogReader {
    storage: Arc<dyn Storage>,
    segments: Vec<SegmentInfo>,
    /// Durable bytes of the last segment; `None` reads it to its end and judges the tail.
    durable_end: Option<u64>,
    next_segment: usize,
    from_revision: u64,
    current: Option<Open>,
    cut: Option<TailCut>,
    _pin: Option<Pin>,
}

struct Open {
    data: SegmentData,
    cursor: Cursor,
    /// The batch being lent and the offset of its next record.
    batch: Option<(FrameHeader, usize)>,
    is_last: bool,
}

impl LogReader {
    pub(crate) fn live(
        storage: Arc<dyn Storage>,
        segments: Vec<SegmentInfo>,
        durable_end: u64,
        from_revision: u64,
        pin: Pin,
    ) -> Self {
        Self::build(
            storage,
            segments,
            Some(durable_end),
            from_revision,
            Some(pin),
        )
    }

    pub(crate) fn at_rest(
        storage: Arc<dyn Storage>,
        segments: Vec<SegmentInfo>,
        from_revision: u64,
    ) -> Self {
        Self::build(storage, segments, None, from_revision, None)
    }

    fn build(
        storage: Arc<dyn Storage>,
        segments: Vec<SegmentInfo>,
        durable_end: Option<u64>,
        from_revision: u64,
        pin: Option<Pin>,
    ) -> Self {
        let after = segments.partition_point(|segment| segment.first_revision <= from_revision);
        let next_segment = after.saturating_sub(1);
        Self {
            storage,
            segments,
            durable_end,
            next_segment,
            from_revision,
            current: None,
            cut: None,
            _pin: pin,
        }
    }

    /// The next record, or `None` at the end.
    ///
    /// # Errors
    /// `Damaged` naming segment and offset; I/O errors.
    #[expect(
        clippy::should_implement_trait,
        reason = "lends from the loaded segment"
    )]
    pub fn next(&mut self) -> Result<Option<RecordRef<'_>>> {
        self.next_with(&mut || {})
    }

    /// The same, with `between` called again and again while a segment is read from the disk, and while what lies before the
    /// first record is checked.
    ///
    /// # Errors
    /// As for [`LogReader::next`].
    pub fn next_with(&mut self, between: &mut dyn FnMut()) -> Result<Option<RecordRef<'_>>> {
        loop {
            if !self.advance(between)? {
                return Ok(None);
            }
            let Some((offset, header)) = self.take_record()? else {
                continue;
            };
            if header.meta.revision < self.from_revision {
                continue;
            }
            // Looked up again because the borrow of the early return outlives the loop otherwise.
            return Ok(self.current.as_ref().map(|open| {
                let start = offset + RECORD_HEADER_LEN;
                RecordRef {
                    header,
                    payload: &open.data.data[start..start + header.payload_bytes as usize],
                    segment: &open.data.name,
                    offset: offset as u64,
                }
            }));
        }
    }

    /// What was found behind the last good frame, once the end has been reached.
    #[must_use]
    pub fn cut(&self) -> Option<&TailCut> {
        self.cut.as_ref()
    }

    /// Makes sure that a batch with a record left is open; false at the end.
    fn advance(&mut self, between: &mut dyn FnMut()) -> Result<bool> {
        loop {
            let Some(open) = &mut self.current else {
                if !self.open_next(None, between)? {
                    return Ok(false);
                }
                continue;
            };
            if open.batch.is_some() {
                return Ok(true);
            }
            match open.data.step(&mut open.cursor) {
                Step::Frame(frame) => {
                    let skip =
                        frame.first_revision + u64::from(frame.records) <= self.from_revision;
                    if frame.records > 0 && !skip {
                        let first = frame.offset as usize + FRAME_HEADER_LEN;
                        open.batch = Some((frame, first));
                    } else {
                        between();
                    }
                }
                Step::Clean if open.is_last => return Ok(false),
                Step::Clean => {
                    if !open.cursor.ended() {
                        let what = "segment has no end frame though another one follows";
                        let offset = open.cursor.offset;
                        return Err(JournalError::damaged(&open.data.name, offset, what));
                    }
                    let before = open.cursor.clone();
                    if !self.open_next(Some(&before), between)? {
                        return Ok(false);
                    }
                }
                Step::Fault(fault) => return self.judge(&fault).map(|()| false),
            }
        }
    }

    /// A fault ends the reading: as a torn tail, or as an error.
    fn judge(&mut self, fault: &Fault) -> Result<()> {
        let Some(open) = &self.current else {
            return Ok(());
        };
        if !open.is_last || self.durable_end.is_some() {
            return Err(open.data.damage(fault));
        }
        self.cut = Some(open.data.torn_tail(&open.cursor, fault)?);
        Ok(())
    }

    fn open_next(&mut self, before: Option<&Cursor>, between: &mut dyn FnMut()) -> Result<bool> {
        let Some(info) = self.segments.get(self.next_segment) else {
            return Ok(false);
        };
        let is_last = self.next_segment + 1 == self.segments.len();
        let prefix = self.durable_end.filter(|_| is_last);
        // The one before is read: its memory takes the next.
        let spare = self
            .current
            .as_mut()
            .map(|open| std::mem::take(&mut open.data.data));
        let data = SegmentData::load_into(
            self.storage.as_ref(),
            &info.name,
            prefix,
            spare.unwrap_or_default(),
            between,
        )?;
        data.check_follows(before, info)?;
        let cursor = Cursor::start(&data.header);
        self.current = Some(Open {
            data,
            cursor,
            batch: None,
            is_last,
        });
        self.next_segment += 1;
        Ok(true)
    }

    /// Takes the next record of the open batch.
    fn take_record(&mut self) -> Result<Option<(usize, RecordHeader)>> {
        let Some(open) = &mut self.current else {
            return Ok(None);
        };
        let Some((frame, at)) = open.batch.take() else {
            return Ok(None);
        };
        let end = frame.offset as usize + FRAME_HEADER_LEN + frame.body_bytes as usize;
        let (header, len) = parse_record(open.data.salt(), &open.data.data[at..end])
            .map_err(|what| JournalError::damaged(&open.data.name, at as u64, what))?;
        if at + len < end {
            open.batch = Some((frame, at + len));
        }
        Ok(Some((at, header)))
    }
}
