//! Reads and writes one connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use anyhow::{Result, bail};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lock;
use super::state::State;

/// More than the largest frame that a server may send unasked.
const INPUT_BYTES: usize = 64 << 10;

/// Ends with the connection, or with the last who could ask.
pub async fn run<T: AsyncRead + AsyncWrite + Unpin>(stream: T, state: Arc<Mutex<State>>) {
    let mut task = Task {
        stream,
        input: vec![0; INPUT_BYTES].into(),
        filled: 0,
        output: Vec::new(),
        written: 0,
    };
    let ended = poll_fn(|context| task.poll(&state, context)).await;
    let why = match ended {
        Ok(()) => "the client closed the connection".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    lock(&state).fail(why);
}

struct Task<T> {
    stream: T,
    input: Box<[u8]>,
    filled: usize,
    output: Vec<u8>,
    written: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Task<T> {
    fn poll(&mut self, state: &Mutex<State>, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let more = self.write(state, context)?;
            if self.read(state, context)? {
                // What arrived may have to be acknowledged.
                continue;
            }
            let mut state = lock(state);
            if more || state.out.is_empty() {
                if state.closed && !more {
                    return Poll::Ready(Ok(()));
                }
                state.io_waits(context.waker());
                return Poll::Pending;
            }
        }
    }

    /// Writes what it can; whether the socket takes no more just now.
    fn write(&mut self, state: &Mutex<State>, context: &mut Context<'_>) -> Result<bool> {
        loop {
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                std::mem::swap(&mut self.output, &mut lock(state).out);
                if self.output.is_empty() {
                    return Ok(Pin::new(&mut self.stream).poll_flush(context)?.is_pending());
                }
            }
            let rest = &self.output[self.written..];
            match Pin::new(&mut self.stream).poll_write(context, rest)? {
                Poll::Ready(0) => bail!("the connection takes no more"),
                Poll::Ready(count) => self.written += count,
                Poll::Pending => return Ok(true),
            }
        }
    }

    /// Reads once; whether anything arrived.
    fn read(&mut self, state: &Mutex<State>, context: &mut Context<'_>) -> Result<bool> {
        let mut rest = ReadBuf::new(&mut self.input[self.filled..]);
        match Pin::new(&mut self.stream).poll_read(context, &mut rest)? {
            Poll::Pending => return Ok(false),
            Poll::Ready(()) if rest.filled().is_empty() => {
                bail!("the server closed the connection")
            }
            Poll::Ready(()) => self.filled += rest.filled().len(),
        }
        let taken = lock(state).input(&self.input[..self.filled])?;
        self.input.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        Ok(true)
    }
}
