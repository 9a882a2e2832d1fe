"""Values that cross between the worker and the units; all of them pickle."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass

import pyarrow as pa

from bespeak.allocation import Policy


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
    """Tables are IPC streams, empty where there are none; see docs/reference/allocation.md."""

    #: Empty lets the unit choose.
    solver: str
    orders: bytes | pa.Buffer
    options: bytes | pa.Buffer
    packages: bytes | pa.Buffer
    locations: bytes | pa.Buffer
    rates: bytes | pa.Buffer
    exclusions: bytes | pa.Buffer
    stock: bytes | pa.Buffer
    protection: bytes | pa.Buffer
    capacity: bytes | pa.Buffer
    #: See `serving.allocation.Terms`.
    tier_confidence: tuple[float, ...]
    policy: Policy
    floors: tuple[tuple[int, int], ...]
    #: None for the solver's own default.
    budget_ms: int | None
    #: Seconds that the caller still waits; None for ever.
    patience_s: float | None


#: Fields of an `AllocateJob` that are tables.
ALLOCATE_TABLES = (
    "orders",
    "options",
    "packages",
    "locations",
    "rates",
    "exclusions",
    "stock",
    "protection",
    "capacity",
)


@dataclass(frozen=True)
class AllocateAnswer:
    """A plan and how it came about."""

    table: pa.Buffer
    objective_minor: int
    bound_minor: int
    units_served: int
    units_unfilled: int
    prices: pa.Buffer
    #: Who made it, which need not be who was asked.
    solver: str
    version: str
    replica: str
    queued_s: float
    computed_s: float
    #: Until there was a feasible plan; None where the solver does not say.
    first_s: float | None
    #: The solver that was asked for could not, and `solver` answered instead.
    fell_back: bool


@dataclass(frozen=True)
class Offered:
    """A model or solver by name and version."""

    name: str
    version: str
    #: How a model was made ready; see `serving.deployments.preparation`.
    prepared: str = ""
    #: What of it was asked for and is not used, and why.
    declined: str = ""

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"


def process_name() -> str:
    """Names this process in answers."""
    return f"pid:{os.getpid()}"
