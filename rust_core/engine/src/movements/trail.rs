//! Movements in few bytes: most lie shortly after the one before and move few units.

use super::Movement;
use crate::catalog_types::StockStatus;
use crate::ids::UtcMillis;

/// Bytes that one movement takes at most: its status with five bits of its units, the rest of them, its time.
const LONGEST: usize = 1 + 9 + 10;
/// The least by which a trail grows.
const LEAST: usize = 16;

/// Movements in the order told, about five bytes each. A busy partition keeps hundreds of millions of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    bytes: Vec<u8>,
    /// Time of the last movement: the next one is told by its distance.
    last: UtcMillis,
    count: u32,
}

impl Trail {
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Bytes that it takes beside itself.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether the next movement makes it grow.
    pub fn is_full(&self) -> bool {
        // Most movements take six bytes at most.
        self.bytes.len() + 6 > self.bytes.capacity()
    }

    pub fn push(&mut self, movement: Movement) {
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
        let distance = movement.at.get().wrapping_sub(self.last.get());
        number(zigzag(distance), &mut put);
        let free = self.bytes.capacity() - self.bytes.len();
        if free < at {
            // Doubling would waste a third of the memory.
            self.bytes
                .reserve_exact((self.bytes.len() / 4).max(LEAST).max(at));
        }
        self.bytes.extend_from_slice(&buffer[..at]);
        self.last = movement.at;
        self.count += 1;
    }

    /// Drops what lies before an instant, and leaves room for what comes: it is not gone through again at the next one.
    pub fn drop_before(&mut self, horizon: UtcMillis) {
        if !self.iter().any(|old| old.at < horizon) {
            return;
        }
        let mut recent: Self = self.iter().filter(|old| old.at >= horizon).collect();
        if recent.count > 0 {
            let room = (recent.bytes.len() / 4).max(LEAST);
            recent.bytes.reserve_exact(room);
        }
        *self = recent;
    }

    pub fn iter(&self) -> impl Iterator<Item = Movement> + '_ {
        let mut bytes = self.bytes.iter().copied();
        let mut last = 0i64;
        std::iter::from_fn(move || {
            let first = bytes.next()?;
            let mut units = u64::from(first >> 2 & 31);
            if first >> 7 == 1 {
                units |= read(&mut bytes) << 5;
            }
            last = last.wrapping_add(unzigzag(read(&mut bytes)));
            Some(Movement {
                at: UtcMillis::new(last),
                status: status(first & 3),
                delta: unzigzag(units),
            })
        })
    }
}

impl FromIterator<Movement> for Trail {
    fn from_iter<I: IntoIterator<Item = Movement>>(moves: I) -> Self {
        let mut trail = Self::default();
        for movement in moves {
            trail.push(movement);
        }
        trail
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

fn read(bytes: &mut impl Iterator<Item = u8>) -> u64 {
    let mut value = 0;
    for (byte, shift) in bytes.zip((0..64).step_by(7)) {
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
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

    #[test]
    fn an_hour_between_sales_of_a_few_units_takes_five_bytes_each() {
        let sale = |hour: i64| movement(1_790_000_000_000 + hour * 3_600_000, 0, -3);
        let trail: Trail = (0..1_000).map(sale).collect();
        assert_eq!(trail.bytes.len(), 5_000 + 2);
        assert!(trail.memory() < 6_300, "{}", trail.memory());
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
            let trail: Trail = moves.iter().copied().collect();
            prop_assert_eq!(trail.len(), moves.len());
            prop_assert_eq!(trail.iter().collect::<Vec<_>>(), moves);
        }
    }
}
