//! What a connection knows: its open streams, what is to be written, and what each frame that arrives means (RFC 9113).

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::task::{Context, Poll, Waker};

use anyhow::{Result, bail, ensure};
use bytes::{Bytes, BytesMut};

use super::frames::*;
use super::hpack::{Answers, Requests, Status, TABLE_BYTES};
use crate::grpc::{CallError, PREFIX, STREAM_ENDED, unframe, whole};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What we take, of a stream and of the connection.
const WINDOW: u32 = 16 << 20;
/// A window of either side before it says otherwise.
const WINDOW_FIRST: u32 = 65_535;

struct Open {
    messages: VecDeque<Bytes>,
    /// Of a message that came in several frames.
    partial: BytesMut,
    status: Status,
    ended: bool,
    sent_all: bool,
    waker: Option<Waker>,
    /// Bytes that the server takes, and bytes taken from it since it was last told.
    window: i64,
    taken: u32,
}

pub struct State {
    pub out: Vec<u8>,
    open: HashMap<u32, Open, BuildHasherDefault<ById>>,
    next_id: u32,
    requests: Requests,
    answers: Answers,
    window: i64,
    window_of_streams: i64,
    taken: u32,
    /// What no window allowed yet: stream, message, whether it is the last.
    held: VecDeque<(u32, Bytes, bool)>,
    io: Option<Waker>,
    /// Nobody is left who could ask.
    pub closed: bool,
    lost: Option<String>,
    /// No new call is taken.
    pub(super) ends: Option<String>,
}

impl State {
    pub fn new(authority: &str, tls: bool) -> Self {
        let mut out = PREFACE.to_vec();
        head(12, SETTINGS, 0, 0, &mut out);
        for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW, WINDOW)] {
            out.extend(name.to_be_bytes());
            out.extend(value.to_be_bytes());
        }
        window_update(0, WINDOW - WINDOW_FIRST, &mut out);
        Self {
            out,
            open: HashMap::default(),
            next_id: 1,
            requests: Requests::new(authority, tls),
            answers: Answers::default(),
            window: i64::from(WINDOW_FIRST),
            window_of_streams: i64::from(WINDOW_FIRST),
            taken: 0,
            held: VecDeque::new(),
            io: None,
            closed: false,
            lost: None,
            ends: None,
        }
    }

    /// Begins a call; its message is sent next.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn open(&mut self, path: &str) -> Result<u32> {
        self.usable()?;
        if let Some(why) = &self.ends {
            return Err(lost(why));
        }
        let id = self.next_id;
        self.next_id += 2;
        let at = self.out.len();
        head(0, HEADERS, END_HEADERS, id, &mut self.out);
        self.requests.write(path, &mut self.out)?;
        let len = (self.out.len() - at - HEAD) as u32;
        self.out[at..at + 3].copy_from_slice(&len.to_be_bytes()[1..]);
        self.open.insert(
            id,
            Open {
                messages: VecDeque::new(),
                partial: BytesMut::new(),
                status: Status::NotYet,
                ended: false,
                sent_all: false,
                waker: None,
                window: self.window_of_streams,
                taken: 0,
            },
        );
        self.wake_io();
        Ok(id)
    }

    /// # Errors
    /// The stream has ended, or the message is larger than one frame.
    pub fn send(&mut self, id: u32, message: &[u8], last: bool) -> Result<()> {
        self.usable()?;
        ensure!(
            message.len() <= FRAME_FIRST,
            "a message of {} bytes: this client sends {FRAME_FIRST} at most",
            message.len()
        );
        let needed = message.len() as i64;
        let stream = self.open.get_mut(&id).filter(|stream| !stream.ended);
        let Some(stream) = stream else {
            bail!("{STREAM_ENDED}");
        };
        if self.held.is_empty() && self.window >= needed && stream.window >= needed {
            self.window -= needed;
            stream.window -= needed;
            stream.sent_all = last;
            data(id, message, last, &mut self.out);
        } else {
            self.held
                .push_back((id, Bytes::copy_from_slice(message), last));
        }
        self.wake_io();
        Ok(())
    }

    /// The next message of a stream; nothing when it ended well.
    pub fn poll(&mut self, id: u32, context: &Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let Some(stream) = self.open.get_mut(&id) else {
            return Poll::Ready(Ok(None));
        };
        if let Some(message) = stream.messages.pop_front() {
            return Poll::Ready(Ok(Some(message)));
        }
        if stream.ended {
            let whole = stream.partial.is_empty();
            return Poll::Ready(match &stream.status {
                Status::Failed(error) => Err(error.clone().into()),
                _ if !whole => Err(anyhow::anyhow!("the stream ended inside a message")),
                Status::Ok => Ok(None),
                Status::NotYet => Err(anyhow::anyhow!("{STREAM_ENDED}")),
            });
        }
        if let Some(why) = &self.lost {
            return Poll::Ready(Err(lost(why)));
        }
        stream.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Nobody waits for this stream any more.
    pub fn forget(&mut self, id: u32) {
        let Some(stream) = self.open.remove(&id) else {
            return;
        };
        if !(stream.ended && stream.sent_all) && self.lost.is_none() {
            head(4, RST_STREAM, 0, id, &mut self.out);
            self.out.extend(CANCEL.to_be_bytes());
            self.wake_io();
        }
    }

    /// Takes whole frames from what has arrived; tells how many bytes they were.
    ///
    /// # Errors
    /// The server ended the connection, or broke the protocol.
    pub fn input(&mut self, input: &[u8]) -> Result<usize> {
        let mut taken = 0;
        while let Some(frame) = Frame::next(&input[taken..])? {
            let end = taken + HEAD + frame.len;
            self.frame(&frame, &input[taken + HEAD..end])?;
            taken = end;
        }
        self.send_held();
        Ok(taken)
    }

    /// The connection has ended: whoever waits is told.
    pub fn fail(&mut self, why: String) {
        self.lost.get_or_insert(why);
        for stream in self.open.values_mut() {
            if let Some(waker) = stream.waker.take() {
                waker.wake();
            }
        }
    }

    /// No call will come any more.
    pub fn close(&mut self) {
        self.closed = true;
        self.wake_io();
    }

    /// The task that reads and writes waits for something to be written.
    pub fn io_waits(&mut self, waker: &Waker) {
        self.io = Some(waker.clone());
    }

    fn wake_io(&mut self) {
        if let Some(waker) = self.io.take() {
            waker.wake();
        }
    }

    fn usable(&self) -> Result<()> {
        match &self.lost {
            None => Ok(()),
            Some(why) => Err(lost(why)),
        }
    }

    fn frame(&mut self, frame: &Frame, payload: &[u8]) -> Result<()> {
        match frame.kind {
            DATA => self.data(frame, payload)?,
            HEADERS => {
                ensure!(frame.flags & END_HEADERS != 0, "headers of several frames");
                let skipped = if frame.flags & PRIORITY != 0 { 5 } else { 0 };
                let block = unpadded(frame.flags, payload)?;
                ensure!(block.len() >= skipped, "headers without their priority");
                // It is read even when nobody waits: the table of headers changes with it.
                let status = self.answers.read(&block[skipped..])?;
                if let Some(stream) = self.open.get_mut(&frame.id) {
                    if status != Status::NotYet {
                        stream.status = status;
                    }
                    stream.end_with(frame.flags);
                }
            }
            RST_STREAM => {
                let code = number(payload)?;
                if let Some(stream) = self.open.get_mut(&frame.id) {
                    // A server that has answered may ask for no more of the question.
                    if stream.status == Status::NotYet {
                        stream.status = Status::Failed(CallError {
                            code: tonic::Code::Unavailable,
                            message: format!("the server reset the stream, HTTP/2 error {code}"),
                        });
                    }
                    stream.sent_all = true;
                    stream.end_with(END_STREAM);
                }
            }
            SETTINGS if frame.flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let name = u16::from_be_bytes([setting[0], setting[1]]);
                    self.setting(name, number(&setting[2..])?)?;
                }
                head(0, SETTINGS, ACK, 0, &mut self.out);
            }
            PING if frame.flags & ACK == 0 => {
                head(8, PING, ACK, 0, &mut self.out);
                self.out.extend(payload);
            }
            GOAWAY => self.goes_away(number(payload)? & (u32::MAX >> 1)),
            WINDOW_UPDATE => {
                let more = i64::from(number(payload)? & (u32::MAX >> 1));
                if frame.id == 0 {
                    self.window += more;
                } else if let Some(stream) = self.open.get_mut(&frame.id) {
                    stream.window += more;
                }
            }
            PUSH_PROMISE | CONTINUATION => bail!("frames of kind {}", frame.kind),
            _ => {}
        }
        Ok(())
    }

    /// Calls up to this one are still answered.
    fn goes_away(&mut self, last: u32) {
        const WHY: &str = "the server ends the connection";
        self.ends.get_or_insert(WHY.to_owned());
        for stream in self.open.iter_mut().filter(|(id, _)| **id > last) {
            stream.1.status = Status::Failed(CallError {
                code: tonic::Code::Unavailable,
                message: WHY.to_owned(),
            });
            stream.1.end_with(END_STREAM);
        }
    }

    fn setting(&mut self, name: u16, value: u32) -> Result<()> {
        match name {
            TABLE_SIZE => ensure!(
                value >= TABLE_BYTES,
                "the server keeps {value} bytes of headers, {TABLE_BYTES} are needed"
            ),
            INITIAL_WINDOW => {
                let more = i64::from(value) - self.window_of_streams;
                self.window_of_streams += more;
                for stream in self.open.values_mut() {
                    stream.window += more;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn data(&mut self, frame: &Frame, payload: &[u8]) -> Result<()> {
        self.taken += frame.len as u32;
        if self.taken > WINDOW / 2 {
            window_update(0, std::mem::take(&mut self.taken), &mut self.out);
        }
        let payload = unpadded(frame.flags, payload)?;
        let Some(stream) = self.open.get_mut(&frame.id) else {
            return Ok(());
        };
        stream.taken += frame.len as u32;
        if stream.taken > WINDOW / 2 {
            window_update(frame.id, std::mem::take(&mut stream.taken), &mut self.out);
        }
        // The common case is one whole message a frame.
        if stream.partial.is_empty() && whole(payload) {
            stream
                .messages
                .push_back(Bytes::copy_from_slice(&payload[PREFIX..]));
        } else {
            stream.partial.extend_from_slice(payload);
            while let Some(message) = unframe(&mut stream.partial) {
                stream.messages.push_back(message);
            }
        }
        stream.end_with(frame.flags);
        // One wait for a whole answer: its end follows at once. A stream without one has messages to be taken.
        if stream.ended || !stream.sent_all {
            stream.wake();
        }
        Ok(())
    }

    fn send_held(&mut self) {
        for _ in 0..self.held.len() {
            let Some((id, message, last)) = self.held.pop_front() else {
                return;
            };
            let needed = message.len() as i64;
            let Some(stream) = self.open.get_mut(&id) else {
                continue;
            };
            if self.window >= needed && stream.window >= needed {
                self.window -= needed;
                stream.window -= needed;
                stream.sent_all = last;
                data(id, &message, last, &mut self.out);
            } else {
                self.held.push_back((id, message, last));
            }
        }
    }
}

impl Open {
    fn end_with(&mut self, flags: u8) {
        if flags & END_STREAM != 0 {
            self.ended = true;
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn lost(why: &str) -> anyhow::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, why.to_owned()).into()
}

/// Numbers of streams need no mixing.
#[derive(Default)]
pub struct ById(u64);

impl Hasher for ById {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u32(&mut self, id: u32) {
        // Every one is odd; the table looks at both ends of the word.
        self.0 = u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
