//! Frames of HTTP/2 (RFC 9113): the nine bytes before each, and what is in those that this client knows.

use anyhow::{Result, bail, ensure};

/// Bytes in a frame at most, of both sides, unless they agree on more.
pub const FRAME_FIRST: usize = 16_384;
pub const HEAD: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY: u8 = 0x20;

pub const TABLE_SIZE: u16 = 1;
pub const ENABLE_PUSH: u16 = 2;
pub const INITIAL_WINDOW: u16 = 4;
pub const CANCEL: u32 = 8;

/// The nine bytes before each frame.
pub struct Frame {
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub id: u32,
}

impl Frame {
    /// The first frame of what has arrived, when all of it is there.
    pub fn next(input: &[u8]) -> Result<Option<Self>> {
        let Some(&[a, b, c, kind, flags, i, j, k, l]) = input.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([0, a, b, c]);
        let len = len as usize;
        ensure!(
            len <= FRAME_FIRST,
            "a frame of {len} bytes, {FRAME_FIRST} are allowed"
        );
        let id = u32::from_be_bytes([i, j, k, l]) & (u32::MAX >> 1);
        Ok((input.len() >= HEAD + len).then_some(Self {
            len,
            kind,
            flags,
            id,
        }))
    }
}

pub fn head(len: u32, kind: u8, flags: u8, id: u32, out: &mut Vec<u8>) {
    let [_, a, b, c] = len.to_be_bytes();
    let [i, j, k, l] = id.to_be_bytes();
    out.extend([a, b, c, kind, flags, i, j, k, l]);
}

pub fn data(id: u32, message: &[u8], last: bool, out: &mut Vec<u8>) {
    head(
        message.len() as u32,
        DATA,
        u8::from(last) * END_STREAM,
        id,
        out,
    );
    out.extend(message);
}

pub fn window_update(id: u32, more: u32, out: &mut Vec<u8>) {
    head(4, WINDOW_UPDATE, 0, id, out);
    out.extend(more.to_be_bytes());
}

/// # Errors
/// The frame is too short.
pub fn number(bytes: &[u8]) -> Result<u32> {
    match bytes.first_chunk() {
        Some(bytes) => Ok(u32::from_be_bytes(*bytes)),
        None => bail!(
            "a frame of {} bytes where a number was expected",
            bytes.len()
        ),
    }
}

/// # Errors
/// There is more padding than frame.
pub fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8]> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let content = payload
        .split_first()
        .and_then(|(&padding, rest)| rest.get(..rest.len().checked_sub(usize::from(padding))?));
    match content {
        Some(content) => Ok(content),
        None => bail!("a frame with more padding than bytes"),
    }
}
