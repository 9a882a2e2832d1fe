//! Stock and commitments counted a second time, from the events alone. Shares no code with the
//! engine's state: what both say must agree.

use std::collections::HashMap;

use bespeak_engine::limits::COUNT_LOOKBACK_MS;
use bespeak_engine::{
    Event, Line, MoveKind, PositionId, Record, ReservationId, ReservationState, State, StockStatus,
    UtcMillis,
};

const STATUSES: [StockStatus; 3] = [
    StockStatus::Unrestricted,
    StockStatus::Quality,
    StockStatus::Blocked,
];

/// Stock of one position.
#[derive(Debug, Clone, Default)]
struct Stock {
    on_hand: [i64; 3],
    /// Status, time and size of each movement seen that a count may still have to carry.
    moves: Vec<(StockStatus, i64, i64)>,
    /// When each status was last counted; what happened up to then is in the count.
    counted_at: [Option<i64>; 3],
    /// Number of movements at which those that no count reaches are let go.
    prune_at: usize,
    /// Units held and confirmed.
    promised: (i64, i64),
}

/// Movements of a position that are kept without a look at their age.
const MOVES_KEPT: usize = 64;

impl Stock {
    fn moved(&mut self, status: StockStatus, at: i64, delta: i64, now: i64) {
        self.on_hand[status as usize] += delta;
        self.moves.push((status, at, delta));
        if self.moves.len() >= self.prune_at.max(MOVES_KEPT) {
            self.moves
                .retain(|(_, at, _)| *at >= now - COUNT_LOOKBACK_MS);
            self.prune_at = 2 * self.moves.len();
        }
    }
}

/// A reservation's open lines.
#[derive(Debug, Clone)]
struct Promised {
    lines: Vec<(PositionId, i64)>,
    held: bool,
    binds: bool,
}

/// The count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stock: Vec<Stock>,
    promised: HashMap<ReservationId, Promised>,
    /// Positions whose promises the last record changed.
    changed: Vec<PositionId>,
    /// Counts of an earlier time cannot be worked out again: older movements were not seen.
    since_ms: i64,
}

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub position: Option<PositionId>,
    pub what: &'static str,
    pub expected: i64,
    pub found: i64,
}

impl Tally {
    /// Starts from a state that is taken as given.
    pub(super) fn from_state(state: &State) -> Self {
        let stock = state.positions().map(|(id, position)| Stock {
            on_hand: STATUSES.map(|status| position.on_hand(status)),
            counted_at: STATUSES.map(|status| state.last_count(id, status).map(UtcMillis::get)),
            ..Stock::default()
        });
        let open = |lines: &[Line]| {
            lines
                .iter()
                .map(|line| (line.position, line.open.balance()))
                .collect()
        };
        let promised: HashMap<_, _> = state
            .reservations()
            .map(|(id, reservation)| {
                let held = reservation.state() == ReservationState::Held;
                let binds = held || reservation.state() == ReservationState::Confirmed;
                (
                    id,
                    Promised {
                        lines: open(reservation.lines()),
                        held,
                        binds,
                    },
                )
            })
            .collect();
        let since_ms = if state.revision() == 0 {
            i64::MIN
        } else {
            state.now().get()
        };
        let mut tally = Self {
            stock: stock.collect(),
            promised: HashMap::new(),
            changed: Vec::new(),
            since_ms,
        };
        for one in promised.values() {
            tally.bind(one, 1);
        }
        tally.promised = promised;
        tally.changed.clear();
        tally
    }

    /// Adds what a reservation binds to the sums of its positions, or takes it away.
    fn bind(&mut self, promised: &Promised, sign: i64) {
        if !promised.binds {
            return;
        }
        for (position, open) in &promised.lines {
            if let Some(stock) = self.stock.get_mut(position.index()) {
                let (held, confirmed) = &mut stock.promised;
                *(if promised.held { held } else { confirmed }) += sign * open;
                self.changed.push(*position);
            }
        }
    }

    /// Changes a reservation, and the sums of its positions with it.
    fn rebind<R>(
        &mut self,
        id: ReservationId,
        change: impl FnOnce(&mut Promised) -> R,
    ) -> Option<R> {
        let mut promised = self.promised.remove(&id)?;
        self.bind(&promised, -1);
        let result = change(&mut promised);
        self.bind(&promised, 1);
        if promised.lines.iter().any(|(_, open)| *open != 0) {
            self.promised.insert(id, promised);
        }
        Some(result)
    }

    /// Positions whose promises the last record changed.
    pub(super) fn changed(&self) -> &[PositionId] {
        &self.changed
    }

    /// Counts the events of a record.
    pub(super) fn add(&mut self, record: &Record, mismatch: &mut dyn FnMut(Mismatch)) {
        self.changed.clear();
        let now = record.time.get();
        let mut left = 0;
        let mut moved_out = 0;
        for event in &record.events {
            match event {
                Event::Fulfilled(_, _, units) => left += units.balance(),
                Event::Moved {
                    delta,
                    kind: MoveKind::Fulfilled,
                    ..
                }
                | Event::MovedBeforeCount {
                    delta,
                    kind: MoveKind::Fulfilled,
                    ..
                } => moved_out -= delta,
                _ => {}
            }
            self.add_event(event, now, mismatch);
        }
        if left != moved_out {
            let what = "units fulfilled are not the units that left";
            mismatch(Mismatch {
                position: None,
                what,
                expected: left,
                found: moved_out,
            });
        }
    }

    fn add_event(&mut self, event: &Event, now: i64, mismatch: &mut dyn FnMut(Mismatch)) {
        self.check_times(event, mismatch);
        match event {
            Event::PositionCreated(..) => self.stock.push(Stock::default()),
            Event::Counted {
                position,
                status,
                counted,
                counted_at,
                on_hand,
            }
            | Event::CountTaken {
                position,
                status,
                counted,
                counted_at,
                on_hand,
            } => {
                let since_ms = self.since_ms;
                let Some(stock) = self.stock.get_mut(position.index()) else {
                    return;
                };
                let later: i64 = stock
                    .moves
                    .iter()
                    .filter(|(of, at, _)| of == status && *at > counted_at.get())
                    .map(|(_, _, delta)| delta)
                    .sum();
                let expected = counted.balance() + later;
                stock.on_hand[*status as usize] = *on_hand;
                if counted_at.get() >= since_ms && expected != *on_hand {
                    let what = "a count does not carry the movements after it";
                    let position = Some(*position);
                    mismatch(Mismatch {
                        position,
                        what,
                        expected,
                        found: *on_hand,
                    });
                }
            }
            Event::Moved {
                position,
                status,
                delta,
                at,
                ..
            } => {
                let Some(stock) = self.stock.get_mut(position.index()) else {
                    return;
                };
                stock.moved(*status, at.get(), *delta, now);
            }
            Event::Held(held) => {
                let lines = held
                    .lines
                    .iter()
                    .map(|line| (line.position, line.quantity.balance()));
                let promised = Promised {
                    lines: lines.collect(),
                    held: held.expires_at.is_some(),
                    binds: true,
                };
                self.bind(&promised, 1);
                self.promised.insert(held.reservation, promised);
            }
            Event::Confirmed(id) | Event::Reacquired(id, _) => {
                self.rebind(*id, |promised| {
                    promised.held = false;
                    promised.binds = true;
                });
            }
            Event::Fulfilled(id, line, units) | Event::Released(id, line, units) => {
                let open = self.rebind(*id, |promised| {
                    let (position, open) = promised.lines.get_mut(*line as usize)?;
                    *open -= units.balance();
                    Some((*position, *open))
                });
                if let Some((position, open)) = open.flatten().filter(|(_, open)| *open < 0) {
                    let what = "more left or was given back than was promised";
                    mismatch(Mismatch {
                        position: Some(position),
                        what,
                        expected: 0,
                        found: open,
                    });
                }
            }
            Event::Expired(id) => {
                self.rebind(*id, |promised| {
                    promised.held = false;
                    promised.binds = false;
                });
            }
            Event::Forgotten(id) | Event::Lapsed(id) => {
                if let Some(promised) = self.promised.remove(id) {
                    self.bind(&promised, -1);
                }
            }
            _ => {}
        }
    }

    /// A count ends what came before it: an older one may not follow it, a movement up to its time may not change the
    /// stock, and a later one must. Counts of the first form did not say so.
    fn check_times(&mut self, event: &Event, mismatch: &mut dyn FnMut(Mismatch)) {
        let (position, status, at) = match event {
            Event::CountTaken {
                position,
                status,
                counted_at: at,
                ..
            }
            | Event::Moved {
                position,
                status,
                at,
                ..
            }
            | Event::MovedBeforeCount {
                position,
                status,
                at,
                ..
            } => (*position, *status as usize, at.get()),
            _ => return,
        };
        let Some(stock) = self.stock.get_mut(position.index()) else {
            return;
        };
        let last = stock.counted_at[status];
        let (what, holds) = match event {
            Event::CountTaken { .. } => {
                stock.counted_at[status] = Some(at);
                let what = "a count is older than the one before it";
                (what, last.is_none_or(|last| at >= last))
            }
            // What is told of now comes after a count of the same millisecond.
            Event::Moved { .. } => {
                let what = "a movement before the last count was added to it";
                (what, last.is_none_or(|last| at >= last))
            }
            _ => {
                let what = "a movement after the last count was not added to it";
                (what, last.is_some_and(|last| at <= last))
            }
        };
        if !holds {
            mismatch(Mismatch {
                position: Some(position),
                what,
                expected: last.unwrap_or(0),
                found: at,
            });
        }
    }

    /// Compares the stock of a position.
    pub(super) fn check_stock(
        &self,
        state: &State,
        id: PositionId,
        mismatch: &mut dyn FnMut(Mismatch),
    ) {
        let counted = self
            .stock
            .get(id.index())
            .map_or([0; 3], |stock| stock.on_hand);
        for status in STATUSES {
            let (expected, found) = (counted[status as usize], state.position(id).on_hand(status));
            if expected != found {
                let what = "on hand is not the last count and the movements since";
                mismatch(Mismatch {
                    position: Some(id),
                    what,
                    expected,
                    found,
                });
            }
        }
    }

    /// Compares what is promised from a position with its timeline.
    pub(super) fn check_promised(
        &self,
        state: &State,
        id: PositionId,
        mismatch: &mut dyn FnMut(Mismatch),
    ) {
        let stock = self.stock.get(id.index());
        let (held, confirmed) = stock.map_or((0, 0), |stock| stock.promised);
        let (held_there, confirmed_there) = state.promised(id);
        let pairs = [
            ("held units do not match the reservations", held, held_there),
            (
                "confirmed units do not match the reservations",
                confirmed,
                confirmed_there,
            ),
        ];
        for (what, expected, found) in pairs {
            if expected != found.balance() {
                let found = found.balance();
                mismatch(Mismatch {
                    position: Some(id),
                    what,
                    expected,
                    found,
                });
            }
        }
    }
}
