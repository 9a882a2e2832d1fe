//! Reading a segment frame by frame and judging what does not read.

use std::io;

use bespeak_aside::PIECE_BYTES;

use crate::buffer::Buffer;
use crate::error::{IoContext, JournalError, Result};
use crate::format::{
    ChainHash, FRAME_HEADER_LEN, FrameHeader, FrameKind, RECORD_HEADER_LEN, RecordHeader,
    SegmentHeader, SegmentTie, chain_after, first_nonzero, parse_record,
};
use crate::reader::TailCut;
use crate::storage::Storage;
use crate::view::SegmentInfo;

/// A segment in memory: all of it, or the durable prefix of the active one.
#[derive(Debug)]
pub(crate) struct SegmentData {
    pub name: String,
    pub header: SegmentHeader,
    pub data: Buffer,
    tie: SegmentTie,
}

/// Where a reader stands in a segment, and what the next frame must continue.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub offset: u64,
    pub chain: ChainHash,
    pub next_revision: u64,
    pub time_ms: u64,
    pub epoch: u32,
    /// The frame before, if there is one in this segment.
    pub last: Option<FrameHeader>,
}

/// What stands at the cursor.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good frame; the cursor has moved past it.
    Frame(FrameHeader),
    /// Nothing but zeros to the end of the data.
    Clean,
    /// Bytes that are no good frame.
    Fault(Fault),
}

/// Bytes that are no good frame.
#[derive(Debug)]
pub(crate) struct Fault {
    pub offset: u64,
    pub what: String,
    class: FaultClass,
}

#[derive(Debug, PartialEq, Eq)]
enum FaultClass {
    /// No header can be read, so the extent is unknown.
    NoHeader,
    /// The header is good, the rest up to this offset is not: a write that did not finish looks
    /// like this.
    Body { end: u64 },
    /// No unfinished write looks like this.
    Impossible,
}

impl Cursor {
    /// The start of a segment.
    pub(crate) fn start(header: &SegmentHeader) -> Self {
        Self {
            offset: u64::from(header.block_bytes),
            chain: header.chain_seed,
            next_revision: header.first_revision,
            time_ms: header.base_time_ms,
            epoch: header.epoch,
            last: None,
        }
    }

    /// Whether the segment's last frame has been read.
    pub(crate) fn ended(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|frame| frame.kind == FrameKind::End)
    }
}

impl SegmentData {
    /// Loads a segment, or its first `prefix` bytes.
    ///
    /// # Errors
    /// I/O errors; `Damaged` or `NewerFormat` for its header or its length.
    pub(crate) fn load(storage: &dyn Storage, name: &str, prefix: Option<u64>) -> Result<Self> {
        Self::load_into(storage, name, prefix, Buffer::default(), &mut || {})
    }

    /// The same, in memory that was used before, with `between` called after each piece.
    pub(crate) fn load_into(
        storage: &dyn Storage,
        name: &str,
        prefix: Option<u64>,
        mut data: Buffer,
        between: &mut dyn FnMut(),
    ) -> Result<Self> {
        let file = storage.open(name, false).doing("open", name)?;
        let bytes = prefix
            .map_or_else(|| file.size(), Ok)
            .doing("measure", name)?;
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge.into());
        len.and_then(|len| data.resize(len)).doing("read", name)?;
        for (number, piece) in data.chunks_mut(PIECE_BYTES).enumerate() {
            file.read_exact_at(piece, (number * PIECE_BYTES) as u64)
                .doing("read", name)?;
            between();
        }
        let header = SegmentHeader::decode(name, &data)?;
        if prefix.is_none() && data.len() as u64 != header.segment_bytes {
            let what = format!(
                "{} bytes long instead of {}",
                data.len(),
                header.segment_bytes
            );
            return Err(JournalError::damaged(name, data.len() as u64, what));
        }
        let tie = header.tie();
        Ok(Self {
            name: name.to_owned(),
            header,
            data,
            tie,
        })
    }

    /// Reads the frame at the cursor.
    pub(crate) fn step(&self, cursor: &mut Cursor) -> Step {
        let rest = &self.data[(cursor.offset as usize).min(self.data.len())..];
        if cursor.ended() {
            return match first_nonzero(rest) {
                None => Step::Clean,
                Some(at) => Step::Fault(Fault {
                    offset: cursor.offset + at as u64,
                    what: "byte after the end of the segment is not zero".to_owned(),
                    class: FaultClass::Impossible,
                }),
            };
        }
        match self.check_frame(cursor, rest) {
            Ok(frame) => {
                cursor.offset += frame.frame_bytes(self.header.block_bytes);
                cursor.chain = frame.chain;
                cursor.next_revision = frame.first_revision + u64::from(frame.records);
                cursor.time_ms = frame.time_ms;
                cursor.epoch = frame.epoch;
                cursor.last = Some(frame.clone());
                Step::Frame(frame)
            }
            Err(fault) if fault.class == FaultClass::NoHeader && first_nonzero(rest).is_none() => {
                Step::Clean
            }
            Err(fault) => Step::Fault(fault),
        }
    }

    fn check_frame(&self, cursor: &Cursor, rest: &[u8]) -> std::result::Result<FrameHeader, Fault> {
        let fault = |offset: u64, what: String, class| Fault {
            offset,
            what,
            class,
        };
        let start = cursor.offset;
        let Some(frame) = FrameHeader::decode(self.tie, start, rest) else {
            return Err(fault(
                start,
                "no frame header".to_owned(),
                FaultClass::NoHeader,
            ));
        };
        let end = start + frame.frame_bytes(self.header.block_bytes);
        let impossible = |what: String| fault(start, what, FaultClass::Impossible);
        if frame.first_revision != cursor.next_revision {
            let (found, expected) = (frame.first_revision, cursor.next_revision);
            return Err(impossible(format!(
                "frame of revision {found} where {expected} follows"
            )));
        }
        if frame.epoch < cursor.epoch || frame.time_ms < cursor.time_ms {
            return Err(impossible("epoch or time falls".to_owned()));
        }
        let has_records = frame.kind == FrameKind::Batch;
        if has_records != (frame.records > 0) || has_records != (frame.body_bytes > 0) {
            return Err(impossible(
                "frame kind and record count disagree".to_owned(),
            ));
        }
        let Some(bytes) = rest.get(..(end - start) as usize) else {
            return Err(impossible("frame leaves the segment".to_owned()));
        };
        let body_end = FRAME_HEADER_LEN + frame.body_bytes as usize;
        let mut at = FRAME_HEADER_LEN;
        let mut time_ms = cursor.time_ms;
        for index in 0..u64::from(frame.records) {
            let here = start + at as u64;
            let torn = |what: &str| fault(here, what.to_owned(), FaultClass::Body { end });
            let (record, len) = parse_record(self.tie.salt, &bytes[at..body_end]).map_err(torn)?;
            let ordered = record.meta.revision == frame.first_revision + index
                && record.meta.time_ms >= time_ms
                && record.epoch == frame.epoch;
            if !ordered {
                let what = "record does not follow the one before".to_owned();
                return Err(fault(here, what, FaultClass::Impossible));
            }
            time_ms = record.meta.time_ms;
            at += len;
        }
        if at != body_end || time_ms != frame.time_ms {
            return Err(impossible(
                "frame header and its records disagree".to_owned(),
            ));
        }
        if let Some(padding) = first_nonzero(&bytes[body_end..]) {
            let what = "padding after the frame is not zero".to_owned();
            let class = FaultClass::Body { end };
            return Err(fault(start + (body_end + padding) as u64, what, class));
        }
        if chain_after(&cursor.chain, &bytes[..body_end]) != frame.chain {
            return Err(impossible("hash chain differs".to_owned()));
        }
        Ok(frame)
    }

    /// Judges a fault in the active segment: an unfinished last write may be cut away; anything
    /// else is damage.
    ///
    /// A frame is written only after the one before is durable. So a fault with another frame
    /// behind it, or with anything behind the end of its own frame, hit bytes that were durable.
    ///
    /// # Errors
    /// `Damaged` at the fault.
    pub(crate) fn torn_tail(&self, cursor: &Cursor, fault: &Fault) -> Result<TailCut> {
        let damaged = |why: String| {
            let what = format!("{}, {why}", fault.what);
            JournalError::damaged(&self.name, fault.offset, what)
        };
        if fault.class == FaultClass::Impossible {
            return Err(damaged("which no unfinished write leaves".to_owned()));
        }
        if let Some(later) = self.later_frame(cursor.offset) {
            return Err(damaged(format!(
                "with another frame behind it at offset {later}"
            )));
        }
        if let FaultClass::Body { end } = fault.class
            && let Some(at) = first_nonzero(&self.data[(end as usize).min(self.data.len())..])
        {
            let behind = end + at as u64;
            return Err(damaged(format!(
                "with bytes of a later write at offset {behind}"
            )));
        }
        let tail = &self.data[cursor.offset as usize..];
        let bytes = tail
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last as u64 + 1);
        let what = fault.what.clone();
        Ok(TailCut {
            segment: self.name.clone(),
            offset: cursor.offset,
            bytes,
            what,
        })
    }

    /// Checks that this segment is the one its name says and continues the one before.
    ///
    /// # Errors
    /// `Damaged` at the header's field.
    pub(crate) fn check_follows(&self, before: Option<&Cursor>, info: &SegmentInfo) -> Result<()> {
        let header = &self.header;
        let wrong = |offset, what: &str| Err(JournalError::damaged(&self.name, offset, what));
        if header.first_revision != info.first_revision {
            return wrong(32, "segment starts at another revision than its name says");
        }
        let Some(before) = before else { return Ok(()) };
        if header.first_revision != before.next_revision {
            return wrong(32, "segment does not continue the one before");
        }
        if header.epoch < before.epoch || header.base_time_ms != before.time_ms {
            return wrong(16, "epoch or time does not continue the segment before");
        }
        if header.chain_seed != before.chain {
            return wrong(64, "hash chain does not continue the segment before");
        }
        Ok(())
    }

    /// Makes a fault in a segment that is not the active one an error.
    pub(crate) fn damage(&self, fault: &Fault) -> JournalError {
        JournalError::damaged(&self.name, fault.offset, fault.what.clone())
    }

    /// Offset of the first frame, good or not, that starts behind the one at `offset`.
    fn later_frame(&self, offset: u64) -> Option<u64> {
        let block = u64::from(self.header.block_bytes);
        let mut at = offset + block;
        while at < self.data.len() as u64 {
            if FrameHeader::is_marked(self.tie, &self.data[at as usize..]) {
                return Some(at);
            }
            at += block;
        }
        None
    }

    /// The records of a frame that was read, with their payloads.
    pub(crate) fn records_with_payload(
        &self,
        frame: &FrameHeader,
    ) -> impl Iterator<Item = (RecordHeader, &[u8])> {
        let mut rest = &self.frame_bytes(frame)[FRAME_HEADER_LEN..];
        std::iter::from_fn(move || {
            // Checked when the frame was; a record that does not parse ends the frame.
            let (header, len) = parse_record(self.tie.salt, rest).ok()?;
            let payload =
                &rest[RECORD_HEADER_LEN..RECORD_HEADER_LEN + header.payload_bytes as usize];
            rest = &rest[len..];
            Some((header, payload))
        })
    }

    /// The headers of a frame's records.
    pub(crate) fn records(&self, frame: &FrameHeader) -> impl Iterator<Item = RecordHeader> {
        self.records_with_payload(frame).map(|(header, _)| header)
    }

    /// The bytes of a frame that was read, without its padding.
    pub(crate) fn frame_bytes(&self, frame: &FrameHeader) -> &[u8] {
        let start = frame.offset as usize;
        &self.data[start..start + FRAME_HEADER_LEN + frame.body_bytes as usize]
    }

    /// Mixed into the checksums of this segment.
    pub(crate) fn salt(&self) -> u32 {
        self.tie.salt
    }
}
