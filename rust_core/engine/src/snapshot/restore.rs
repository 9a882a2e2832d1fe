//! The timelines of a state that was read, from its receipts and reservations.
//!
//! Built in one go: entries come in the order of receipts and reservations, which is no order of positions, so
//! putting each into its place would wait for memory and move its neighbours time and again.

use super::frames::PIECE;
use super::{Reader, SnapshotError};
use crate::buffers::Origin;
use crate::catalog_types::{BufferPolicy, ForecastBuffer};
use crate::ids::{LocationId, PositionId, ReceiptNo, ReservationId};
use crate::limits::MAX_BUFFER_MODELS;
use crate::receipts::Receipt;
use crate::reservations::{Line, Reservation};
use crate::state::State;
use crate::timeline::{Entry, EntryKey};

/// An entry before its position is looked at.
enum Plan {
    Receipt(ReceiptNo, PositionId),
    Line(ReservationId, u16, Line),
}

impl Plan {
    fn position(&self) -> PositionId {
        match self {
            Self::Receipt(_, position) => *position,
            Self::Line(.., line) => line.position,
        }
    }
}

/// Builds every timeline; `planned` says how many entries each position gets. `None` when an entry has no position.
pub(super) fn timelines(state: &mut State, planned: &[u32], reader: &mut Reader<'_>) -> Option<()> {
    for (n, count) in planned.iter().enumerate().filter(|(_, count)| **count > 0) {
        let position = state.position_mut(PositionId(n as u32))?;
        position.timeline.reserve(*count as usize);
        if n % PIECE == 0 {
            reader.piece_done();
        }
    }
    // Taken out for as long as positions are changed beside them.
    let receipts = std::mem::take(&mut state.receipts);
    let reservations = std::mem::take(&mut state.reservations);
    let plans = receipts
        .iter()
        .map(|(no, receipt)| Plan::Receipt(no, receipt.position))
        .chain(reservations.iter().flat_map(lines));
    let built = push_all(state, plans, |no| receipts.get(no), reader);
    state.receipts = receipts;
    state.reservations = reservations;
    built?;
    let mut scratch = Vec::new();
    for (n, _) in planned.iter().enumerate().filter(|(_, count)| **count > 0) {
        let position = state.position_mut(PositionId(n as u32))?;
        position.timeline.settle(&mut scratch);
        if n % PIECE == 0 {
            reader.piece_done();
        }
    }
    Some(())
}

fn lines((id, reservation): (ReservationId, &Reservation)) -> impl Iterator<Item = Plan> {
    let binds = reservation.binds();
    let lines = reservation.lines.iter().enumerate();
    lines
        .filter(move |(_, line)| binds && !line.open.is_zero())
        .map(move |(n, line)| Plan::Line(id, n as u16, *line))
}

fn push_all<'a>(
    state: &mut State,
    plans: impl Iterator<Item = Plan>,
    receipt: impl Fn(ReceiptNo) -> Option<&'a Receipt>,
    reader: &mut Reader<'_>,
) -> Option<()> {
    let mut plans = plans.peekable();
    // The memory of a piece is asked for together.
    let mut block = Vec::with_capacity(PIECE);
    while plans.peek().is_some() {
        reader.piece_done();
        block.clear();
        block.extend(plans.by_ref().take(PIECE));
        for plan in &block {
            state.prefetch_position(plan.position(), true);
        }
        for plan in &block {
            state.position(plan.position()).timeline.prefetch_end();
        }
        for plan in &block {
            let entry = match plan {
                Plan::Receipt(no, id) => {
                    let (receipt, rule) = (receipt(*no)?, state.rule_of(state.position(*id)));
                    Entry {
                        time: receipt.counts_from,
                        key: EntryKey::receipt(*no),
                        quantity: receipt.counted(rule),
                    }
                }
                Plan::Line(id, n, line) => Entry {
                    time: line.ship_time,
                    key: EntryKey::commitment(*id, *n),
                    quantity: -line.open.balance(),
                },
            };
            state.position_mut(plan.position())?.timeline.push(entry);
        }
    }
    Some(())
}

/// Reads where buffers come from.
pub(super) fn buffers(state: &mut State, reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
    let locations = state.catalog.locations().len();
    let positions = state.position_count;
    let buffers = &mut state.buffers;
    reader.section(|(location, follow): (LocationId, ForecastBuffer)| {
        (location.index() < locations).then(|| buffers.locations.insert(location, follow))?;
        Some(())
    })?;
    reader.section(|(position, policy): (PositionId, BufferPolicy)| {
        (position.index() < positions).then(|| buffers.positions.insert(position, policy))?;
        Some(())
    })?;
    reader.section(|model: Box<str>| {
        (buffers.models.len() < MAX_BUFFER_MODELS).then(|| buffers.models.push(model))
    })?;
    reader.section(|(position, origin): (PositionId, Origin)| {
        let known =
            position.index() < positions && usize::from(origin.model) < buffers.models.len();
        known.then(|| buffers.derived.insert(position, origin))?;
        Some(())
    })
}
