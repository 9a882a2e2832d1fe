//! Takes a table of forecasts: all of it, or nothing.

use std::sync::{Arc, LazyLock, PoisonError};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_aside::Pace;
use bespeak_demand::forecasts::{Draft, Kind};
use bespeak_engine::UtcMillis;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::{derive, table};
use crate::api::Api;
use crate::convert::fields;
use crate::error::ApiError;
use crate::flight::Input;
use crate::seats::Few;
use crate::shared::Shared;

/// Batches that wait for the thread that reads them.
const WAITING: usize = 2;
/// Time for the next batch, or the end, to have come: who is silent keeps a seat from others.
const BETWEEN: Duration = Duration::from_secs(60);
/// How far a caller's clock may be ahead.
const AHEAD_MS: i64 = 60_000;

/// The answer to a push, one row.
static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let names = ["positions", "rows", "older", "buffers_changed", "revision"];
    let fields = names.map(|name| Field::new(name, DataType::UInt64, false));
    Arc::new(Schema::new(fields.to_vec()))
});

/// What is pushed, as its descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    kind: Kind,
    model: String,
    /// `None` is now.
    computed_at: Option<UtcMillis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    table: String,
    model: String,
    #[serde(default)]
    computed_at_ms: i64,
}

impl Pushed {
    /// What a descriptor's word names; `None` when it is no forecast.
    ///
    /// # Errors
    /// `InvalidArgument` for a forecast without a model, or fields that make no sense.
    pub fn from_word(word: &str) -> Result<Option<Self>, ApiError> {
        let named = |table: &str| Kind::ALL.into_iter().find(|kind| kind.table() == table);
        let rule = "it must be JSON such as {\"table\": \"forecasts\", \"model\": \"patch-nano@2\", \
                    \"computed_at_ms\": 1767225600000}";
        let wrong = || ApiError::invalid("descriptor", word, rule);
        if named(word).is_some() {
            return Err(wrong());
        }
        // What is no JSON of a forecast is somebody else's word.
        let table = serde_json::from_str::<serde_json::Value>(word).ok();
        let table = table
            .as_ref()
            .and_then(|asked| asked.get("table")?.as_str());
        let Some(kind) = table.and_then(named) else {
            return Ok(None);
        };
        let asked: Asked = serde_json::from_str(word).map_err(|_| wrong())?;
        debug_assert_eq!(asked.table, kind.table());
        Ok(Some(Self {
            kind,
            model: fields::name("descriptor.model", &asked.model)?.to_owned(),
            computed_at: fields::time("descriptor.computed_at_ms", asked.computed_at_ms)?,
        }))
    }
}

/// Pushes. Each keeps its whole table in memory until it ends, and has a thread.
#[derive(Debug)]
pub(super) struct Pushes;

impl Few for Pushes {
    const WHAT: &'static str = "pushes of forecasts";
    const SEATS: usize = 2;
    const RETRY_MS: u64 = 1_000;
}

/// Reads the stream to its end, keeps the forecasts, and sets the buffers that follow them.
///
/// # Errors
/// `Overloaded`, at once, while as many are pushed as may be. `InvalidArgument` names the first row that cannot be, and
/// is for a caller who is silent for too long; nothing has changed then.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    api: &Api,
    pushed: Pushed,
    mut input: Input,
) -> Result<RecordBatch, ApiError> {
    let seat = api.forecasts().seats.take()?;
    let _permit = shared.permit_owned()?;
    let rows_max = shared.limits.batch_rows;
    let (send, batches) = mpsc::channel(WAITING);
    let (tell, told) = oneshot::channel();
    let worker = api.clone();
    // A thread of its own, which rests while it reads, writes and sets buffers: what walks a million rows keeps neither
    // the promises nor other calls from theirs.
    std::thread::Builder::new()
        .name("bespeak-push".to_owned())
        .spawn(move || {
            let done = work(&worker, pushed, batches, rows_max);
            // Who is told finds the seat free.
            drop(seat);
            // Nobody waits any longer when the caller is gone.
            let _ = tell.send(done);
        })
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let mut failed = None;
    while failed.is_none() {
        let next = within(BETWEEN, input.next()).await;
        let ended = matches!(next, Ok(None));
        failed = next.as_ref().err().cloned();
        // The thread ends early when a row is wrong.
        if send.send(next).await.is_err() || ended {
            break;
        }
    }
    drop(send);
    let ended = told
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    let (row, revision) = match failed {
        Some(error) => return Err(error),
        None => ended?,
    };
    api.store().gate().wait(revision).await?;
    Ok(row)
}

/// What comes in time.
///
/// # Errors
/// `InvalidArgument` when nothing does.
async fn within<T>(
    patience: Duration,
    next: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let late = |_| {
        let value = format!("silent for {} s", patience.as_secs());
        let rule =
            "send the next batch, or the end, before that: make the table first, then push it";
        ApiError::invalid("stream", value, rule)
    };
    tokio::time::timeout(patience, next).await.map_err(late)?
}

fn work(
    api: &Api,
    pushed: Pushed,
    mut batches: mpsc::Receiver<Result<Option<RecordBatch>, ApiError>>,
    rows_max: usize,
) -> Result<(RecordBatch, u64), ApiError> {
    let (store, keeper) = (api.store(), api.forecasts());
    let now = store.read(|state| Ok(state.now())).result?;
    let computed_at = pushed.computed_at.unwrap_or(now);
    if computed_at > now.plus(AHEAD_MS) {
        let rule = "it may not lie in the future";
        return Err(ApiError::invalid(
            "descriptor.computed_at_ms",
            computed_at.get(),
            rule,
        ));
    }
    let mut pace = Pace::new();
    let mut draft: Option<Draft> = None;
    // A caller who is gone sends no end: what came of the table is then not the whole of it.
    let mut whole = false;
    while let Some(next) = batches.blocking_recv() {
        let Some(batch) = next? else {
            whole = true;
            break;
        };
        let draft = match &mut draft {
            Some(draft) => draft,
            None => draft.insert(table::draft(pushed.kind, &batch)?),
        };
        table::take(draft, pushed.kind, &batch, rows_max, store, &mut pace)?;
    }
    if !whole {
        let what = "the stream broke off before its end".to_owned();
        return Err(ApiError::Malformed(what));
    }
    let draft = draft.ok_or_else(|| ApiError::invalid("rows", 0, "send at least one batch"))?;
    let block = draft.finish(&pushed.model, computed_at.min(now))?;
    let positions: Vec<_> = (0..block.positions())
        .map(|n| block.series(n).position())
        .collect();
    let pushing = keeper.pushes.read().unwrap_or_else(PoisonError::into_inner);
    let put = keeper.forecasts.put(block, store.as_ref())?;
    let derived = match pushed.kind {
        Kind::Totals => derive::buffers(api, positions.into_iter(), &mut pace)?,
        Kind::Days => derive::Derived::default(),
    };
    drop(pushing);
    // The positions were found in what may not be durable yet.
    let seen = store.read(|_| Ok(())).revision;
    let numbers = [
        put.positions as u64,
        put.rows as u64,
        put.older as u64,
        derived.changed,
        derived.revision,
    ];
    let columns = numbers.map(|number| Arc::new(UInt64Array::from(vec![number])) as ArrayRef);
    let row = RecordBatch::try_new(Arc::clone(&SCHEMA), columns.to_vec())
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok((row, derived.revision.max(seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_caller_is_waited_for_so_long() {
        let soon = Duration::from_millis(1);
        let silent = std::future::pending::<Result<(), ApiError>>();
        let told = within(soon, silent).await.expect_err("nothing came");
        assert_eq!(told.code(), "INVALID_ARGUMENT");
        assert!(told.to_string().starts_with("stream is silent"), "{told}");
        assert_eq!(within(soon, async { Ok(7) }).await, Ok(7));
        let broken = within(soon, async { Err::<(), _>(ApiError::Draining) }).await;
        assert_eq!(broken, Err(ApiError::Draining));
    }
}
