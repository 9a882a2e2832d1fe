//! The services on the network.

pub mod unary;

use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_service::Service;

use crate::config::Limits;
use crate::error::ApiError;
use crate::method::Method;
use crate::shared::Shared;
use crate::transport::body::{self, AnswerBody};

/// The streaming services, and those that come from tonic.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    health: HealthReporter,
    routes: Routes,
}

/// Names whose health callers may ask for, beside the whole server's "".
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

impl Streams {
    /// Health and reflection.
    pub fn new(limits: &Limits) -> Self {
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
        let _ = limits;
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
        _arrived: Instant,
    ) -> Response<AnswerBody> {
        let request = request.map(tonic::body::Body::new);
        let response = match method {
            Method::HealthCheck
            | Method::HealthWatch
            | Method::Reflection
            | Method::ReflectionAlpha => match self.routes.clone().call(request).await {
                Ok(response) => response,
            },
            other => return body::failure(ApiError::UnknownMethod(other.name().to_owned())),
        };
        let _ = shared;
        response.map(AnswerBody::Stream)
    }
}
