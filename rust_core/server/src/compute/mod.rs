//! Forecasts, and the worker that plans as well: from the compute worker while it answers, else from the fallbacks here.
//!
//! Nothing of this is on the way of a promise. An answer always says who made it.

mod breaker;
mod client;
mod climatology;
mod compressed;
mod explain;
pub(crate) mod ipc;

use std::sync::atomic::Ordering;
use std::time::Instant;

use bespeak_proto::v1 as pb;
use tonic::metadata::AsciiMetadataValue;

pub(crate) use client::Client;
pub(crate) use explain::explain;

use crate::api::Api;
use crate::error::ApiError;
use crate::store::Seen;
use crate::tables::demand::{Question, Reading};

/// Steps ahead of one forecast.
const HORIZON_MAX: u32 = 366;
/// Quantile levels of one forecast.
const LEVELS_MAX: usize = 99;

/// On whose behalf the worker is asked.
#[derive(Debug)]
pub(crate) struct Caller {
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
    /// The trace that the worker's part belongs to.
    pub traceparent: Option<AsciiMetadataValue>,
}

/// Makes a forecast.
pub(crate) async fn forecast(
    api: &Api,
    client: Option<&Client>,
    request: pb::ForecastRequest,
    caller: &Caller,
    answer_bytes: usize,
) -> Seen<pb::ForecastResponse> {
    if !request.positions.is_empty() {
        let api = api.clone();
        let kept = move || Ok(api.kept_forecasts(&request, answer_bytes));
        return off_the_runtime(kept).await.unwrap_or_else(Seen::failed);
    }
    let result = forecast_now(api, client, request, caller).await;
    Seen {
        result,
        revision: 0,
    }
}

async fn forecast_now(
    api: &Api,
    client: Option<&Client>,
    mut request: pb::ForecastRequest,
    caller: &Caller,
) -> Result<pb::ForecastResponse, ApiError> {
    check_forecast(&request)?;
    if request.context.is_empty() {
        let api = api.clone();
        request.context = off_the_runtime(move || stored_context(&api)).await?.into();
    }
    if let Some(client) = client
        && let Some(answer) = client.forecast(&request, caller).await?
    {
        return Ok(answer);
    }
    api.metrics().fallbacks.fetch_add(1, Ordering::Relaxed);
    let forecast = off_the_runtime(move || {
        climatology::forecast(&request.context, request.horizon, &request.quantiles)
    })
    .await?;
    Ok(pb::ForecastResponse {
        forecast: forecast.into(),
        made_by: bespeak_demand::climatology::MADE_BY.to_owned(),
        fallback: true,
        source: pb::ForecastSource::Fallback.into(),
        ..Default::default()
    })
}

/// The history that this server has kept, as a caller would send it.
fn stored_context(api: &Api) -> Result<Vec<u8>, ApiError> {
    let mut reading = Reading::new(api, &Question::default())?;
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(seen) = reading.next(api) {
        let batch = seen.result?;
        rows += batch.num_rows();
        if rows > ipc::ROWS_MAX {
            let rule = "it is required where the stored history has more than 1000000 rows: send that of some items";
            return Err(ApiError::invalid("context", "empty", rule));
        }
        batches.push(batch);
    }
    if rows == 0 {
        let rule = "it is required until the stored history has a day that is over";
        return Err(ApiError::invalid("context", "empty", rule));
    }
    ipc::write_all(&bespeak_demand::context_schema(), &batches)
}

fn check_forecast(request: &pb::ForecastRequest) -> Result<(), ApiError> {
    if !(1..=HORIZON_MAX).contains(&request.horizon) {
        return Err(ApiError::invalid(
            "horizon",
            request.horizon,
            "it must be 1 to 366",
        ));
    }
    let levels = &request.quantiles;
    if levels.len() > LEVELS_MAX {
        return Err(ApiError::invalid(
            "quantiles",
            levels.len(),
            "at most 99 are allowed",
        ));
    }
    let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
    if !inside || !levels.is_sorted_by(|a, b| a < b) {
        let rule = "the levels must lie between 0 and 1, ascending";
        return Err(ApiError::invalid("quantiles", format!("{levels:?}"), rule));
    }
    crate::convert::fields::optional_name("model", &request.model)?;
    // They go to the worker as they came.
    compressed::refuse("context", &request.context)?;
    compressed::refuse("future", &request.future)
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ApiError::Internal(error.to_string())),
    }
}
