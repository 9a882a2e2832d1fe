//! Memory for whole segments.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Bytes beside the allocator's own, given back to the system when they are dropped. Among its own, a segment needs 64 MiB
/// in one piece, for a moment with each snapshot: between what lives there are soon none, and the memory of a server
/// grows by one more.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// `None` is empty.
    map: Option<MmapMut>,
    len: usize,
}

impl Buffer {
    /// Makes it so long; of what it holds then nothing is said.
    ///
    /// # Errors
    /// The system has no memory.
    pub(crate) fn resize(&mut self, len: usize) -> io::Result<()> {
        if self.map.as_ref().map_or(0, |map| map.len()) < len {
            // Not both at a time.
            *self = Self::default();
            self.map = Some(MmapMut::map_anon(len)?);
        }
        self.len = len;
        Ok(())
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.map.as_mut().map_or(&mut [], |map| &mut map[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_as_long_as_it_was_made_last() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty());
        for len in [0, 1, 70_000, 512, 0, 70_001] {
            buffer.resize(len).expect("there is memory");
            assert_eq!(buffer.len(), len);
            buffer.fill(7);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn what_is_shorter_takes_no_new_memory() {
        let mut buffer = Buffer::default();
        buffer.resize(70_000).expect("there is memory");
        let first = buffer.as_ptr();
        buffer.resize(512).expect("it is there");
        buffer.resize(70_000).expect("it is there");
        assert_eq!(buffer.as_ptr(), first);
    }
}
