//! A worker that is silent, and one that has much to say.

use bespeak_proto::v1::compute_service_server::{ComputeService, ComputeServiceServer};
use tokio::net::TcpListener;
use tonic::Response;

use super::*;

fn config(listener: &TcpListener) -> ComputeConfig {
    ComputeConfig {
        address: format!("http://{}", listener.local_addr().unwrap()),
        breaker_failures: 1,
        breaker_open_ms: 600_000,
        timeout_ms: 60_000,
    }
}

/// It takes connections and never says a word.
async fn silent_worker() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&config(&listener), 1 << 20).unwrap();
    (listener, client)
}

/// Its every answer has so many bytes.
struct Loud(usize);

type Answer<T> = Result<Response<T>, Status>;

fn none<T>() -> Answer<T> {
    Err(Status::unimplemented("nobody asks it here"))
}

#[tonic::async_trait]
impl ComputeService for Loud {
    async fn forecast(
        &self,
        _: Request<pb::ComputeServiceForecastRequest>,
    ) -> Answer<pb::ComputeServiceForecastResponse> {
        Ok(Response::new(pb::ComputeServiceForecastResponse {
            forecast: vec![0_u8; self.0].into(),
            ..Default::default()
        }))
    }

    async fn allocate(
        &self,
        _: Request<pb::ComputeServiceAllocateRequest>,
    ) -> Answer<pb::ComputeServiceAllocateResponse> {
        Ok(Response::new(pb::ComputeServiceAllocateResponse {
            plan: vec![0_u8; self.0].into(),
            ..Default::default()
        }))
    }

    async fn status(
        &self,
        _: Request<pb::ComputeServiceStatusRequest>,
    ) -> Answer<pb::ComputeServiceStatusResponse> {
        none()
    }

    async fn deploy(
        &self,
        _: Request<pb::ComputeServiceDeployRequest>,
    ) -> Answer<pb::ComputeServiceDeployResponse> {
        none()
    }

    async fn promote(
        &self,
        _: Request<pb::ComputeServicePromoteRequest>,
    ) -> Answer<pb::ComputeServicePromoteResponse> {
        none()
    }

    async fn rollback(
        &self,
        _: Request<pb::ComputeServiceRollbackRequest>,
    ) -> Answer<pb::ComputeServiceRollbackResponse> {
        none()
    }

    async fn retire(
        &self,
        _: Request<pb::ComputeServiceRetireRequest>,
    ) -> Answer<pb::ComputeServiceRetireResponse> {
        none()
    }

    async fn rollouts(
        &self,
        _: Request<pb::ComputeServiceRolloutsRequest>,
    ) -> Answer<pb::ComputeServiceRolloutsResponse> {
        none()
    }
}

/// Its callers take a thousand bytes.
async fn loud_worker(answer_bytes: usize) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&config(&listener), 1_000).unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = ComputeServiceServer::new(Loud(answer_bytes));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    client
}

fn of_bytes(context: usize) -> pb::ForecastRequest {
    pb::ForecastRequest {
        context: vec![0_u8; context].into(),
        ..Default::default()
    }
}

fn patient() -> Caller {
    Caller {
        deadline: None,
        traceparent: None,
    }
}

/// Bytes of the plan; `None` when the fallback should answer.
async fn planned(client: &Client, orders: usize) -> Option<usize> {
    let asked = pb::ComputeServiceAllocateRequest {
        orders: vec![0_u8; orders].into(),
        ..Default::default()
    };
    let (budget, caller) = (Duration::from_secs(30), patient());
    let answer = client.allocate(asked, budget, &caller).await;
    answer.unwrap().map(|answer| answer.plan.len())
}

#[tokio::test]
async fn the_worker_takes_and_plans_more_than_a_caller_may_send() {
    let client = loud_worker(10).await;
    let answer = client.forecast(&of_bytes(2_000_000), &patient()).await;
    let bytes = answer.unwrap().map(|answer| answer.forecast.len());
    assert_eq!(bytes, Some(10));
    assert_eq!(
        planned(&loud_worker(5_000).await, 2_000_000).await,
        Some(5_000)
    );
}

#[tokio::test]
async fn what_is_too_large_is_no_fault_of_the_worker() {
    let mut client = loud_worker(5_000).await;
    for _ in 0..3 {
        let refused = client.forecast(&of_bytes(10), &patient()).await;
        let told = refused.map(|_| ()).expect_err("the caller cannot take it");
        assert_eq!(told.code(), "MESSAGE_TOO_LARGE", "{told}");
        assert!(told.to_string().contains("the limit of 1000"), "{told}");
    }
    client.asked_bytes = 500;
    let refused = client.forecast(&of_bytes(600), &patient()).await;
    let told = refused.map(|_| ()).expect_err("the worker cannot take it");
    assert!(told.to_string().contains("the limit of 500"), "{told}");
    assert_eq!(planned(&client, 600).await, None, "the search here plans");
    assert!(client.breaker.allows(Instant::now()));
    assert_eq!(planned(&client, 10).await, Some(5_000));
}

#[test]
fn a_size_and_a_limit_are_read_from_what_the_channels_say() {
    for (status, told) in [
        (
            Status::out_of_range(
                "Error, decoded message length too large: found 77 bytes, the limit is: 66 bytes",
            ),
            Some((77, 66)),
        ),
        (
            Status::resource_exhausted("SERVER: Received message larger than max (77 vs. 66)"),
            Some((77, 66)),
        ),
        (
            Status::resource_exhausted("64 calls are under way, the limit: try again shortly"),
            None,
        ),
        (Status::out_of_range("beyond 1 and 2"), None),
        (
            Status::internal("message larger than max (77 vs. 66)"),
            None,
        ),
    ] {
        let told = told.map(|(bytes, limit)| ApiError::MessageTooLarge { bytes, limit });
        assert_eq!(too_large(&status), told, "{status}");
    }
}

async fn asked_with(client: &Client, patience: Duration) {
    let caller = Caller {
        deadline: Some(Instant::now() + patience),
        traceparent: None,
    };
    let answer = client
        .forecast(&pb::ForecastRequest::default(), &caller)
        .await;
    assert!(answer.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_blamed_for_being_late_by_callers_with_patience_only() {
    let (_listener, client) = silent_worker().await;
    // Often: the channel and we watch the same limit, and either can be first.
    for _ in 0..40 {
        let hurried = (1..=20).map(|ms| asked_with(&client, Duration::from_millis(ms)));
        futures_util::future::join_all(hurried).await;
        assert!(client.breaker.allows(Instant::now()));
    }
    asked_with(&client, Duration::from_secs(1)).await;
    assert!(!client.breaker.allows(Instant::now()));
}

#[test]
fn late_is_what_had_no_time_left() {
    for (status, over, late) in [
        (Status::deadline_exceeded(""), true, true),
        (Status::deadline_exceeded(""), false, true),
        (Status::cancelled("Timeout expired"), true, true),
        (Status::cancelled("draining"), false, false),
        (Status::unavailable(""), true, false),
        (Status::internal(""), true, false),
    ] {
        assert_eq!(is_late(&status, over), late, "{status} {over}");
    }
}
