//! Allocation: tables in by the Arrow C stream, plans out the same way. Nothing of a row becomes a Python object, and
//! the interpreter is let go while anything is planned.

mod arrays;
mod columns;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use bespeak_allocation::tables::{self, Names, Price, TableError, Tables};
use bespeak_allocation::{Budget, Floor, Plans, Policy, Problem, RowKind, Solution, Terms};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_arrow::{PyArray, PyRecordBatch, PyTable};

use arrays::{chosen, floats, numbers, options_of};

/// How often a search looks whether Python wants to end it.
const SIGNALS: Duration = Duration::from_millis(20);

/// See `_core.pyi`.
#[pyclass(frozen, module = "bespeak._core")]
pub struct AllocationProblem {
    problem: Problem,
    names: Names,
    cancelled: AtomicBool,
}

/// Options by line, cost, bound, prices by row, and the trace as microseconds and costs.
type Found = (PyArray, i64, i64, PyArray, Vec<(u64, i64)>);

#[pymethods]
impl AllocationProblem {
    #[new]
    #[pyo3(signature = (tables, tier_confidence = Vec::new()))]
    fn new(
        py: Python<'_>,
        tables: HashMap<String, PyTable>,
        tier_confidence: Vec<f64>,
    ) -> PyResult<Self> {
        let mut given = Tables {
            tier_confidence,
            ..Tables::default()
        };
        for (name, table) in tables {
            let (batches, schema) = table.into_inner();
            let (slot, name) = slot(&mut given, &name)?;
            let whole = tables::combine(name, &batches).map_err(|error| wrong(&error))?;
            *slot = Some(whole.unwrap_or_else(|| RecordBatch::new_empty(schema)));
        }
        let made = py.detach(|| {
            let (input, names) = tables::read(&given).map_err(|error| wrong(&error))?;
            let problem = Problem::new(input).map_err(|error| wrong(&error))?;
            Ok::<_, PyErr>((problem, names))
        });
        let (problem, names) = made?;
        Ok(Self {
            problem,
            names,
            cancelled: AtomicBool::new(false),
        })
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    #[pyo3(signature = (budget_ms, *, policy = "cost", floors = Vec::new(), prices = None, bias = None, start = None, seed = 0))]
    fn search(
        &self,
        py: Python<'_>,
        budget_ms: f64,
        policy: &str,
        floors: Vec<(u8, u32)>,
        prices: Option<PyArray>,
        bias: Option<PyRecordBatch>,
        start: Option<PyArray>,
        seed: u64,
    ) -> PyResult<Found> {
        let until = Instant::now() + budget(budget_ms)?;
        let floor = |(tier, fill_ppm)| Floor { tier, fill_ppm };
        let terms = Terms {
            policy: policy_named(policy)?,
            floors: floors.into_iter().map(floor).collect(),
            prices: prices.map(|prices| self.prices(&prices)).transpose()?,
            bias: bias
                .map(|bias| self.weighted(&bias.into_inner()))
                .transpose()?,
            start: start.map(|start| self.choice(&start)).transpose()?,
            seed,
        };
        self.watched(py, &terms, until).map(found)
    }

    fn greedy(&self, py: Python<'_>) -> Found {
        found(py.detach(|| self.problem.greedy()))
    }

    /// Best plan of each order at prices: values by order, options by line.
    fn best_plans(&self, py: Python<'_>, prices: PyArray) -> PyResult<(PyArray, PyArray)> {
        let prices = self.prices(&prices)?;
        let mut plans = Plans::default();
        py.detach(|| self.problem.best_plans(&prices, &mut plans));
        Ok((floats(plans.values), chosen(&plans.choice)))
    }

    fn priced(
        &self,
        py: Python<'_>,
        prices: PyArray,
        below: PyArray,
    ) -> PyResult<(PyRecordBatch, PyArray)> {
        let prices = self.prices(&prices)?;
        let below = self.by_order(&below)?;
        let made = py.detach(|| columns::priced(&self.problem, &prices, &below));
        let (columns, values) = made.map_err(not_held)?;
        Ok((columns.into(), floats(values)))
    }

    fn near(
        &self,
        py: Python<'_>,
        prices: PyArray,
        slack: f64,
        each_max: usize,
        most: usize,
    ) -> PyResult<PyRecordBatch> {
        let prices = self.prices(&prices)?;
        let made = py.detach(|| columns::near(&self.problem, &prices, slack, each_max, most));
        Ok(made.map_err(not_held)?.into())
    }

    fn columns(&self, py: Python<'_>, orders: PyArray, choice: PyArray) -> PyResult<PyRecordBatch> {
        let orders = numbers(&orders, self.problem.input().orders.len(), "orders")?;
        let choice = options_of(&choice, self.problem.options().len(), "choice")?;
        let made = py.detach(|| columns::of_choices(&self.problem, &orders, &choice));
        match made.map_err(not_held)? {
            Some(columns) => Ok(columns.into()),
            None => Err(PyValueError::new_err(format!(
                "choice has {} options: give one for each line of each order",
                choice.len()
            ))),
        }
    }

    fn bound(&self, py: Python<'_>, prices: PyArray) -> PyResult<i64> {
        let prices = self.prices(&prices)?;
        Ok(py.detach(|| self.problem.bound(&prices)))
    }

    fn costs<'py>(&self, py: Python<'py>, choice: PyArray) -> PyResult<Bound<'py, PyDict>> {
        let choice = self.choice(&choice)?;
        let costs = py.detach(|| self.problem.costs(&choice));
        let told = PyDict::new(py);
        told.set_item("package_minor", costs.package)?;
        told.set_item("freight_minor", costs.freight)?;
        told.set_item("handling_minor", costs.handling)?;
        told.set_item("late_minor", costs.late)?;
        told.set_item("unfilled_minor", costs.unfilled)?;
        told.set_item("lines_minor", costs.lines)?;
        told.set_item("total_minor", costs.total)?;
        Ok(told)
    }

    fn check(&self, py: Python<'_>, choice: PyArray) -> PyResult<Option<String>> {
        let choice = self.choice(&choice)?;
        let checked = py.detach(|| self.problem.check(&choice));
        Ok(checked.err().map(|broken| broken.to_string()))
    }

    fn single_offers(&self, py: Python<'_>) -> PyResult<PyRecordBatch> {
        let offers = py.detach(|| columns::single_offers(&self.problem));
        Ok(offers.map_err(not_held)?.into())
    }

    /// Limits that can bind.
    fn rows(&self) -> PyResult<PyRecordBatch> {
        Ok(columns::rows(&self.problem).map_err(not_held)?.into())
    }

    /// Order, units and cost of leaving it unfilled, by line.
    fn lines(&self) -> PyResult<PyRecordBatch> {
        Ok(columns::lines(self.problem.input())
            .map_err(not_held)?
            .into())
    }

    fn plan_table(&self, py: Python<'_>, choice: PyArray) -> PyResult<PyRecordBatch> {
        let choice = self.choice(&choice)?;
        let (input, options) = (self.problem.input(), self.problem.options());
        let table = py.detach(|| tables::plan_table(input, &self.names, options, &choice));
        Ok(table.map_err(not_held)?.into())
    }

    fn prices_table(&self, py: Python<'_>, prices: PyArray) -> PyResult<PyRecordBatch> {
        let prices = self.prices(&prices)?;
        let priced = self.problem.rows().iter().zip(&prices);
        let of_stock = priced.filter_map(|(row, &minor)| match row.kind {
            RowKind::Stock {
                item,
                location,
                class,
            } => Some(Price {
                item,
                location,
                class,
                minor,
            }),
            RowKind::Window(_) => None,
        });
        let table = py.detach(|| tables::prices_table(&self.names, of_stock));
        Ok(table.map_err(not_held)?.into())
    }

    fn __repr__(&self) -> String {
        let input = self.problem.input();
        format!(
            "AllocationProblem({} orders, {} lines, {} options, {} limits)",
            input.orders.len(),
            input.lines.len(),
            self.problem.options().len(),
            self.problem.rows().len()
        )
    }
}

impl AllocationProblem {
    /// Searches, and ends early where Python has a signal to handle.
    fn watched(&self, py: Python<'_>, terms: &Terms, until: Instant) -> PyResult<Solution> {
        py.detach(|| {
            std::thread::scope(|scope| {
                let (done, waiting) = sync_channel(1);
                let budget = Budget {
                    until,
                    cancelled: Some(&self.cancelled),
                };
                scope.spawn(move || done.send(self.problem.search(terms, &budget)));
                loop {
                    match waiting.recv_timeout(SIGNALS) {
                        Ok(solution) => return Ok(solution),
                        Err(RecvTimeoutError::Timeout) => {
                            if let Err(signal) = Python::attach(|py| py.check_signals()) {
                                self.cancel();
                                return Err(signal);
                            }
                        }
                        Err(RecvTimeoutError::Disconnected) => {
                            return Err(PyRuntimeError::new_err("the search failed: a bug"));
                        }
                    }
                }
            })
        })
    }

    fn prices(&self, given: &PyArray) -> PyResult<Vec<f64>> {
        arrays::reals(given, self.problem.rows().len(), "prices")
    }

    fn by_order(&self, given: &PyArray) -> PyResult<Vec<f64>> {
        arrays::reals(given, self.problem.input().orders.len(), "below")
    }

    /// An option or none for each line.
    fn choice(&self, given: &PyArray) -> PyResult<Vec<u32>> {
        let choice = options_of(given, self.problem.options().len(), "choice")?;
        let lines = self.problem.input().lines.len();
        if choice.len() != lines {
            let message = format!(
                "choice has {} numbers: give one for each of {lines} lines",
                choice.len()
            );
            return Err(PyValueError::new_err(message));
        }
        Ok(choice)
    }

    /// Plans of orders with weights.
    fn weighted(&self, given: &RecordBatch) -> PyResult<Vec<(u32, Vec<u32>, f64)>> {
        columns::weighted(&self.problem, given).ok_or_else(|| {
            let message =
                "bias must have the columns order, choice and weight of this problem's plans";
            PyValueError::new_err(message)
        })
    }
}

fn found(solution: Solution) -> Found {
    let micros = |at: Duration| u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    let trace = solution.trace.iter();
    (
        chosen(&solution.choice),
        solution.cost,
        solution.bound,
        floats(solution.prices),
        trace.map(|(at, cost)| (micros(*at), *cost)).collect(),
    )
}

fn slot<'a>(
    tables: &'a mut Tables,
    name: &str,
) -> PyResult<(&'a mut Option<RecordBatch>, &'static str)> {
    Ok(match name {
        "orders" => (&mut tables.orders, "orders"),
        "options" => (&mut tables.options, "options"),
        "packages" => (&mut tables.packages, "packages"),
        "locations" => (&mut tables.locations, "locations"),
        "rates" => (&mut tables.rates, "rates"),
        "exclusions" => (&mut tables.exclusions, "exclusions"),
        "stock" => (&mut tables.stock, "stock"),
        "protection" => (&mut tables.protection, "protection"),
        "capacity" => (&mut tables.capacity, "capacity"),
        _ => {
            let error = TableError {
                field: "table".to_owned(),
                value: name.to_owned(),
                rule: "the tables are orders, options, packages, locations, rates, exclusions, \
                       stock, protection, capacity"
                    .to_owned(),
            };
            return Err(wrong(&error));
        }
    })
}

fn policy_named(name: &str) -> PyResult<Policy> {
    Ok(match name {
        "cost" => Policy::Cost,
        "tiers" => Policy::Tiers,
        "fair-share" => Policy::FairShare,
        "max-min" => Policy::MaxMin,
        _ => {
            let message =
                format!("policy is {name:?}, it must be cost, tiers, fair-share or max-min");
            return Err(PyValueError::new_err(message));
        }
    })
}

fn budget(ms: f64) -> PyResult<Duration> {
    let spent = Duration::try_from_secs_f64(ms / 1e3);
    spent
        .ok()
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| {
            PyValueError::new_err(format!("budget_ms is {ms}, it must be from 0 to a day"))
        })
}

#[cold]
fn wrong(error: &dyn std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[cold]
fn not_held(error: arrow_schema::ArrowError) -> PyErr {
    PyRuntimeError::new_err(format!("the table cannot be made: {error}"))
}
