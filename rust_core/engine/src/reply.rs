//! Answers to commands, as they are journaled and remembered.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ids::{ItemId, LocationId, ReservationId, ShockId, Units, UtcMillis};
use crate::refusal::Refusal;

/// A reply with the journal position it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What was answered.
    pub reply: Reply,
    /// Journal position that it belongs to: of the write, or the one that a refusal saw.
    pub revision: u64,
    /// It had been given before under this request id, or the source event had been seen before.
    pub replayed: bool,
    /// Engine time at which it was (first) given.
    pub time: UtcMillis,
}

/// One reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To `Reserve` and `Promise`.
    Hold(HoldReply),
    /// To a step in a reservation's life.
    Step(StepReply),
    /// To a fact about stock.
    Supply(SupplyReply),
    /// To master data.
    Catalog,
    /// A source event that had been seen before.
    Duplicate,
    /// To a step that broke promises: the shocks that tell which.
    StepWithShocks(StepReply, SmallVec<[ShockId; 1]>),
}

impl Reply {
    /// Bytes of the lines that do not lie in the reply itself.
    #[inline]
    pub(crate) fn bytes_beside(&self) -> usize {
        match self {
            Self::Hold(hold) if hold.lines.len() > 1 => hold.bytes_of_lines(),
            Self::Hold(hold) => hold.lines.iter().map(LineReply::bytes_of_parts).sum(),
            Self::StepWithShocks(_, shocks) if shocks.spilled() => {
                shocks.len() * size_of::<ShockId>()
            }
            _ => 0,
        }
    }
}

impl HoldReply {
    #[cold]
    fn bytes_of_lines(&self) -> usize {
        let parts: usize = self.lines.iter().map(LineReply::bytes_of_parts).sum();
        self.lines.len() * size_of::<LineReply>() + parts
    }
}

impl LineReply {
    fn bytes_of_parts(&self) -> usize {
        match self.parts.len() {
            0 | 1 => 0,
            parts => parts * size_of::<PartReply>(),
        }
    }
}

/// How much of the request was held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Outcome {
    /// All of it.
    Full = 1,
    /// Some of it.
    Partial = 2,
    /// Nothing.
    Refused = 3,
}

/// A reservation's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum ReservationState {
    /// Has a time to live.
    Held = 1,
    /// Waits to ship.
    Confirmed = 2,
    /// All has shipped.
    Fulfilled = 3,
    /// Nothing is held any more.
    Released = 4,
    /// Its time ran out.
    Expired = 5,
    /// Fulfilled or released long since: which of them is not kept in memory.
    Finished = 6,
}

/// Answer to `Reserve` and `Promise`.
#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldReply {
    /// How much was held.
    pub outcome: Outcome,
    /// The reservation; `None` when refused.
    pub reservation: Option<ReservationId>,
    /// Its state.
    pub state: ReservationState,
    /// When the hold runs out; zero when confirmed or refused.
    pub expires_at: UtcMillis,
    /// One result a line of the request, in its order.
    pub lines: SmallVec<[LineReply; 1]>,
}

/// Each answer that is remembered is a copy, and nearly all have one line.
impl Clone for HoldReply {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            lines: match self.lines.as_slice() {
                [line] => SmallVec::from_buf([line.clone()]),
                _ => self.lines.clone(),
            },
            ..*self
        }
    }
}

/// What became of one line.
#[derive(PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineReply {
    /// The item.
    pub item: ItemId,
    /// Units asked for.
    pub requested: Units,
    /// What is held, and where.
    pub parts: SmallVec<[PartReply; 1]>,
    /// Why not all is held.
    pub refusal: Option<Refusal>,
    /// What could be had instead at the time asked, when refused or short.
    pub available: Units,
    /// When the full quantity could be had.
    pub earliest: Option<UtcMillis>,
}

impl Clone for LineReply {
    #[inline]
    fn clone(&self) -> Self {
        Self {
            parts: match self.parts.as_slice() {
                [part] => SmallVec::from_buf([*part]),
                parts => SmallVec::from_slice(parts),
            },
            ..*self
        }
    }
}

/// A quantity held at one location.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartReply {
    /// Where.
    pub location: LocationId,
    /// How much.
    pub quantity: Units,
    /// When it ships.
    pub ship_time: UtcMillis,
    /// Line of the reservation.
    pub line: u32,
}

/// Answer to `Extend`, `Confirm`, `Fulfil` and `Release`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepReply {
    /// Why not.
    pub refusal: Option<Refusal>,
    /// State after the step.
    pub state: ReservationState,
    /// When the hold runs out; zero unless held.
    pub expires_at: UtcMillis,
    /// The hold had expired and its stock was taken again.
    pub reacquired: bool,
}

/// Answer to a fact about stock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupplyReply {
    /// Why not: only `Conflict` and `Limit`.
    pub refusal: Option<Refusal>,
    /// On hand of the status touched, afterwards.
    pub on_hand: i64,
    /// Version of the position, afterwards.
    pub version: u64,
    /// Revision of the receipt, afterwards; 0 where there is none.
    pub receipt_revision: u32,
    /// Units of the receipt still open.
    pub receipt_open: Units,
    /// Set when this write broke promises, or made a shortage worse.
    pub shock: Option<ShockId>,
}
