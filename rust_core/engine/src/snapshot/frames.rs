//! Frames of a snapshot: written, and read with nothing in them trusted.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Between, Input, Output, SnapshotError};

/// A frame is never longer: no single value comes near.
const MAX_FRAME: usize = 64 << 20;
/// Values in one frame at most.
const BLOCK: usize = 1_024;
/// Bytes of values after which a frame ends: a thousand regions of all locations are hundreds of megabytes. Digests are of
/// the stream: frames that were readable before this was are cut nowhere else, but for the largest.
const BLOCK_BYTES: usize = MAX_FRAME / 2;
/// Values taken in one piece of work.
pub(super) const PIECE: usize = 64;
/// What a count makes room for before there are values: no more than is cheap should it be wrong.
const ROOM_MAX: u64 = 1 << 22;

pub(super) struct Writer<'a> {
    out: Output<'a>,
    buffer: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub fn new(out: Output<'a>) -> Self {
        let buffer = Vec::new();
        Self { out, buffer }
    }

    pub fn frame(&mut self, value: &impl Serialize) -> std::io::Result<()> {
        self.parts(value, &[])
    }

    /// A frame of a value and of what was encoded before.
    fn parts(&mut self, value: &impl Serialize, rest: &[u8]) -> std::io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; 4]);
        self.buffer = encoded(value, std::mem::take(&mut self.buffer))?;
        self.buffer.extend_from_slice(rest);
        let length = self.buffer.len() - 4;
        if length > MAX_FRAME {
            let what = format!("a frame of {length} bytes, which nobody would read");
            return Err(std::io::Error::other(what));
        }
        self.buffer[..4].copy_from_slice(&(length as u32).to_le_bytes());
        (self.out)(&self.buffer)
    }

    /// Values in frames, each as a vector would be: of so many values at most, and of so many bytes.
    pub fn section<T: Serialize>(
        &mut self,
        count: usize,
        values: impl Iterator<Item = T>,
    ) -> std::io::Result<()> {
        self.frame(&(count as u64))?;
        let (mut block, mut held) = (Vec::new(), 0_usize);
        for value in values {
            block = encoded(&value, block)?;
            held += 1;
            if held == BLOCK || block.len() >= BLOCK_BYTES {
                self.parts(&held, &block)?;
                block.clear();
                held = 0;
            }
        }
        if held > 0 {
            self.parts(&held, &block)?;
        }
        Ok(())
    }
}

/// A value behind what is there.
fn encoded(value: &impl Serialize, buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    postcard::to_extend(value, buffer).map_err(|error| std::io::Error::other(error.to_string()))
}

pub(super) struct Reader<'a> {
    input: Input<'a>,
    between: Between<'a>,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn new(input: Input<'a>, between: Between<'a>) -> Self {
        let buffer = Vec::new();
        Self {
            input,
            between,
            buffer,
        }
    }

    /// A piece of work is done.
    pub fn piece_done(&mut self) {
        (self.between)();
    }

    fn fill(&mut self, length: usize) -> Result<(), SnapshotError> {
        self.buffer.resize(length, 0);
        let mut at = 0;
        while at < length {
            self.piece_done();
            match (self.input)(&mut self.buffer[at..])? {
                0 => return Err(SnapshotError::Damaged("it ends in the middle")),
                n => at += n,
            }
        }
        Ok(())
    }

    pub fn frame<T: DeserializeOwned>(&mut self) -> Result<T, SnapshotError> {
        self.fill(4)?;
        let mut length = [0; 4];
        length.copy_from_slice(&self.buffer);
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(SnapshotError::Damaged(
                "a frame is longer than any frame may be",
            ));
        }
        self.fill(length)?;
        postcard::from_bytes(&self.buffer)
            .map_err(|_| SnapshotError::Damaged("a frame does not decode"))
    }

    pub fn section<T: DeserializeOwned>(
        &mut self,
        take: impl FnMut(T) -> Option<()>,
    ) -> Result<(), SnapshotError> {
        let count = self.frame()?;
        self.values(count, take)
    }

    /// The count that a section begins with, and for how many values to make room.
    pub fn count(&mut self) -> Result<(u64, usize), SnapshotError> {
        let count: u64 = self.frame()?;
        Ok((count, count.min(ROOM_MAX) as usize))
    }

    /// The values of a section.
    pub fn values<T: DeserializeOwned>(
        &mut self,
        count: u64,
        mut take: impl FnMut(T) -> Option<()>,
    ) -> Result<(), SnapshotError> {
        let mut left = count;
        while left > 0 {
            let block: Vec<T> = self.frame()?;
            if block.is_empty() || block.len() as u64 > left {
                return Err(SnapshotError::Damaged(
                    "a section has another length than it says",
                ));
            }
            left -= block.len() as u64;
            for (n, value) in block.into_iter().enumerate() {
                if n % PIECE == 0 {
                    self.piece_done();
                }
                take(value).ok_or(SnapshotError::Damaged(
                    "a value does not fit the ones before it",
                ))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames_of(values: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut take = |frame: &[u8]| {
            frames.push(frame.to_vec());
            Ok(())
        };
        let mut writer = Writer::new(&mut take);
        writer
            .section(values.len(), values.iter())
            .expect("written");
        frames
    }

    fn read(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let bytes = frames.concat();
        let mut rest = bytes.as_slice();
        let mut input = |buffer: &mut [u8]| std::io::Read::read(&mut rest, buffer);
        let mut between = || ();
        let mut reader = Reader::new(&mut input, &mut between);
        let mut values = Vec::new();
        reader
            .section(|value: Vec<u8>| {
                values.push(value);
                Some(())
            })
            .expect("readable");
        values
    }

    #[test]
    fn frames_hold_so_many_values_and_so_many_bytes() {
        // Small ones, and as many large ones as would make one frame that nobody reads.
        for (count, bytes, frames) in [(0, 0, 1), (1, 3, 2), (BLOCK, 3, 2), (BLOCK + 1, 3, 3)] {
            let values = vec![vec![7; bytes]; count];
            let made = frames_of(&values);
            assert_eq!(made.len(), frames, "{count} of {bytes} bytes");
            assert_eq!(read(&made), values);
        }
        const { assert!(400 * 180_000 > MAX_FRAME && 400 < BLOCK) };
        let values = vec![vec![7; 180_000]; 400];
        let made = frames_of(&values);
        assert!(
            made.iter()
                .all(|frame| frame.len() <= BLOCK_BYTES + 180_100)
        );
        assert_eq!(read(&made), values);
    }

    #[test]
    fn a_frame_is_written_as_its_vector_would_be() {
        let values: Vec<Vec<u8>> = (0..300).map(|n| vec![n as u8; n]).collect();
        let made = frames_of(&values);
        let plain = postcard::to_allocvec(&values).expect("encodes");
        assert_eq!(made[1][4..], plain);
    }

    #[test]
    fn what_nobody_would_read_is_not_written() {
        let mut take = |_: &[u8]| Ok(());
        let mut writer = Writer::new(&mut take);
        assert!(writer.frame(&vec![7_u8; MAX_FRAME]).is_err());
    }
}
