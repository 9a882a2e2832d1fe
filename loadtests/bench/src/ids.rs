//! Request ids: UUID version 7 as 36 characters, written without a heap or a system call each.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::rng::Rng;

pub const ID_LEN: usize = 36;

/// Makes ids that differ within and between runs.
pub struct Ids {
    rng: Rng,
    millis: u64,
    drawn: u32,
}

impl Ids {
    /// `salt` tells apart the makers of one process.
    pub fn new(salt: u64) -> Self {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let pid = u64::from(std::process::id());
        Self {
            rng: Rng::new(nanos as u64 ^ (pid << 40) ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            millis: 0,
            drawn: 0,
        }
    }

    pub fn next_bytes(&mut self) -> [u8; 16] {
        // The clock is read once in 64 ids: the age may be off by that little.
        if self.drawn.is_multiple_of(64) {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            self.millis = now.as_millis() as u64;
        }
        self.drawn = self.drawn.wrapping_add(1);
        let mut id = [0; 16];
        id[..6].copy_from_slice(&self.millis.to_be_bytes()[2..]);
        let high = self.rng.next_u64();
        id[6..8].copy_from_slice(&(0x7000 | (high as u16 & 0x0FFF)).to_be_bytes());
        let low = (self.rng.next_u64() & 0x3FFF_FFFF_FFFF_FFFF) | 0x8000_0000_0000_0000;
        id[8..].copy_from_slice(&low.to_be_bytes());
        id
    }

    pub fn next_text(&mut self) -> [u8; ID_LEN] {
        text(&self.next_bytes())
    }
}

pub fn text(id: &[u8; 16]) -> [u8; ID_LEN] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = [b'-'; ID_LEN];
    let mut at = 0;
    for (index, byte) in id.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            at += 1;
        }
        out[at] = HEX[usize::from(byte >> 4)];
        out[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_version_7_uuids() {
        let mut ids = Ids::new(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            let id = ids.next_text();
            let id = std::str::from_utf8(&id).unwrap().to_owned();
            assert_eq!(id.as_bytes()[14], b'7', "{id}");
            assert!(
                matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'),
                "{id}"
            );
            for dash in [8, 13, 18, 23] {
                assert_eq!(id.as_bytes()[dash], b'-', "{id}");
            }
            assert!(seen.insert(id));
        }
    }

    #[test]
    fn the_text_is_the_bytes_in_hex() {
        let id = std::array::from_fn(|i| i as u8 * 17);
        assert_eq!(&text(&id), b"00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn the_time_in_an_id_is_now() {
        let id = Ids::new(2).next_bytes();
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&id[..6]);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64;
        assert!(now.abs_diff(u64::from_be_bytes(millis)) < 10_000);
    }
}
