//! XXH3 of a value's postcard form.

use serde::Serialize;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Bytes of most commands: those are hashed in one go, which costs a fraction of hashing them piece by piece.
const SHORT: usize = 256;

pub(super) fn of(value: &impl Serialize) -> u64 {
    let mut bytes = Bytes {
        short: [0; SHORT],
        length: 0,
        long: None,
    };
    // Writing into a hash cannot fail, and every command has a postcard form.
    let _ = postcard::serialize_with_flavor::<_, _, ()>(value, &mut bytes);
    let rest = &bytes.short[..bytes.length];
    match bytes.long {
        None => xxh3_64(rest),
        Some(mut hash) => {
            hash.update(rest);
            hash.digest()
        }
    }
}

struct Bytes {
    short: [u8; SHORT],
    length: usize,
    /// All that came before `short`.
    long: Option<Box<Xxh3Default>>,
}

impl Bytes {
    #[cold]
    fn make_room(&mut self) {
        let hash = self
            .long
            .get_or_insert_with(|| Box::new(Xxh3Default::new()));
        hash.update(&self.short[..self.length]);
        self.length = 0;
    }
}

impl postcard::ser_flavors::Flavor for &mut Bytes {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if self.length == SHORT {
            self.make_room();
        }
        self.short[self.length] = byte;
        self.length += 1;
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        for piece in bytes.chunks(SHORT) {
            if piece.len() > SHORT - self.length {
                self.make_room();
            }
            self.short[self.length..self.length + piece.len()].copy_from_slice(piece);
            self.length += piece.len();
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
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
