//! The engine inside a Python process.

use std::path::PathBuf;
use std::sync::Arc;

use bespeak_proto::v1 as pb;
use bespeak_server::Surroundings;
use bespeak_server::api::Api;
use bespeak_server::config::{EngineSettings, JournalSettings};
use bespeak_server::metrics::Metrics;
use bespeak_server::store::Store;
use bespeak_server::tables::read::Wanted;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use pyo3_arrow::input::AnyRecordBatch;

use crate::clock::ManualClock;
use crate::results::{AvailabilityStep, CheckResult};
use crate::tables::{self, Work};
use crate::{call, detach, journal};

/// The path that keeps nothing.
const IN_MEMORY: &str = ":memory:";

/// See `_core.pyi`.
#[pyclass(frozen, subclass, module = "bespeak._core")]
pub struct EmbeddedEngine {
    api: Api,
}

#[pymethods]
impl EmbeddedEngine {
    #[new]
    #[pyo3(signature = (path, *, clock = None, default_hold_ms = 0, max_hold_life_ms = 0,
        max_held_units_per_customer = 0, remembered_requests = 0))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        clock: Option<&ManualClock>,
        default_hold_ms: i64,
        max_hold_life_ms: i64,
        max_held_units_per_customer: u64,
        remembered_requests: usize,
    ) -> PyResult<Self> {
        let engine = EngineSettings {
            default_hold_ms,
            max_hold_life_ms,
            max_held_units_per_customer,
            remembered_requests,
        };
        let journal = JournalSettings {
            path: (path.as_os_str() != IN_MEMORY).then_some(path),
            ..JournalSettings::default()
        };
        let mut around = Surroundings::default();
        if let Some(clock) = clock {
            around.clock = clock.clock();
        }
        let store = py.detach(|| Store::open(&journal, &engine, around, &Arc::default()));
        let store = store.map_err(|error| detach::raised(py, &error))?;
        Ok(Self {
            api: Api::new(Arc::new(store), Arc::new(Metrics::default())),
        })
    }

    #[pyo3(signature = (item, location, quantity = 0, unit = "", ship_time_ms = 0, *, with_staircase = false, rule = None))]
    fn check<'py>(
        &self,
        item: Bound<'py, PyString>,
        location: Bound<'py, PyString>,
        quantity: u64,
        unit: &str,
        ship_time_ms: i64,
        with_staircase: bool,
        rule: Option<Bound<'py, PyAny>>,
    ) -> PyResult<CheckResult> {
        let py = item.py();
        let line = pb::CheckLine {
            item: item.to_str()?.to_owned(),
            location: location.to_str()?.to_owned(),
            quantity,
            unit: unit.to_owned(),
            ship_time_ms,
        };
        let rule = rule.map(|rule| rule_message(&rule)).transpose()?;
        let request = pb::CheckRequest {
            lines: vec![line],
            with_staircase,
            rule,
            ..Default::default()
        };
        let seen = self.api.check(request);
        let answer = detach::attached(py, self.api.store(), seen)?;
        let (revision, engine_time_ms) = (answer.revision, answer.engine_time_ms);
        // One line was asked, so one result is there.
        let result = answer.results.into_iter().next().unwrap_or_default();
        let step = |step: &pb::AvailabilityStep| AvailabilityStep {
            from_time_ms: step.from_time_ms,
            available: step.available,
        };
        Ok(CheckResult {
            item: item.unbind(),
            location: location.unbind(),
            available: result.available,
            in_full: result.in_full,
            earliest_time_ms: result.earliest_time_ms,
            staircase: result.staircase.iter().map(step).collect(),
            binding: result.binding as u8,
            binding_time_ms: result.binding_time_ms,
            hypothetical: result.hypothetical,
            refusal: result.refusal as u8,
            revision,
            engine_time_ms,
        })
    }

    fn exchange<'py>(
        &self,
        py: Python<'py>,
        work: &str,
        table: AnyRecordBatch,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(work) = Work::named(work) else {
            return Err(PyValueError::new_err(format!(
                "work is {work}: use check, reserve or supply"
            )));
        };
        tables::exchange(py, &self.api, work, table.into_reader()?)?.into_pyarrow(py)
    }

    fn dump<'py>(&self, py: Python<'py>, ticket: &str) -> PyResult<Bound<'py, PyAny>> {
        let wanted = Wanted::from_word(ticket).map_err(|error| detach::raised(py, &error))?;
        tables::dump(py, &self.api, &wanted)?.into_pyarrow(py)
    }

    fn backup_to(&self, py: Python<'_>, directory: PathBuf) -> PyResult<(u64, u64)> {
        let made = py.detach(|| journal::backup(&self.api, &directory));
        made.map_err(|error| detach::raised(py, &error))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.api.store().close())
            .map_err(|error| detach::raised(py, &error))
    }

    fn call<'py>(
        &self,
        py: Python<'py>,
        path: &str,
        message: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let answer = detach::detached(py, self.api.store(), || {
            call::call(&self.api, path, message)
        })?;
        Ok(PyBytes::new(py, &answer))
    }
}

/// The message that Python builds for a `RuleOverride`.
fn rule_message(rule: &Bound<'_, PyAny>) -> PyResult<pb::RuleOverride> {
    let py = rule.py();
    let codec = py.import("bespeak._codec")?;
    let bytes = codec.call_method1("rule_bytes", (rule,))?;
    let decoded = prost::Message::decode(bytes.cast::<PyBytes>()?.as_bytes());
    decoded.map_err(|error: prost::DecodeError| PyValueError::new_err(error.to_string()))
}
