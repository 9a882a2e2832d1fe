//! Streaming methods, and the services that come from tonic.

use std::sync::Arc;
use std::time::Instant;

use super::codec::StreamCodec;
use arrow_flight::flight_service_server::FlightServiceServer;
use bespeak_proto::v1 as pb;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::metadata::AsciiMetadataValue;
use tonic::server::{Grpc, ServerStreamingService, StreamingService};
use tonic::service::Routes;
use tonic::{Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_service::Service;

use super::session::Session;
use crate::allocation::submit::Submission;
use crate::api::Api;
use crate::convert::{context, item, location};
use crate::error::ApiError;
use crate::flight::Flight;
use crate::method::Method;
use crate::shared::Shared;
use crate::transport::body::{self, AnswerBody};
use crate::transport::deadline;
use crate::watch::Watch;

/// Names whose health callers may ask for; "" is the whole server.
const NAMES: [&str; 8] = [
    "",
    "bespeak.v1.PromiseService",
    "bespeak.v1.SupplyService",
    "bespeak.v1.CatalogService",
    "bespeak.v1.AdminService",
    "bespeak.v1.ForecastService",
    "bespeak.v1.AllocationService",
    "arrow.flight.protocol.FlightService",
];

/// The streaming services, and those that come from tonic.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    health: HealthReporter,
    routes: Routes,
}

impl Streams {
    /// Health and reflection.
    pub fn new() -> Self {
        let (health, service) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(service);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(bespeak_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // The descriptors are our own; without them the server still serves everything else.
        match (reflection().build_v1(), reflection().build_v1alpha()) {
            (Ok(v1), Ok(v1alpha)) => routes = routes.add_service(v1).add_service(v1alpha),
            (Err(error), _) | (_, Err(error)) => tracing::error!(%error, "reflection is off"),
        }
        Self {
            health,
            routes: routes.prepare(),
        }
    }

    /// Tells health watchers whether requests are served.
    pub async fn serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in NAMES {
            self.health.set_service_status(name, status).await;
        }
    }

    /// Answers one call.
    pub async fn call(
        &self,
        shared: &Arc<Shared>,
        method: Method,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let seat = match shared.seat() {
            Ok(seat) => seat,
            Err(error) => return body::failure(error),
        };
        let request = request.map(tonic::body::Body::new);
        let limit = shared.limits.message_bytes;
        let traceparent = request
            .headers()
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        let trace_id = traceparent.map_or(0, context::trace_id);
        // Only streams of tables look at it, where they have to wait.
        let deadline = deadline::deadline(request.headers(), Instant::now())
            .ok()
            .flatten();
        let grpc = Grpc::new(StreamCodec::default())
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        let (response, cut) = match method {
            Method::Session => {
                let mut grpc = grpc;
                let service = SessionService {
                    shared: Arc::clone(shared),
                    trace_id,
                };
                (grpc.streaming(service, request).await, false)
            }
            Method::WatchAvailability => {
                let mut grpc = Grpc::new(StreamCodec::default()).max_decoding_message_size(limit);
                let service = WatchService {
                    shared: Arc::clone(shared),
                };
                (grpc.server_streaming(service, request).await, false)
            }
            Method::SubmitOrders => {
                let mut grpc = Grpc::new(StreamCodec::default()).max_decoding_message_size(limit);
                let service = SubmitService {
                    shared: Arc::clone(shared),
                    traceparent: request
                        .headers()
                        .get("traceparent")
                        .and_then(|value| value.to_str().ok()?.parse().ok()),
                };
                (grpc.streaming(service, request).await, false)
            }
            Method::HealthCheck
            | Method::HealthWatch
            | Method::Reflection
            | Method::ReflectionAlpha => match self.routes.clone().call(request).await {
                Ok(response) => (response, true),
            },
            _ => {
                let mut flight = FlightServiceServer::new(Flight::new(shared, trace_id, deadline))
                    .max_decoding_message_size(limit)
                    .max_encoding_message_size(limit);
                match flight.call(request).await {
                    Ok(response) => (response, false),
                }
            }
        };
        // Health and reflection would go on for ever: a drain cuts them.
        let drained = cut.then(|| shared.drained());
        response.map(|inner| AnswerBody::Stream {
            inner,
            _seat: seat,
            drained,
        })
    }
}

struct SessionService {
    shared: Arc<Shared>,
    trace_id: u128,
}

impl StreamingService<pb::SessionRequest> for SessionService {
    type Response = pb::SessionResponse;
    type ResponseStream = Session;
    type Future = std::future::Ready<Result<tonic::Response<Session>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<pb::SessionRequest>>) -> Self::Future {
        let session = self.shared.api().map(|api| {
            let input = request.into_inner();
            tonic::Response::new(Session::new(
                &self.shared,
                api.clone(),
                self.trace_id,
                input,
            ))
        });
        std::future::ready(session.map_err(Status::from))
    }
}

struct SubmitService {
    shared: Arc<Shared>,
    traceparent: Option<AsciiMetadataValue>,
}

impl StreamingService<pb::SubmitOrdersRequest> for SubmitService {
    type Response = pb::SubmitOrdersResponse;
    type ResponseStream = Submission;
    type Future = std::future::Ready<Result<tonic::Response<Submission>, Status>>;

    fn call(
        &mut self,
        request: tonic::Request<Streaming<pb::SubmitOrdersRequest>>,
    ) -> Self::Future {
        let submission = self.shared.api().map(|api| {
            let (input, traceparent) = (request.into_inner(), self.traceparent.take());
            let submission = Submission::new(&self.shared, api.clone(), traceparent, input);
            tonic::Response::new(submission)
        });
        std::future::ready(submission.map_err(Status::from))
    }
}

struct WatchService {
    shared: Arc<Shared>,
}

impl ServerStreamingService<pb::WatchAvailabilityRequest> for WatchService {
    type Response = pb::WatchAvailabilityResponse;
    type ResponseStream = Watch;
    type Future = std::future::Ready<Result<tonic::Response<Watch>, Status>>;

    fn call(&mut self, request: tonic::Request<pb::WatchAvailabilityRequest>) -> Self::Future {
        let watch = self
            .shared
            .api()
            .and_then(|api| watch(&self.shared, api, request.get_ref()));
        std::future::ready(watch.map(tonic::Response::new).map_err(Status::from))
    }
}

/// Names that one watcher may ask for.
const WATCHED_NAMES_MAX: usize = 10_000;

fn watch(
    shared: &Shared,
    api: &Api,
    request: &pb::WatchAvailabilityRequest,
) -> Result<Watch, ApiError> {
    for (field, names) in [("items", &request.items), ("locations", &request.locations)] {
        if names.len() > WATCHED_NAMES_MAX {
            return Err(ApiError::invalid(
                field,
                names.len(),
                "at most 10000 are allowed: leave it empty for all",
            ));
        }
    }
    let seen = api.store().read(|state| {
        let catalog = state.catalog();
        let items = request
            .items
            .iter()
            .map(|name| item(catalog, name))
            .collect::<Result<_, _>>()?;
        let locations = request
            .locations
            .iter()
            .map(|name| location(catalog, name))
            .collect::<Result<_, _>>()?;
        // Under the lock, so that no change between now and the first look is missed.
        Ok(api.store().watchers().subscribe(
            items,
            locations,
            shared.limits.watch_queue,
            shared.drained(),
        ))
    });
    seen.result
}
