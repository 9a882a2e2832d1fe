//! The floor: a bare tonic server of the same service whose answers are ready before the question.
//! No engine, no journal, no limits, no metrics; the messages are as long as real ones.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use anyhow::Result;
use bespeak_proto::v1::promise_service_server::{PromiseService, PromiseServiceServer};
use bespeak_proto::v1::*;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::LOCATION;
use super::wire::item;

const NOW_MS: i64 = 1_795_000_000_000;
const REVISION: u64 = 3_000_000;

/// Serves until the process is told to stop. Prints the address first, for port 0.
///
/// # Errors
/// The address is taken, or the files of the certificate and its key cannot be used.
pub async fn serve(listen: SocketAddr, tls: Option<(PathBuf, PathBuf)>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut server = tonic::transport::Server::builder();
    if let Some((certificate, key)) = tls {
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    server
        .add_service(PromiseServiceServer::new(Echo))
        .serve_with_incoming_shutdown(incoming, async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

struct Echo;

pub fn reserve() -> ReserveResponse {
    ReserveResponse {
        outcome: Outcome::Full.into(),
        reservation_id: REVISION,
        state: ReservationState::Held.into(),
        expires_at_ms: NOW_MS,
        lines: vec![LineResult {
            item: item(0),
            requested_quantity: 2,
            held_quantity: 2,
            parts: vec![LinePart {
                location: LOCATION.to_owned(),
                quantity: 2,
                ship_time_ms: NOW_MS,
                reservation_line: 0,
            }],
            ..Default::default()
        }],
        revision: REVISION,
        engine_time_ms: NOW_MS,
        replayed: false,
        duplicate: false,
    }
}

pub fn confirm() -> ConfirmResponse {
    ConfirmResponse {
        revision: REVISION,
        ..Default::default()
    }
}

pub fn release() -> ReleaseResponse {
    ReleaseResponse {
        state: ReservationState::Released.into(),
        revision: REVISION,
        ..Default::default()
    }
}

pub fn check() -> CheckResponse {
    CheckResponse {
        results: vec![CheckResult {
            item: item(0),
            location: LOCATION.to_owned(),
            available: 1_000_000,
            in_full: true,
            earliest_time_ms: Some(NOW_MS),
            binding: BindingConstraint::Supply.into(),
            binding_time_ms: NOW_MS,
            ..Default::default()
        }],
        revision: REVISION,
        engine_time_ms: NOW_MS,
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented(
        "the echo server answers only what the benchmarks ask",
    ))
}

#[tonic::async_trait]
impl PromiseService for Echo {
    type WatchAvailabilityStream =
        Pin<Box<dyn Stream<Item = Result<WatchAvailabilityResponse, Status>> + Send>>;
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(check()))
    }

    async fn reserve(
        &self,
        _: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        Ok(Response::new(reserve()))
    }

    async fn confirm(
        &self,
        _: Request<ConfirmRequest>,
    ) -> Result<Response<ConfirmResponse>, Status> {
        Ok(Response::new(confirm()))
    }

    async fn release(
        &self,
        _: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        Ok(Response::new(release()))
    }

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let answers = request.into_inner().map(|request| {
            use session_request::Request as Ask;
            use session_response::Response as Answer;
            let response = match request?.request {
                Some(Ask::Reserve(_)) => Answer::Reserve(reserve()),
                Some(Ask::Confirm(_)) => Answer::Confirm(confirm()),
                Some(Ask::Release(_)) => Answer::Release(release()),
                Some(Ask::Check(_)) => Answer::Check(check()),
                _ => {
                    return Err(Status::unimplemented(
                        "the echo server knows no such request",
                    ));
                }
            };
            Ok(SessionResponse {
                response: Some(response),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn check_region(
        &self,
        _: Request<CheckRegionRequest>,
    ) -> Result<Response<CheckRegionResponse>, Status> {
        not_here()
    }

    async fn explain(
        &self,
        _: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        not_here()
    }

    async fn as_of(&self, _: Request<AsOfRequest>) -> Result<Response<AsOfResponse>, Status> {
        not_here()
    }

    async fn promise(
        &self,
        _: Request<PromiseRequest>,
    ) -> Result<Response<PromiseResponse>, Status> {
        not_here()
    }

    async fn extend(&self, _: Request<ExtendRequest>) -> Result<Response<ExtendResponse>, Status> {
        not_here()
    }

    async fn fulfil(&self, _: Request<FulfilRequest>) -> Result<Response<FulfilResponse>, Status> {
        not_here()
    }

    async fn get_reservation(
        &self,
        _: Request<GetReservationRequest>,
    ) -> Result<Response<GetReservationResponse>, Status> {
        not_here()
    }

    async fn repromise(
        &self,
        _: Request<RepromiseRequest>,
    ) -> Result<Response<RepromiseResponse>, Status> {
        not_here()
    }

    async fn watch_availability(
        &self,
        _: Request<WatchAvailabilityRequest>,
    ) -> Result<Response<Self::WatchAvailabilityStream>, Status> {
        not_here()
    }
}
