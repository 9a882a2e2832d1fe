//! XXH3 of a value's postcard form.

use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::short::{Short, Take};

/// Most commands are short, and hashed in one go: that costs a fraction of hashing them piece by piece.
pub(super) fn of(value: &impl Serialize) -> u64 {
    let mut bytes = Short::new(Long(None));
    // Every command has a postcard form, and gathering it cannot fail.
    let _ = bytes.write(value);
    match bytes.end() {
        (Long(None), all) => xxh3_64(all),
        (Long(Some(hash)), rest) => {
            hash.update(rest);
            hash.digest()
        }
    }
}

/// The hash of what does not fit.
struct Long(Option<Box<Xxh3Default>>);

impl Take for Long {
    fn take(&mut self, bytes: &[u8]) {
        let hash = self.0.get_or_insert_with(|| Box::new(Xxh3Default::new()));
        hash.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_bytes_however_many_they_are() {
        for length in [
            0, 1, 100, 252, 253, 254, 255, 256, 257, 511, 512, 513, 5_000,
        ] {
            let value = (7u32, "x".repeat(length), 300u64, vec![1u8; length / 2]);
            let bytes = postcard::to_extend(&value, Vec::new()).expect("it has a form");
            assert_eq!(of(&value), xxh3_64(&bytes), "{length}");
        }
    }
}
