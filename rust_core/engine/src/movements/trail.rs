//! Movements in few bytes: most lie shortly after the one before and move few units.

use std::num::NonZeroU32;

use super::Movement;
use crate::catalog_types::StockStatus;
use crate::ids::UtcMillis;
use crate::slab::Slab;

/// Bytes that one movement takes at most: its status with five bits of its units, the rest of them, its time.
const LONGEST: usize = 1 + 9 + 10;
/// Bytes of movements in a piece, so that a piece takes half a cache line.
const ROOM: usize = 27;

/// Movements that came one after the other. None lies in two pieces.
#[derive(Clone, Debug)]
struct Piece {
    /// The slot of the next one and one more; the largest number in the last one.
    next: NonZeroU32,
    used: u8,
    bytes: [u8; ROOM],
}

const NO_PIECE: NonZeroU32 = NonZeroU32::MAX;

/// The pieces of all trails. They are of one size, so that trails that grow for days leave no holes behind which
/// nothing else fits into, and what they take can be told to the byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces(Slab<Piece>);

impl Pieces {
    /// Bytes that they take.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }

    fn add(&mut self, bytes: &[u8]) -> NonZeroU32 {
        let mut piece = Piece {
            next: NO_PIECE,
            used: 0,
            bytes: [0; ROOM],
        };
        piece.put(bytes);
        NonZeroU32::MIN.saturating_add(self.0.insert(piece))
    }

    fn get(&self, piece: NonZeroU32) -> Option<&Piece> {
        self.0.get(piece.get() - 1)
    }

    fn get_mut(&mut self, piece: NonZeroU32) -> Option<&mut Piece> {
        self.0.get_mut(piece.get() - 1)
    }

    fn remove(&mut self, piece: NonZeroU32) -> Option<Piece> {
        self.0.remove(piece.get() - 1)
    }
}

impl Piece {
    fn put(&mut self, bytes: &[u8]) {
        let at = usize::from(self.used);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len() as u8;
    }

    fn has_room_for(&self, bytes: &[u8]) -> bool {
        usize::from(self.used) + bytes.len() <= ROOM
    }

    /// Its movements, the first of them told by its distance from `last`.
    fn iter(&self, last: UtcMillis) -> Decoder<'_> {
        Decoder {
            bytes: self.bytes[..usize::from(self.used)].iter(),
            last: last.get(),
        }
    }
}

/// Movements from bytes.
struct Decoder<'a> {
    bytes: std::slice::Iter<'a, u8>,
    last: i64,
}

impl Iterator for Decoder<'_> {
    type Item = Movement;

    fn next(&mut self) -> Option<Movement> {
        let first = *self.bytes.next()?;
        let mut units = u64::from(first >> 2 & 31);
        if first >> 7 == 1 {
            units |= self.number() << 5;
        }
        self.last = self.last.wrapping_add(unzigzag(self.number()));
        Some(Movement {
            at: UtcMillis::new(self.last),
            status: status(first & 3),
            delta: unzigzag(units),
        })
    }
}

impl Decoder<'_> {
    fn number(&mut self) -> u64 {
        let mut value = 0;
        for (byte, shift) in self.bytes.by_ref().zip((0..64).step_by(7)) {
            value |= u64::from(byte & 127) << shift;
            if *byte < 128 {
                break;
            }
        }
        value
    }
}

/// Movements of a trail.
struct Moves<'a> {
    pieces: &'a Pieces,
    next: NonZeroU32,
    decoder: Decoder<'a>,
}

impl Iterator for Moves<'_> {
    type Item = Movement;

    fn next(&mut self) -> Option<Movement> {
        loop {
            if let Some(movement) = self.decoder.next() {
                return Some(movement);
            }
            let piece = self.pieces.get(self.next)?;
            self.next = piece.next;
            self.decoder = piece.iter(UtcMillis::new(self.decoder.last));
        }
    }
}

/// Movements in the order told, about six bytes each. A busy partition keeps hundreds of millions of them.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    first: NonZeroU32,
    last: NonZeroU32,
    count: u32,
    /// The first movement is told by its distance from here: the one before it was dropped.
    before: UtcMillis,
    /// Time of the last movement: the next one is told by its distance.
    newest: UtcMillis,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            first: NO_PIECE,
            last: NO_PIECE,
            count: 0,
            before: UtcMillis::ZERO,
            newest: UtcMillis::ZERO,
        }
    }
}

impl Trail {
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Adds a movement, and drops the oldest pieces that hold nothing since `horizon` where it needs a new one: what
    /// is old goes as fast as the new comes.
    pub fn push(&mut self, movement: Movement, horizon: UtcMillis, pieces: &mut Pieces) {
        let mut buffer = [0; LONGEST];
        let mut at = 0;
        let mut put = |byte| {
            buffer[at] = byte;
            at += 1;
        };
        let units = zigzag(movement.delta);
        let first = (movement.status as u8) | ((units as u8 & 31) << 2);
        let rest = units >> 5;
        put(first | (u8::from(rest > 0) << 7));
        if rest > 0 {
            number(rest, &mut put);
        }
        let distance = movement.at.get().wrapping_sub(self.newest.get());
        number(zigzag(distance), &mut put);
        let bytes = &buffer[..at];
        match pieces
            .get_mut(self.last)
            .filter(|last| last.has_room_for(bytes))
        {
            Some(last) => last.put(bytes),
            None => {
                let added = pieces.add(bytes);
                if let Some(last) = pieces.get_mut(self.last) {
                    last.next = added;
                } else {
                    self.first = added;
                }
                self.last = added;
                self.drop_oldest(horizon, pieces);
            }
        }
        self.newest = movement.at;
        self.count += 1;
    }

    /// Drops whole pieces from the oldest on, as long as nothing in them is as new as `horizon`, but never the last.
    fn drop_oldest(&mut self, horizon: UtcMillis, pieces: &mut Pieces) {
        while self.first != self.last
            && let Some(piece) = pieces.get(self.first)
        {
            let (mut count, mut last) = (0, self.before);
            for old in piece.iter(self.before) {
                if old.at >= horizon {
                    return;
                }
                (count, last) = (count + 1, old.at);
            }
            (self.before, self.count) = (last, self.count - count);
            let next = piece.next;
            pieces.remove(self.first);
            self.first = next;
        }
    }

    /// Drops what lies before an instant.
    pub fn drop_before(&mut self, horizon: UtcMillis, pieces: &mut Pieces) {
        if self.iter(pieces).any(|old| old.at < horizon) {
            let recent: Vec<_> = self.iter(pieces).filter(|old| old.at >= horizon).collect();
            self.replace(recent, pieces);
        }
    }

    /// Puts these movements in the place of all.
    pub fn replace(&mut self, moves: impl IntoIterator<Item = Movement>, pieces: &mut Pieces) {
        self.clear(pieces);
        for movement in moves {
            self.push(movement, UtcMillis::new(i64::MIN), pieces);
        }
    }

    /// Drops all: a trail that is not cleared keeps its pieces for good.
    pub fn clear(&mut self, pieces: &mut Pieces) {
        let mut first = std::mem::take(self).first;
        while let Some(piece) = pieces.remove(first) {
            first = piece.next;
        }
    }

    pub fn iter<'a>(&self, pieces: &'a Pieces) -> impl Iterator<Item = Movement> + use<'a> {
        Moves {
            pieces,
            next: self.first,
            decoder: Decoder {
                bytes: [].iter(),
                last: self.before.get(),
            },
        }
    }
}

fn status(code: u8) -> StockStatus {
    match code {
        0 => StockStatus::Unrestricted,
        1 => StockStatus::Quality,
        _ => StockStatus::Blocked,
    }
}

/// Small numbers of either sign as small ones.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Seven bits a byte, the lowest first.
fn number(mut value: u64, put: &mut impl FnMut(u8)) {
    while value >= 128 {
        put(value as u8 | 128);
        value >>= 7;
    }
    put(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn movement(at: i64, code: u8, delta: i64) -> Movement {
        Movement {
            at: UtcMillis::new(at),
            status: status(code),
            delta,
        }
    }

    const LONG_AGO: UtcMillis = UtcMillis::new(i64::MIN);

    fn trail_of(
        moves: impl IntoIterator<Item = Movement>,
        horizon: UtcMillis,
        pieces: &mut Pieces,
    ) -> Trail {
        let mut trail = Trail::default();
        for movement in moves {
            trail.push(movement, horizon, pieces);
        }
        trail
    }

    fn sale(hour: i64) -> Movement {
        movement(1_790_000_000_000 + hour * 3_600_000, 0, -3)
    }

    #[test]
    fn an_hour_between_sales_of_a_few_units_takes_six_and_a_half_bytes_each() {
        let mut pieces = Pieces::default();
        trail_of((0..1_000).map(sale), LONG_AGO, &mut pieces);
        assert_eq!(size_of::<Piece>(), 32);
        assert_eq!(pieces.0.len(), 200, "five a piece");
    }

    #[test]
    fn pieces_that_hold_nothing_recent_go_as_new_ones_come() {
        let mut pieces = Pieces::default();
        let mut trail = trail_of((0..100).map(sale), LONG_AGO, &mut pieces);
        assert_eq!(pieces.0.len(), 20);
        // It lies between others of its piece, which stays whole.
        let horizon = sale(52).at;
        for hour in 100..105 {
            trail.push(sale(hour), horizon, &mut pieces);
        }
        let left: Vec<_> = trail.iter(&pieces).collect();
        assert_eq!(left, (50..105).map(sale).collect::<Vec<_>>());
        assert_eq!(trail.len(), left.len());
        trail.drop_before(horizon, &mut pieces);
        let left: Vec<_> = trail.iter(&pieces).collect();
        assert_eq!(left, (52..105).map(sale).collect::<Vec<_>>());
        trail.clear(&mut pieces);
        assert_eq!((trail.len(), pieces.0.len()), (0, 0));
        assert_eq!(trail.iter(&pieces).next(), None);
    }

    /// Near to what is usual, and anything at all: a snapshot that is read may hold it.
    fn any_movement() -> impl Strategy<Value = Movement> {
        let time = prop_oneof![1_790_000_000_000..1_790_600_000_000i64, any::<i64>()];
        let delta = prop_oneof![-40..40i64, any::<i64>()];
        (time, 0..3u8, delta).prop_map(|(at, code, delta)| movement(at, code, delta))
    }

    proptest! {
        #[test]
        fn every_movement_comes_back(moves in prop::collection::vec(any_movement(), 0..200)) {
            let mut pieces = Pieces::default();
            // Two that grow in turns lie in each other's midst.
            let (mut trail, mut other) = (Trail::default(), Trail::default());
            for movement in &moves {
                trail.push(*movement, LONG_AGO, &mut pieces);
                other.push(*movement, LONG_AGO, &mut pieces);
            }
            other.clear(&mut pieces);
            prop_assert_eq!(trail.len(), moves.len());
            prop_assert_eq!(trail.iter(&pieces).collect::<Vec<_>>(), moves);
        }

        #[test]
        fn nothing_recent_is_dropped(
            moves in prop::collection::vec(any_movement(), 0..200),
            horizon in 1_790_000_000_000..1_790_600_000_000i64,
        ) {
            let (mut pieces, horizon) = (Pieces::default(), UtcMillis::new(horizon));
            let trail = trail_of(moves.iter().copied(), horizon, &mut pieces);
            let left: Vec<_> = trail.iter(&pieces).collect();
            prop_assert_eq!(trail.len(), left.len());
            prop_assert!(moves.ends_with(&left));
            let dropped = &moves[..moves.len() - left.len()];
            prop_assert!(dropped.iter().all(|old| old.at < horizon));
        }
    }
}
