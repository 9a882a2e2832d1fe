//! What drives a forecast: the model is asked again without each covariate, one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::builder::{Float64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_proto::v1 as pb;
use bytes::Bytes;

use super::{Caller, Client, climatology, ipc, off_the_runtime};
use crate::api::Api;
use crate::error::ApiError;
use crate::store::Seen;

/// Covariates of one question: each is another forecast.
const COVARIATES_MAX: usize = 16;
/// The driver that stands for the model against climatology.
const HISTORY: &str = "history";
/// Columns of a context that are no covariates.
const OWN: [&str; 4] = ["item_id", "timestamp", "target", "stockout"];

/// Expected units over the horizon, by item.
type Means = BTreeMap<String, f64>;

/// Explains a forecast.
pub(crate) async fn explain(
    api: &Api,
    client: Option<&Client>,
    request: pb::ForecastServiceExplainRequest,
    caller: &Caller,
) -> Seen<pb::ForecastServiceExplainResponse> {
    Seen {
        result: explain_now(api, client, request, caller).await,
        revision: 0,
    }
}

async fn explain_now(
    api: &Api,
    client: Option<&Client>,
    request: pb::ForecastServiceExplainRequest,
    caller: &Caller,
) -> Result<pb::ForecastServiceExplainResponse, ApiError> {
    let asked = pb::ForecastRequest {
        context: request.context,
        future: request.future,
        horizon: request.horizon,
        quantiles: vec![0.5],
        model: request.model,
        positions: Vec::new(),
    };
    super::check_forecast(&asked)?;
    let covariates = covariates(&asked, request.covariates)?;
    let full = match client {
        Some(client) => client.forecast(&asked, caller).await?,
        None => None,
    };
    let (Some(client), Some(full)) = (client, full) else {
        api.metrics().fallbacks.fetch_add(1, Ordering::Relaxed);
        return away();
    };
    let means = means(&full.forecast)?;
    let mut drivers: Vec<(String, Means)> = Vec::new();
    for name in covariates {
        let without = pb::ForecastRequest {
            context: dropped("context", &asked.context, &name)?,
            future: dropped("future", &asked.future, &name)?,
            ..asked.clone()
        };
        let Some(answer) = client.forecast(&without, caller).await? else {
            // Half an explanation would be taken for a whole one.
            return away();
        };
        drivers.push((name, self::means(&answer.forecast)?));
    }
    let (context, horizon) = (asked.context.clone(), asked.horizon);
    let history = off_the_runtime(move || climatology::forecast(&context, horizon, &[0.5])).await?;
    drivers.push((HISTORY.to_owned(), self::means(&history)?));
    Ok(pb::ForecastServiceExplainResponse {
        drivers: ipc::write(&table(&means, &drivers)?)?.into(),
        made_by: full.made_by,
        fallback: full.fallback,
        source: full.source,
    })
}

fn away() -> Result<pb::ForecastServiceExplainResponse, ApiError> {
    Ok(pb::ForecastServiceExplainResponse {
        drivers: ipc::write(&table(&Means::new(), &[])?)?.into(),
        made_by: bespeak_demand::climatology::MADE_BY.to_owned(),
        fallback: true,
        source: pb::ForecastSource::Fallback.into(),
    })
}

/// The covariates to leave out: those that were asked, or every column of numbers.
fn covariates(asked: &pb::ForecastRequest, named: Vec<String>) -> Result<Vec<String>, ApiError> {
    let mut known: Vec<String> = Vec::new();
    let tables = [("context", &asked.context), ("future", &asked.future)];
    for (field, bytes) in tables.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let Some(batch) = ipc::read(field, bytes)?.into_iter().next() else {
            continue;
        };
        for column in batch.schema_ref().fields() {
            let (name, is_number) = (column.name(), column.data_type().is_numeric());
            if is_number && !OWN.contains(&name.as_str()) && !known.contains(name) {
                known.push(name.clone());
            }
        }
    }
    if let Some(other) = named.iter().find(|name| !known.contains(name)) {
        let rule = format!("the covariates of the tables are {}", known.join(", "));
        return Err(ApiError::invalid("covariates", other, rule));
    }
    let chosen = if named.is_empty() { known } else { named };
    if chosen.len() > COVARIATES_MAX {
        let rule = "at most 16 are left out in one call: name those that matter";
        return Err(ApiError::invalid("covariates", chosen.len(), rule));
    }
    Ok(chosen)
}

fn dropped(field: &'static str, bytes: &Bytes, name: &str) -> Result<Bytes, ApiError> {
    if bytes.is_empty() {
        return Ok(Bytes::new());
    }
    let wrong = |error: arrow_schema::ArrowError| ApiError::Internal(error.to_string());
    let mut kept = Vec::new();
    for batch in ipc::read(field, bytes)? {
        let fields = batch.schema_ref().fields().iter().enumerate();
        let places = fields.filter(|(_, column)| column.name() != name);
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        kept.push(batch.project(&places).map_err(wrong)?);
    }
    match kept.first() {
        Some(first) => ipc::write_all(&first.schema(), &kept).map(Bytes::from),
        None => Ok(Bytes::new()),
    }
}

fn means(forecast: &[u8]) -> Result<Means, ApiError> {
    let mut means = Means::new();
    for batch in ipc::read("forecast", forecast)? {
        let items = ipc::texts("forecast", &batch, "item_id")?;
        let values = ipc::column("forecast", &batch, "mean")?;
        for (row, value) in ipc::numbers("forecast", "mean", values)?
            .into_iter()
            .enumerate()
        {
            let item = items.get(row).unwrap_or_default().to_owned();
            // Where nothing is known, nothing is expected.
            *means.entry(item).or_default() += value.unwrap_or(0.0);
        }
    }
    Ok(means)
}

fn table(means: &Means, drivers: &[(String, Means)]) -> Result<RecordBatch, ApiError> {
    let (mut items, mut names) = (StringBuilder::new(), StringBuilder::new());
    let mut values: [Float64Builder; 3] = Default::default();
    for (item, mean) in means {
        for (name, without) in drivers {
            let without = without.get(item).copied().unwrap_or(0.0);
            items.append_value(item);
            names.append_value(name);
            for (builder, value) in values.iter_mut().zip([*mean, without, mean - without]) {
                builder.append_value(value);
            }
        }
    }
    let [mut mean, mut without, mut effect] = values;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(items.finish()),
        Arc::new(names.finish()),
        Arc::new(mean.finish()),
        Arc::new(without.finish()),
        Arc::new(effect.finish()),
    ];
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        text("item_id"),
        text("driver"),
        number("mean"),
        number("without"),
        number("effect"),
    ]));
    RecordBatch::try_new(schema, columns).map_err(|error| ApiError::Internal(error.to_string()))
}
