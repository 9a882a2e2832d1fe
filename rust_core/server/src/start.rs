//! Starts the server and gives its handle.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

use crate::api::Api;
use crate::config::{ConfigError, ServerConfig};
use crate::metrics::Metrics;
use crate::run::{self, Parts};
use crate::services::Streams;
use crate::shared::Shared;
use crate::store::Surroundings;
use crate::transport::tls;

/// Why a server did not start, or ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// A setting that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {what}: choose another address, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        what: String,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use {}: {what}: give PEM files that belong together", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Threads could not be made.
    #[error("cannot start threads: {0}: raise the limit of threads or memory")]
    Threads(String),
    /// The filter of the logs makes no sense.
    #[error("cannot filter logs: {0}: write it as in RUST_LOG, such as info,tonic=warn")]
    Logs(String),
    /// Traces cannot be exported.
    #[error("cannot export traces: {0}: correct traces.endpoint")]
    Traces(String),
    /// The compute worker's address makes no sense.
    #[error("cannot use compute.address: {0}: give http://host:port or unix:/path")]
    Compute(String),
    /// The journal could not be opened.
    #[error("cannot open the journal: {0}")]
    Journal(String),
    /// The forecasts beside the journal cannot be opened.
    #[error("cannot open the forecasts: {0}")]
    Forecasts(String),
    /// The networks beside the journal cannot be opened.
    #[error("cannot open the networks: {0}")]
    Networks(String),
    /// The journal failed while serving.
    #[error("the journal stopped: {0}: look at the disk, then start again")]
    JournalStopped(String),
    /// It is not ready in time.
    #[error("the journal is still being replayed after {0:?}: wait longer")]
    NotReady(Duration),
    /// A thread of the server ended without a word.
    #[error("the server's own thread ended early: see the log")]
    Died,
}

/// Threads for what walks the state or the disk; more such calls wait for one.
const BLOCKING_THREADS: usize = 8;

/// The server.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Binds the ports and starts to replay the journal. Requests are answered UNAVAILABLE until that is done:
    /// [`ServerHandle::wait_ready`] waits for it.
    ///
    /// # Errors
    /// Settings, addresses and certificates that cannot work.
    pub fn start(config: ServerConfig) -> Result<ServerHandle, StartError> {
        Self::start_with(config, Surroundings::default(), false)
    }

    /// As [`Server::start`], with another clock or another disk.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_in(
        config: ServerConfig,
        around: Surroundings,
    ) -> Result<ServerHandle, StartError> {
        Self::start_with(config, around, false)
    }

    /// Serves until SIGTERM or SIGINT, drains, and returns. `ready` is called once the journal has been replayed.
    ///
    /// # Errors
    /// As [`Server::start`], and a journal that cannot be opened or stops.
    pub fn run(config: ServerConfig, ready: impl FnOnce(&ServerHandle)) -> Result<(), StartError> {
        let handle = Self::start_with(config, Surroundings::default(), true)?;
        tracing::info!(address = %handle.address(), "listening");
        if handle.wait_ready(Duration::MAX).is_ok() {
            tracing::info!("serving");
            ready(&handle);
        }
        handle.wait()
    }

    fn start_with(
        config: ServerConfig,
        around: Surroundings,
        signals: bool,
    ) -> Result<ServerHandle, StartError> {
        config.validate()?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let listener = bind(config.listen)?;
        let address = local(&listener, config.listen)?;
        let metrics_listener = config.metrics_listen.map(bind).transpose()?;
        let metrics_address = match (&metrics_listener, config.metrics_listen) {
            (Some(listener), Some(asked)) => Some(local(listener, asked)?),
            _ => None,
        };
        let metrics = Arc::new(Metrics::default());
        let streams = Streams::new();
        let shared = Arc::new(Shared::new(
            config.limits.clone(),
            config.drain(),
            metrics,
            streams,
        ));
        let runtime = runtime(config.threads(), &shared)?;
        let ready = Arc::new(Ready::default());
        let parts = Parts {
            config,
            listener,
            metrics_listener,
            tls,
            shared: Arc::clone(&shared),
            ready: Arc::clone(&ready),
            signals,
            around,
        };
        let thread = std::thread::Builder::new()
            .name("bespeak-server".to_owned())
            .spawn(move || run::until_stopped(runtime, parts))
            .map_err(|error| StartError::Threads(error.to_string()))?;
        Ok(ServerHandle {
            address,
            metrics_address,
            shared,
            ready,
            thread: Mutex::new(Some(thread)),
        })
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let wrong = |error: std::io::Error| StartError::Listen {
        address,
        what: error.to_string(),
    };
    let listener = TcpListener::bind(address).map_err(wrong)?;
    listener.set_nonblocking(true).map_err(wrong)?;
    Ok(listener)
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen {
        address,
        what: error.to_string(),
    })
}

/// Threads for requests. One with nothing left to do syncs what has been done, before it sleeps.
fn runtime(threads: usize, shared: &Arc<Shared>) -> Result<Runtime, StartError> {
    let idle = Arc::downgrade(shared);
    let end_turn = move || {
        if let Some(shared) = idle.upgrade()
            && let Some(api) = shared.api.get()
        {
            api.store().end_turn();
        }
    };
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("bespeak-worker")
        .on_thread_park(end_turn)
        .enable_all()
        .build()
        .map_err(|error| StartError::Threads(error.to_string()))
}

const LONG: Duration = Duration::from_secs(3_600);

/// Whether the journal has been replayed.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    outcome: Mutex<Option<Result<(), StartError>>>,
    told: Condvar,
}

impl Ready {
    pub fn tell(&self, outcome: Result<(), StartError>) {
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            *place = Some(outcome);
        }
        self.told.notify_all();
    }

    fn wait(&self, patience: Duration) -> Result<(), StartError> {
        let end = Instant::now().checked_add(patience);
        let mut place = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = &*place {
                return outcome.clone();
            }
            // Without an end, the look is repeated now and then.
            let left = end.map_or(LONG, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(StartError::NotReady(patience));
            }
            place = self
                .told
                .wait_timeout(place, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A server that runs on threads of its own. Dropping the handle drains it.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    shared: Arc<Shared>,
    ready: Arc<Ready>,
    thread: Mutex<Option<JoinHandle<Result<(), StartError>>>>,
}

impl ServerHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the Prometheus page is.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Waits until the journal has been replayed.
    ///
    /// # Errors
    /// Why it could not be, or `NotReady`.
    pub fn wait_ready(&self, patience: Duration) -> Result<(), StartError> {
        self.ready.wait(patience)
    }

    /// The services without the network, once ready.
    pub fn api(&self) -> Option<&Api> {
        self.shared.api.get()
    }

    /// The counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Tells it to stop: no new connections, calls in progress end, then a last sync. Returns at once.
    pub fn drain(&self) {
        self.shared.stop.send_replace(true);
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Why it ended, unless it was told to.
    pub fn wait(&self) -> Result<(), StartError> {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match thread {
            Some(thread) => thread.join().unwrap_or(Err(StartError::Died)),
            None => Ok(()),
        }
    }

    /// Drains, and waits until it has ended.
    ///
    /// # Errors
    /// As [`ServerHandle::wait`].
    pub fn stop(&self) -> Result<(), StartError> {
        self.drain();
        self.wait()
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the server ended badly");
        }
    }
}
