//! The result of a check as Python sees it. Built here, so that one check costs about a microsecond;
//! all other results are dataclasses.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

/// See `_core.pyi`.
#[pyclass(frozen, eq, hash, get_all, module = "bespeak._core")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AvailabilityStep {
    pub from_time_ms: i64,
    pub available: u64,
}

#[pymethods]
impl AvailabilityStep {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str) = ("from_time_ms", "available");

    #[new]
    fn new(from_time_ms: i64, available: u64) -> Self {
        Self {
            from_time_ms,
            available,
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "AvailabilityStep(from_time_ms={}, available={})",
            self.from_time_ms, self.available
        )
    }

    fn __getnewargs__(&self) -> (i64, u64) {
        (self.from_time_ms, self.available)
    }
}

/// See `_core.pyi`. Enums are kept as their number in the protocol; 0 is none.
#[pyclass(frozen, module = "bespeak._core")]
pub struct CheckResult {
    pub item: Py<PyString>,
    pub location: Py<PyString>,
    pub available: u64,
    pub in_full: bool,
    pub earliest_time_ms: Option<i64>,
    pub staircase: Vec<AvailabilityStep>,
    pub binding: u8,
    pub binding_time_ms: i64,
    pub hypothetical: bool,
    pub refusal: u8,
    pub revision: u64,
    pub engine_time_ms: i64,
}

/// Fields of a check result, in the order of its constructor.
const FIELDS: [&str; 12] = [
    "item",
    "location",
    "available",
    "in_full",
    "earliest_time_ms",
    "staircase",
    "binding",
    "binding_time_ms",
    "hypothetical",
    "refusal",
    "revision",
    "engine_time_ms",
];

/// What pickling hands to the constructor again.
type NewArgs<'py> = (
    &'py Py<PyString>,
    &'py Py<PyString>,
    u64,
    bool,
    Option<i64>,
    Bound<'py, PyTuple>,
    Option<Bound<'py, PyAny>>,
    i64,
    bool,
    Option<Bound<'py, PyAny>>,
    u64,
    i64,
);

impl CheckResult {
    fn text<'a>(&'a self, py: Python<'a>) -> PyResult<(&'a str, &'a str)> {
        Ok((
            self.item.bind(py).to_str()?,
            self.location.bind(py).to_str()?,
        ))
    }

    fn equals(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
        let plain = |it: &Self| {
            (
                (
                    it.available,
                    it.in_full,
                    it.earliest_time_ms,
                    it.binding,
                    it.binding_time_ms,
                ),
                (it.hypothetical, it.refusal, it.revision, it.engine_time_ms),
            )
        };
        Ok(plain(self) == plain(other)
            && self.staircase == other.staircase
            && self.text(py)? == other.text(py)?)
    }
}

#[pymethods]
impl CheckResult {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    fn match_args(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, FIELDS)
    }

    #[new]
    fn new(
        item: Py<PyString>,
        location: Py<PyString>,
        available: u64,
        in_full: bool,
        earliest_time_ms: Option<i64>,
        staircase: Vec<PyRef<'_, AvailabilityStep>>,
        binding: Option<Bound<'_, PyString>>,
        binding_time_ms: i64,
        hypothetical: bool,
        refusal: Option<Bound<'_, PyString>>,
        revision: u64,
        engine_time_ms: i64,
    ) -> PyResult<Self> {
        Ok(Self {
            item,
            location,
            available,
            in_full,
            earliest_time_ms,
            staircase: staircase.iter().map(|step| **step).collect(),
            binding: BINDING.number(binding)?,
            binding_time_ms,
            hypothetical,
            refusal: REFUSAL.number(refusal)?,
            revision,
            engine_time_ms,
        })
    }

    #[getter]
    fn item(&self, py: Python<'_>) -> Py<PyString> {
        self.item.clone_ref(py)
    }

    #[getter]
    fn location(&self, py: Python<'_>) -> Py<PyString> {
        self.location.clone_ref(py)
    }

    #[getter]
    fn available(&self) -> u64 {
        self.available
    }

    #[getter]
    fn in_full(&self) -> bool {
        self.in_full
    }

    #[getter]
    fn earliest_time_ms(&self) -> Option<i64> {
        self.earliest_time_ms
    }

    #[getter]
    fn staircase<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.staircase.iter().copied())
    }

    #[getter]
    fn binding<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        BINDING.member(py, self.binding)
    }

    #[getter]
    fn binding_time_ms(&self) -> i64 {
        self.binding_time_ms
    }

    #[getter]
    fn hypothetical(&self) -> bool {
        self.hypothetical
    }

    #[getter]
    fn refusal<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        REFUSAL.member(py, self.refusal)
    }

    #[getter]
    fn revision(&self) -> u64 {
        self.revision
    }

    #[getter]
    fn engine_time_ms(&self) -> i64 {
        self.engine_time_ms
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = other.py();
        let Ok(other) = other.cast::<Self>() else {
            return Ok(py.NotImplemented());
        };
        Ok(self
            .equals(other.get(), py)?
            .into_pyobject(py)?
            .to_owned()
            .into_any()
            .unbind())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        self.text(py)?.hash(&mut hasher);
        (self.available, self.revision, self.binding_time_ms).hash(&mut hasher);
        Ok(hasher.finish())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let mut text = String::from("CheckResult(");
        for (at, name) in FIELDS.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let value = slf.getattr(name)?.repr()?;
            write!(text, "{comma}{name}={}", value.to_str()?)
                .map_err(|e| PyValueError::new_err(e.to_string()))?;
        }
        text.push(')');
        Ok(text)
    }

    fn __getnewargs__<'py>(&'py self, py: Python<'py>) -> PyResult<NewArgs<'py>> {
        Ok((
            &self.item,
            &self.location,
            self.available,
            self.in_full,
            self.earliest_time_ms,
            self.staircase(py)?,
            self.binding(py)?,
            self.binding_time_ms,
            self.hypothetical,
            self.refusal(py)?,
            self.revision,
            self.engine_time_ms,
        ))
    }
}

/// The members of an enum of `bespeak.enums`, in the order of their numbers from 1.
struct Words {
    class: &'static str,
    members: PyOnceLock<Vec<Py<PyAny>>>,
}

static BINDING: Words = Words {
    class: "BindingConstraint",
    members: PyOnceLock::new(),
};
static REFUSAL: Words = Words {
    class: "Refusal",
    members: PyOnceLock::new(),
};

impl Words {
    fn members<'a>(&'a self, py: Python<'_>) -> PyResult<&'a [Py<PyAny>]> {
        let members = self.members.get_or_try_init(py, || {
            let class = py.import("bespeak.enums")?.getattr(self.class)?;
            class
                .try_iter()?
                .map(|member| Ok(member?.unbind()))
                .collect::<PyResult<_>>()
        })?;
        Ok(members)
    }

    fn member<'py>(&self, py: Python<'py>, number: u8) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(index) = usize::from(number).checked_sub(1) else {
            return Ok(None);
        };
        Ok(self
            .members(py)?
            .get(index)
            .map(|member| member.bind(py).clone()))
    }

    fn number(&self, word: Option<Bound<'_, PyString>>) -> PyResult<u8> {
        let Some(word) = word else {
            return Ok(0);
        };
        for (index, member) in self.members(word.py())?.iter().enumerate() {
            if word.as_any().eq(member)? {
                return Ok(u8::try_from(index + 1)?);
            }
        }
        Err(PyValueError::new_err(format!(
            "{} has no member {word}",
            self.class
        )))
    }
}
