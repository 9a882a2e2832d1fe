//! Where the fold stands: encoded while the history is held, written while it goes on.

use std::path::PathBuf;

use postcard::ser_flavors::Flavor;

use super::book::Book;
use super::{CHECKPOINT, HistoryError, files};

/// Bytes of a piece. A vector that grows to all of it would be copied time and again, each time into memory that the
/// system has yet to give.
const PIECE_BYTES: usize = 256 << 10;

/// A checkpoint that is not written yet. The history may go on in the meantime.
#[derive(Debug)]
#[must_use = "it is not written yet"]
pub struct Checkpoint {
    directory: PathBuf,
    pieces: Vec<Vec<u8>>,
}

impl Checkpoint {
    pub(super) fn of(
        book: &Book,
        (directory, journal): &(PathBuf, [u8; 16]),
    ) -> Result<Self, HistoryError> {
        let mut pieces = postcard::serialize_with_flavor(book, Pieces::default())
            .map_err(|error| HistoryError::Encoding(error.to_string()))?;
        files::frame(journal, &mut pieces);
        Ok(Self {
            directory: directory.clone(),
            pieces,
        })
    }

    /// Writes it in place of the one before.
    ///
    /// # Errors
    /// `Io`: the one before is still there. [`History::checkpoint_failed`](super::History::checkpoint_failed) has it made again.
    pub fn write(self) -> Result<(), HistoryError> {
        files::replace(&self.directory, CHECKPOINT, &self.pieces)
    }
}

#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    /// A piece with room.
    fn last(&mut self) -> &mut Vec<u8> {
        if self.0.last().is_none_or(|last| last.len() == PIECE_BYTES) {
            self.0.push(Vec::with_capacity(PIECE_BYTES));
        }
        self.0.last_mut().expect("invariant: one was pushed")
    }
}

impl Flavor for Pieces {
    type Output = Vec<Vec<u8>>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.last().push(byte);
        Ok(())
    }

    fn try_extend(&mut self, mut bytes: &[u8]) -> postcard::Result<()> {
        while !bytes.is_empty() {
            let last = self.last();
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - last.len()));
            last.extend_from_slice(now);
            bytes = rest;
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_what_a_vector_would_be() {
        for bytes in [0, 1, PIECE_BYTES - 7, PIECE_BYTES, 3 * PIECE_BYTES + 5] {
            let value = (vec![7_u8; bytes], "and a word", vec![u64::MAX; 9]);
            let pieces = postcard::serialize_with_flavor(&value, Pieces::default());
            let pieces = pieces.expect("encodes");
            assert_eq!(
                pieces.concat(),
                postcard::to_stdvec(&value).expect("encodes")
            );
            let (_, full) = pieces.split_last().expect("there is one");
            assert!(
                full.iter().all(|piece| piece.len() == PIECE_BYTES),
                "{bytes} bytes"
            );
        }
    }
}
