//! A gRPC client that costs less than the server that it measures: prebuilt header blocks, frames written into one buffer
//! for all calls of a connection, and no more of HTTP/2 than a load generator needs. What it does not know (header blocks
//! of several frames, pushes) is an error. Loading and Flight go over [`crate::grpc`], which knows all of it.

mod frames;
mod hpack;
mod state;
mod task;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio_rustls::TlsConnector;

use self::state::State;
use crate::grpc::{STREAM_ENDED, secured, socket};

/// One connection; clones share it. It ends with the last of them.
#[derive(Clone)]
pub struct Channel(Arc<Handle>);

/// The path of a method.
#[derive(Clone)]
pub struct Method(Arc<str>);

/// Messages both ways on one stream.
pub struct Stream(Call);

struct Handle(Arc<Mutex<State>>);

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.0).close();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder of this lock panics")
}

impl Channel {
    /// Within TLS where a connector is given.
    ///
    /// # Errors
    /// Nobody listens there, or its certificate is not one that the connector trusts.
    pub async fn connect(port: u16, tls: Option<&TlsConnector>) -> Result<Self> {
        let authority = format!("127.0.0.1:{port}");
        let state = Arc::new(Mutex::new(State::new(&authority, tls.is_some())));
        match tls {
            None => tokio::spawn(task::run(socket(port).await?, state.clone())),
            Some(tls) => tokio::spawn(task::run(secured(port, tls).await?, state.clone())),
        };
        Ok(Self(Arc::new(Handle(state))))
    }

    /// A method by its path, `/package.Service/Name`.
    pub fn method(&self, path: &str) -> Method {
        Method(path.into())
    }

    /// Whether it takes no more calls, as the server has said that it will end or has ended it.
    pub fn ends(&self) -> bool {
        lock(&self.0.0).ends.is_some()
    }

    /// One call with a message that already has its prefix; gives the answer's message.
    ///
    /// # Errors
    /// The call's status is not OK ([`crate::grpc::CallError`]), or the connection is lost.
    pub async fn unary(&mut self, method: &Method, message: &[u8]) -> Result<Bytes> {
        let call = self.open(method)?;
        call.state().send(call.id, message, true)?;
        let answer = call
            .receive()
            .await?
            .context("the call ended without an answer")?;
        ensure!(
            call.receive().await?.is_none(),
            "a unary call gave two answers"
        );
        Ok(answer)
    }

    /// Opens a stream of messages both ways.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn stream(&mut self, method: &Method) -> Result<Stream> {
        self.open(method).map(Stream)
    }

    fn open(&mut self, method: &Method) -> Result<Call> {
        let id = lock(&self.0.0).open(&method.0)?;
        Ok(Call {
            handle: self.0.clone(),
            id,
        })
    }
}

impl Stream {
    /// # Errors
    /// The server ended the stream, or the message is larger than this client sends.
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.0.state().send(self.0.id, message, false)
    }

    /// # Errors
    /// The stream ended, with or without an error of its own.
    pub async fn receive(&mut self) -> Result<Bytes> {
        self.0.receive().await?.context(STREAM_ENDED)
    }
}

/// A stream that is open; the server is told when nobody waits for its end.
struct Call {
    handle: Arc<Handle>,
    id: u32,
}

impl Call {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.handle.0)
    }

    async fn receive(&self) -> Result<Option<Bytes>> {
        poll_fn(|context| self.state().poll(self.id, context)).await
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.state().forget(self.id);
    }
}

#[cfg(test)]
mod tests;
