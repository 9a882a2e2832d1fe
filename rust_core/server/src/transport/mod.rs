//! Connections: accepted, limited, handed to hyper, asked to close, and ended.

pub(crate) mod blocking;
pub mod body;
pub mod deadline;
pub mod dispatch;
mod io;
pub mod message;
pub mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::dormant::Dormant;
use crate::metrics::Turned;
use crate::shared::Shared;
use io::Watched;

/// Pause after the system refused to accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Streams that a caller may reset before they were taken up.
const PENDING_RESETS_MAX: usize = 64;
/// Window of one stream and of one connection, bytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Accepts connections until the server drains.
pub(crate) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut draining = shared.draining.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = Seat::take(&shared) else {
            shared.metrics.turned_away(Turned::Limit);
            continue;
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            greet(stream, tls, &seat.shared).await;
            drop(seat);
        });
    }
}

/// A place among the connections.
struct Seat {
    shared: Arc<Shared>,
}

impl Seat {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let taken = shared.metrics.connections.fetch_add(1, Ordering::AcqRel);
        let seat = Self {
            shared: Arc::clone(shared),
        };
        if usize::try_from(taken).is_ok_and(|taken| taken < shared.limits.connections) {
            shared
                .metrics
                .connections_opened
                .fetch_add(1, Ordering::Relaxed);
            return Some(seat);
        }
        None
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared
            .metrics
            .connections
            .fetch_sub(1, Ordering::AcqRel);
        self.shared.left.notify_waiters();
    }
}

async fn greet(stream: TcpStream, tls: Option<TlsAcceptor>, shared: &Arc<Shared>) {
    // Answers are small and waited for: they are sent at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot send small answers at once");
    }
    let Some(tls) = tls else {
        return serve(stream, shared).await;
    };
    let patience = Duration::from_millis(shared.limits.handshake_ms);
    match timeout(patience, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, shared).await,
        Ok(Err(error)) => refused(shared, Turned::Handshake, &error.to_string()),
        Err(_) => refused(shared, Turned::Timeout, "it took too long"),
    }
}

fn refused(shared: &Shared, turned: Turned, why: &str) {
    shared.metrics.turned_away(turned);
    tracing::debug!(why, "a handshake failed");
}

async fn serve<T: AsyncRead + AsyncWrite + Unpin + 'static>(stream: T, shared: &Arc<Shared>) {
    let limits = &shared.limits;
    let (stream, greeted) = Watched::new(stream);
    let requests = Arc::clone(shared);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&requests);
        async move { Ok::<_, Infallible>(dispatch::answer(&shared, request).await) }
    });
    let keep_alive =
        (limits.keep_alive_ms > 0).then(|| Duration::from_millis(limits.keep_alive_ms));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(limits.concurrent_streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(keep_alive)
        .keep_alive_timeout(Duration::from_millis(limits.keep_alive_timeout_ms))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut end = Dormant::new(Box::pin(end(shared, &greeted)));
    let mut closing: Option<Pin<Box<tokio::time::Sleep>>> = None;
    let result = std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        if closing.is_none()
            && let Poll::Ready(grace) = Pin::new(&mut end).poll(cx)
        {
            let Some(grace) = grace else {
                return Poll::Ready(None);
            };
            connection.as_mut().graceful_shutdown();
            closing = Some(Box::pin(sleep(grace)));
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
        }
        match &mut closing {
            Some(grace) => grace.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await;
    if let Some(Err(error)) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Waits until the connection should close: gives the time that its calls then have, or `None` to close at once.
async fn end(shared: &Shared, greeted: &std::sync::atomic::AtomicBool) -> Option<Duration> {
    let limits = &shared.limits;
    let mut draining = shared.draining.subscribe();
    let patience = Duration::from_millis(limits.handshake_ms);
    let drained = timeout(patience, draining.wait_for(|draining| *draining))
        .await
        .is_ok();
    if !drained && !greeted.load(Ordering::Acquire) {
        refused(shared, Turned::Timeout, "no client preface came");
        return None;
    }
    if drained {
        return Some(shared.drain);
    }
    let age = match limits.connection_age_ms {
        0 => Duration::MAX,
        // Connections that came together shall not all leave together.
        ms => Duration::from_millis(ms.saturating_add(shared.jitter() % (ms / 10).max(1)))
            .saturating_sub(patience),
    };
    match timeout(age, draining.wait_for(|draining| *draining)).await {
        Ok(_) => Some(shared.drain),
        Err(_) => Some(Duration::from_millis(limits.connection_grace_ms)),
    }
}
