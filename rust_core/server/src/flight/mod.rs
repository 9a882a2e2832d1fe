//! Arrow Flight: tables in, tables out, on the same port.

mod dictionaries;
mod input;
mod output;
mod tickets;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use arrow_schema::SchemaRef;
use bespeak_demand::forecasts::Kind;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use crate::api::Api;
use crate::error::ApiError;
use crate::forecasts;
use crate::shared::Shared;
pub(crate) use dictionaries::tables_of;
pub(crate) use input::Input;
use output::Work;
pub(crate) use tickets::{Exchange, from_descriptor, from_ticket, info, schema};

/// What streams of this service give.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The Flight service of one call.
pub(crate) struct Flight {
    shared: Arc<Shared>,
    trace_id: u128,
    /// When the caller stops waiting.
    deadline: Option<Instant>,
}

impl Flight {
    pub fn new(shared: &Arc<Shared>, trace_id: u128, deadline: Option<Instant>) -> Self {
        Self {
            shared: Arc::clone(shared),
            trace_id,
            deadline,
        }
    }

    /// Forecasts that are kept: they are durable when they can be seen.
    fn kept(
        &self,
        api: &Api,
        kind: Kind,
        location: &str,
    ) -> Result<Response<Answers<FlightData>>, Status> {
        let cursor = forecasts::Cursor::new(api, kind, location)?;
        let schema = cursor.schema();
        let (api, shared) = (api.clone(), Arc::clone(&self.shared));
        let batches = stream::try_unfold(cursor, move |mut cursor| {
            let (api, shared) = (api.clone(), Arc::clone(&shared));
            async move {
                output::not_draining(&shared)?;
                let next = move || cursor.next(&api).map(|batch| (batch, cursor));
                let (batch, cursor) = output::off_the_runtime(next).await??;
                Ok::<_, ApiError>(batch.map(|batch| (batch, cursor)))
            }
        });
        let full = batches.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Response::new(encoded(schema, full)))
    }

    /// What one stream of tables asks for.
    fn work(&self, api: Api, exchange: Exchange) -> Work {
        Work::new(&self.shared, api, exchange, self.trace_id, self.deadline)
    }

    fn none<T>(what: &'static str) -> Result<Response<T>, Status> {
        Err(ApiError::NotInThisVersion(what).into())
    }
}

/// The answers to the tables of a stream, in their order.
fn answered(
    input: Input,
    work: Work,
) -> impl Stream<Item = Result<RecordBatch, ApiError>> + Send + 'static {
    stream::try_unfold((input, work), |(mut input, mut work)| async move {
        let Some(batch) = input.next().await? else {
            return Ok::<_, ApiError>(None);
        };
        let answer = work.answer(&batch).await?;
        Ok(Some((answer, (input, work))))
    })
}

fn encoded(
    schema: SchemaRef,
    batches: impl Stream<Item = Result<RecordBatch, ApiError>> + Send + 'static,
) -> Answers<FlightData> {
    let batches = batches.map_err(|error| FlightError::Tonic(Box::new(Status::from(error))));
    let encoded = FlightDataEncoderBuilder::new()
        .with_schema(schema)
        .build(batches);
    encoded.map_err(status).boxed()
}

/// The status of a failure in a stream.
fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => ApiError::Malformed(other.to_string()).into(),
    }
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let api = self.shared.api()?.clone();
        let (descriptor, input) = Input::open(&self.shared, request.into_inner()).await?;
        let exchange = Exchange::from_descriptor(descriptor.as_ref())?;
        let batches = answered(input, self.work(api, exchange));
        Ok(Response::new(encoded(exchange.schema(), batches)))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let api = self.shared.api()?.clone();
        let (descriptor, input) = Input::open(&self.shared, request.into_inner()).await?;
        if let Some(pushed) = tickets::pushed(descriptor.as_ref())? {
            let row = forecasts::push(&self.shared, &api, pushed, input).await?;
            let answer = PutResult {
                app_metadata: output::ipc(&row)?.into(),
            };
            return Ok(Response::new(stream::iter([Ok(answer)]).boxed()));
        }
        let exchange = Exchange::from_descriptor(descriptor.as_ref())?;
        if exchange != Exchange::Supply {
            let rule = "only supply and forecasts can be put: use DoExchange for check and reserve";
            return Err(ApiError::invalid("descriptor", exchange.name(), rule).into());
        }
        // An answer in one message could be too large to be sent, after its rows took effect.
        let most = self.shared.limits.message_bytes / 2;
        let answers = answered(input, self.work(api, exchange));
        let results = answers
            .map(move |answer| output::put_results(&answer?, most))
            .map_ok(|results| stream::iter(results.into_iter().map(Ok::<_, ApiError>)))
            .try_flatten();
        Ok(Response::new(results.map_err(Status::from).boxed()))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let api = self.shared.api()?.clone();
        let ticket = request.into_inner().ticket;
        if let Some((kind, location)) = tickets::kept(&ticket)? {
            return self.kept(&api, kind, &location);
        }
        let wanted = from_ticket(&ticket)?;
        let (schema, files) = (wanted.schema()?, wanted.reads_files());
        let reader = output::begin(&api, wanted).await?;
        let drained = Arc::clone(&self.shared);
        let batches = stream::try_unfold(reader, move |reader| {
            let (api, shared) = (api.clone(), Arc::clone(&drained));
            async move {
                output::not_draining(&shared)?;
                let (next, reader) = output::next(&api, reader, files).await?;
                let Some(seen) = next else {
                    return Ok::<_, ApiError>(None);
                };
                api.store().gate().wait(seen.revision).await?;
                tokio::task::yield_now().await;
                Ok(Some((seen.result?, reader)))
            }
        });
        let full = batches.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(Response::new(encoded(schema, full)))
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        let infos: Vec<_> = tickets::flights(self.shared.api()?)
            .map(|info| info.map_err(Status::from))
            .collect();
        Ok(Response::new(stream::iter(infos).boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let api = self.shared.api()?;
        Ok(Response::new(tickets::described(api, request.get_ref())?))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let api = self.shared.api()?;
        Ok(Response::new(tickets::columns(api, request.get_ref())?))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Self::none("Flight.Handshake")
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Self::none("Flight.PollFlightInfo")
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        Self::none("Flight.DoAction")
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }
}
