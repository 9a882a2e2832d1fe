//! The server inside a Python process, which only starts it: no request ever waits for the interpreter.

use std::time::Duration;

use bespeak_server::{ServerConfig, ServerHandle};
use pyo3::prelude::*;

use crate::detach::not_started;

/// See `_core.pyi`.
#[pyclass(frozen, module = "bespeak._core")]
pub struct Server {
    handle: ServerHandle,
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (config_json, *, log_filter = None))]
    fn new(py: Python<'_>, config_json: &str, log_filter: Option<&str>) -> PyResult<Self> {
        let started = py.detach(|| {
            if let Some(filter) = log_filter {
                bespeak_server::log_json(filter)?;
            }
            let config = ServerConfig::from_json(config_json)?;
            bespeak_memory::keep_all();
            bespeak_memory::touch(config.touch_memory_bytes);
            bespeak_server::Server::start(config)
        });
        Ok(Self {
            handle: started.map_err(|error| not_started(py, &error))?,
        })
    }

    #[getter]
    fn address(&self) -> String {
        self.handle.address().to_string()
    }

    #[getter]
    fn metrics_address(&self) -> Option<String> {
        self.handle
            .metrics_address()
            .map(|address| address.to_string())
    }

    fn wait_ready(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<()> {
        py.detach(|| self.handle.wait_ready(Duration::from_millis(timeout_ms)))
            .map_err(|error| not_started(py, &error))
    }

    fn drain(&self) {
        self.handle.drain();
    }

    fn wait(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.handle.wait())
            .map_err(|error| not_started(py, &error))
    }
}
