//! Making indexes from their segments.

use std::sync::Arc;

use crate::error::{JournalError, Result};
use crate::format::{
    FRAME_HEADER_LEN, FrameKind, NO_REQUEST, SegmentHeader, get_array, get_u32, get_u64,
    padded_record_len,
};
use crate::scan::{Cursor, SegmentData, Step};
use crate::storage::Storage;
use crate::view::{SegmentInfo, Shared};

use super::{FrameList, Sidecar, SidecarSource, sidecar_name};

/// Request ids of the batches at `frames`, which have been checked.
pub(crate) fn requests_of(segment: &SegmentData, frames: &FrameList) -> Vec<([u8; 16], u64)> {
    let mut requests = Vec::new();
    for &(_, offset) in frames {
        let body = get_u32(&segment.data, offset as usize + 20) as usize;
        let mut at = offset as usize + FRAME_HEADER_LEN;
        let end = at + body;
        while at < end {
            let record = &segment.data[at..end];
            requests.push((get_array(record, 24), get_u64(record, 8)));
            at += padded_record_len(get_u32(record, 0) as usize);
        }
    }
    requests
}

/// Opens the indexes of finished segments within the window, building what is missing.
pub(crate) fn load_indexes(
    shared: &Shared,
    segments: &[(SegmentInfo, SegmentHeader)],
    window_ms: u64,
) -> Result<()> {
    let horizon = shared.published().newest.time_ms.saturating_sub(window_ms);
    for pair in segments.windows(2) {
        let [(info, header), (next, next_header)] = pair else {
            continue;
        };
        if next.base_time_ms < horizon {
            continue;
        }
        let source = SidecarSource {
            journal_id: header.journal_id,
            first_revision: info.first_revision,
            end_chain: next_header.chain_seed,
        };
        let sidecar = match Sidecar::open(shared.storage.as_ref(), &source) {
            Ok(sidecar) => sidecar,
            Err(error) => {
                let index = sidecar_name(info.first_revision);
                tracing::info!(%index, %error, "building the request index again");
                rebuild(shared.storage.as_ref(), &info.name, &source)?
            }
        };
        shared.index.install(info.first_revision, Arc::new(sidecar));
    }
    Ok(())
}

/// Lets go of indexes that a start would not open again: those of segments that end before the window.
pub(crate) fn forget_old(shared: &Shared, window_ms: u64) {
    let published = shared.published();
    let horizon = published.newest.time_ms.saturating_sub(window_ms);
    let ends = published.segments.iter().skip(1);
    let first = ends
        .zip(&published.segments)
        .find(|(next, _)| next.base_time_ms >= horizon)
        .map(|(_, info)| info.first_revision);
    drop(published);
    if let Some(first) = first {
        shared.index.forget_before(first);
    }
}

/// Builds the index of a finished segment from the segment.
///
/// # Errors
/// `Damaged` when the segment is; I/O errors.
pub(crate) fn rebuild(
    storage: &dyn Storage,
    name: &str,
    source: &SidecarSource,
) -> Result<Sidecar> {
    let segment = SegmentData::load(storage, name, None)?;
    let mut cursor = Cursor::start(&segment.header);
    let mut frames = FrameList::new();
    loop {
        match segment.step(&mut cursor) {
            Step::Frame(frame) if frame.kind == FrameKind::Batch => {
                frames.push((frame.first_revision, frame.offset));
            }
            Step::Frame(_) => {}
            Step::Clean => break,
            Step::Fault(fault) => return Err(segment.damage(&fault)),
        }
    }
    if cursor.chain != source.end_chain {
        let what = "hash chain does not lead to the next segment";
        return Err(JournalError::damaged(name, cursor.offset, what));
    }
    let requests = requests_of(&segment, &frames);
    let named = requests.into_iter().filter(|(id, _)| *id != NO_REQUEST);
    Sidecar::write(storage, source, &named.collect(), &frames, false)
}
