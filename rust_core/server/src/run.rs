//! The life of a server: recover, serve, drain, sync, end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bespeak_journal::SyncBy;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::allocation::Desk;
use crate::api::Api;
use crate::compute::Client;
use crate::config::ServerConfig;
use crate::forecasts::Keeper;
use crate::metrics::{self, Observed, Text};
use crate::shared::Shared;
use crate::start::{Ready, StartError};
use crate::store::{Progress, Store, Surroundings};
use crate::telemetry::Traces;
use crate::transport;

/// How long threads have to end after the last answer.
const LAST_PATIENCE: Duration = Duration::from_secs(5);
/// How often transitions that time brings are looked for while nobody asks.
const SWEEP: Duration = Duration::from_millis(250);

/// What a server needs to run.
pub(crate) struct Parts {
    pub config: ServerConfig,
    pub listener: std::net::TcpListener,
    pub metrics_listener: Option<std::net::TcpListener>,
    pub tls: Option<TlsAcceptor>,
    pub shared: Arc<Shared>,
    pub ready: Arc<Ready>,
    pub signals: bool,
    pub around: Surroundings,
}

/// Runs a server to its end.
pub(crate) fn until_stopped(runtime: Runtime, parts: Parts) -> Result<(), StartError> {
    let ready = Arc::clone(&parts.ready);
    let ended = runtime.block_on(life(parts));
    // Whoever still waits learns why.
    ready.tell(ended.clone());
    runtime.shutdown_timeout(LAST_PATIENCE);
    ended
}

async fn life(parts: Parts) -> Result<(), StartError> {
    let Parts {
        config,
        listener,
        metrics_listener,
        tls,
        shared,
        ready,
        signals,
        around,
    } = parts;
    let progress = Arc::new(Progress::default());
    if let Some(listener) = metrics_listener {
        let page = page(&shared, &progress);
        tokio::spawn(metrics::serve(from_std(listener)?, page));
    }
    if signals {
        drain_on_signal(&shared)?;
    }
    if let Some(compute) = &config.compute {
        // Nobody else sets it.
        let _ = shared
            .compute
            .set(Arc::new(Client::new(compute, config.limits.message_bytes)?));
    }
    if let Some(traces) = &config.traces {
        // Nobody else sets it.
        let _ = shared.traces.set(Traces::new(traces)?);
    }
    shared.streams.serving(false).await;
    tokio::spawn(transport::accept(
        from_std(listener)?,
        tls,
        Arc::clone(&shared),
    ));
    let store = match open(&config, around, &progress).await {
        Ok(store) => Arc::new(store),
        Err(error) => {
            shared.draining.send_replace(true);
            return Err(error);
        }
    };
    let keeper = match keeper(&config, &store).await {
        Ok(keeper) => Arc::new(keeper),
        Err(error) => {
            shared.draining.send_replace(true);
            return Err(error);
        }
    };
    let desk = match desk(&config).await {
        Ok(desk) => Arc::new(desk),
        Err(error) => {
            shared.draining.send_replace(true);
            return Err(error);
        }
    };
    let api = Api::new(Arc::clone(&store), Arc::clone(&shared.metrics))
        .with_desk(desk)
        .with_forecasts(keeper)
        .with_backups(config.backup_root.clone());
    let usher = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.gate().usher().await }
    });
    tokio::spawn({
        let (store, metrics) = (Arc::clone(&store), Arc::clone(&shared.metrics));
        async move { store.watchers().run(&store, &metrics).await }
    });
    // Nobody else sets it.
    let _ = shared.api.set(api);
    shared.streams.serving(true).await;
    ready.tell(Ok(()));
    let served = serve(&shared, &store, usher).await;
    shared.streams.serving(false).await;
    shared.draining.send_replace(true);
    if served.is_ok() {
        last_calls(&shared).await;
    }
    let closed = close(shared, store).await;
    served?;
    closed
}

/// Makes everything durable and lets go of the journal, on a thread of its own: calls that nobody can end may have taken
/// all those of the runtime.
async fn close(shared: Arc<Shared>, store: Arc<Store>) -> Result<(), StartError> {
    let (runtime, (told, closed)) = (Handle::current(), oneshot::channel());
    let close = move || {
        // The last traces are sent by tasks of the runtime.
        let _runtime = runtime.enter();
        if let Some(traces) = shared.traces.get() {
            traces.close();
        }
        // Whoever waits for it is there until then.
        let _ = told.send(store.close());
    };
    std::thread::Builder::new()
        .name("bespeak-close".to_owned())
        .spawn(close)
        .map_err(|error| StartError::Threads(error.to_string()))?;
    closed
        .await
        .map_err(|_| StartError::Died)?
        .map_err(|error| StartError::JournalStopped(error.to_string()))
}

/// Serves until told to stop, or until the journal fails.
async fn serve(
    shared: &Arc<Shared>,
    store: &Arc<Store>,
    mut usher: tokio::task::JoinHandle<String>,
) -> Result<(), StartError> {
    let mut stop = shared.stop.subscribe();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            cause = &mut usher => {
                let cause = cause.map_err(|_| StartError::Died)?;
                return Err(StartError::JournalStopped(cause));
            }
            _ = sweep.tick() => store.sweep(),
        }
    }
}

/// Waits until every connection has ended, or patience has.
async fn last_calls(shared: &Shared) {
    let empty = async {
        loop {
            let left = shared.left.notified();
            if shared.metrics.connections.load(Ordering::Acquire) <= 0 {
                return;
            }
            left.await;
        }
    };
    if tokio::time::timeout(shared.drain, empty).await.is_err() {
        let connections = shared.metrics.connections.load(Ordering::Acquire);
        tracing::warn!(
            connections,
            "connections were still open at the end of the drain"
        );
    }
}

async fn open(
    config: &ServerConfig,
    around: Surroundings,
    progress: &Arc<Progress>,
) -> Result<Store, StartError> {
    let (journal, engine) = (config.journal.clone(), config.engine.clone());
    let progress = Arc::clone(progress);
    // This server's loop ends its turns by a sync: see `start::runtime`.
    let around = Surroundings {
        sync_by: SyncBy::Turn,
        ..around
    };
    tokio::task::spawn_blocking(move || Store::open(&journal, &engine, around, &progress))
        .await
        .map_err(|_| StartError::Died)?
        .map_err(|error| StartError::Journal(error.to_string()))
}

/// Opens the forecasts beside the journal.
async fn keeper(config: &ServerConfig, store: &Arc<Store>) -> Result<Keeper, StartError> {
    let (journal, settings) = (config.journal.clone(), config.forecasts.clone());
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || Keeper::open(&journal, &settings, &store))
        .await
        .map_err(|_| StartError::Died)?
        .map_err(|error| StartError::Forecasts(error.to_string()))
}

/// Opens what allocation keeps beside the journal.
async fn desk(config: &ServerConfig) -> Result<Desk, StartError> {
    let journal = config.journal.clone();
    tokio::task::spawn_blocking(move || Desk::open(&journal))
        .await
        .map_err(|_| StartError::Died)?
        .map_err(|error| StartError::Networks(error.to_string()))
}

fn from_std(listener: std::net::TcpListener) -> Result<TcpListener, StartError> {
    TcpListener::from_std(listener).map_err(|error| StartError::Threads(error.to_string()))
}

fn drain_on_signal(shared: &Arc<Shared>) -> Result<(), StartError> {
    let wrong = |error: std::io::Error| StartError::Threads(error.to_string());
    let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        tracing::info!("draining");
        shared.stop.send_replace(true);
    });
    Ok(())
}

fn page(shared: &Arc<Shared>, progress: &Arc<Progress>) -> Text {
    let progress = Arc::clone(progress);
    let metrics = Arc::clone(&shared.metrics);
    let shared = Arc::downgrade(shared);
    Text::new(
        metrics,
        Arc::new(move || {
            let Some(shared) = shared.upgrade() else {
                return Observed::default();
            };
            let mut observed = match shared.api.get() {
                Some(api) => {
                    let serving = !*shared.draining.borrow();
                    let mut observed = api.store().observe();
                    let now = api.store().partition().peek(|state| state.now());
                    observed
                        .gauges
                        .extend(now.into_iter().flat_map(|now| api.forecasts().gauges(now)));
                    Observed {
                        serving,
                        ..observed
                    }
                }
                None => Observed {
                    replay_lag: progress.left(),
                    ..Observed::default()
                },
            };
            let limits = &shared.limits;
            observed.limits.extend([
                ("connections", limits.connections as u64),
                ("requests_in_flight", limits.in_flight as u64),
                ("streams", limits.open_streams as u64),
                ("buffered_bytes", limits.buffered_bytes as u64),
            ]);
            observed
        }),
    )
}
