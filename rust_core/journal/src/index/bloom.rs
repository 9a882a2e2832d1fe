//! A bloom filter over request ids: about 1 % false positives at 10 bits an id.

const BITS_PER_ID: u64 = 10;
const PROBES: u64 = 7;

/// The filter. Keyed by the journal's id, so that callers cannot choose colliding request ids.
#[derive(Debug)]
pub(super) struct Bloom {
    key: [u64; 2],
    bits: Vec<u8>,
}

impl Bloom {
    pub(super) fn with_room_for(ids: u64, journal_id: &[u8; 16]) -> Self {
        let bytes = (ids * BITS_PER_ID).div_ceil(8).max(8);
        Self::from_bytes(vec![0; bytes as usize], journal_id)
    }

    pub(super) fn from_bytes(bits: Vec<u8>, journal_id: &[u8; 16]) -> Self {
        let (low, high) = halves(journal_id);
        Self {
            key: [low, high],
            bits,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bits
    }

    pub(super) fn insert(&mut self, id: &[u8; 16]) {
        let places: Vec<u64> = self.places(id).collect();
        for place in places {
            self.bits[(place / 8) as usize] |= 1 << (place % 8);
        }
    }

    pub(super) fn may_contain(&self, id: &[u8; 16]) -> bool {
        self.places(id)
            .all(|place| self.bits[(place / 8) as usize] & (1 << (place % 8)) != 0)
    }

    fn places(&self, id: &[u8; 16]) -> impl Iterator<Item = u64> + use<> {
        let (low, high) = halves(id);
        let first = fold(low ^ self.key[0], high ^ 0x9e37_79b9_7f4a_7c15);
        let second = fold(high ^ self.key[1], low ^ 0xd1b5_4a32_d192_ed03) | 1;
        let bits = self.bits.len() as u64 * 8;
        (0..PROBES).map(move |probe| first.wrapping_add(second.wrapping_mul(probe)) % bits)
    }
}

fn halves(id: &[u8; 16]) -> (u64, u64) {
    let value = u128::from_le_bytes(*id);
    (value as u64, (value >> 64) as u64)
}

/// Both halves of the 128-bit product, mixed.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right | 1);
    let mixed = (product as u64) ^ ((product >> 64) as u64);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in_and_little_else() {
        let mut bloom = Bloom::with_room_for(10_000, &[5; 16]);
        for id in 0..10_000_u128 {
            bloom.insert(&id.to_le_bytes());
        }
        assert!((0..10_000_u128).all(|id| bloom.may_contain(&id.to_le_bytes())));
        let strangers = (10_000..30_000_u128).filter(|id| bloom.may_contain(&id.to_le_bytes()));
        let false_positives = strangers.count();
        assert!(false_positives < 400, "{false_positives} of 20000");
    }
}
