"""Values that cross between the worker and the units; all of them pickle."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass

import pyarrow as pa


class RefusalKind(enum.Enum):
    """Why a job was not done."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    FULL = "full"
    LATE = "late"


@dataclass(frozen=True)
class Refusal:
    """An answer that is not a result; the message is meant for the caller."""

    kind: RefusalKind
    message: str


class Refused(Exception):
    """Carries a `Refusal` up to the unit's edge, where it becomes the answer."""

    def __init__(self, kind: RefusalKind, message: str):
        super().__init__(message)
        self.refusal = Refusal(kind, message)


@dataclass(frozen=True)
class ForecastJob:
    """Tables are IPC streams; see `models.protocol`."""

    #: Empty for the default.
    model: str
    context: bytes | pa.Buffer
    #: Empty for none.
    future: bytes | pa.Buffer
    horizon: int
    quantiles: tuple[float, ...]
    #: Seconds that the caller still waits; None for ever.
    patience_s: float | None
    #: Days of the totals that are wanted besides, ascending.
    totals: tuple[int, ...] = ()


@dataclass(frozen=True)
class ForecastAnswer:
    """A forecast and how it came about."""

    table: pa.Buffer
    series: int
    model: str
    version: str
    replica: str
    #: Series of all callers in the same pass.
    batch_series: int
    #: Time before the pass, and the pass itself.
    queued_s: float
    computed_s: float
    #: Reading and checking the tables, and writing the answer's.
    decoded_s: float = 0.0
    encoded_s: float = 0.0
    #: Memory of the GPU that this process holds; 0 without one.
    gpu_bytes: int = 0
    #: None unless totals were asked for.
    totals: pa.Buffer | None = None
    #: They were made of the forecasts by day.
    totals_approximate: bool = False


@dataclass(frozen=True)
class AllocateJob:
    """Tables are IPC streams; see `serving.allocation.protocol`."""

    solver: str
    lines: bytes | pa.Buffer
    options: bytes | pa.Buffer
    stock: bytes | pa.Buffer
    #: Empty for none.
    packages: bytes | pa.Buffer
    capacity: bytes | pa.Buffer
    #: None for the solver's own default.
    budget_ms: int | None
    patience_s: float | None


@dataclass(frozen=True)
class AllocateAnswer:
    """A plan and how it came about."""

    table: pa.Buffer
    objective_minor: int
    bound_minor: int
    units_served: int
    units_unfilled: int
    solver: str
    version: str
    replica: str
    queued_s: float
    computed_s: float


@dataclass(frozen=True)
class Offered:
    """A model or solver by name and version."""

    name: str
    version: str
    #: How a model was made ready; see `serving.deployments.preparation`.
    prepared: str = ""

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"


def process_name() -> str:
    """Names this process in answers."""
    return f"pid:{os.getpid()}"
