"""What is answered. All are frozen and compare by value; `Engine` and `Client` answer with the same classes.

Quantities are base units and instants UTC milliseconds since 1970 unless a field says otherwise.
`revision` is the journal position of a write, or the one that a read saw. `replayed` says that the
answer had been given before under the same request id.
"""

from bespeak._core import AvailabilityStep, CheckResult
from bespeak.results.admin import (
    AvailabilityReport,
    CatalogResult,
    Discrepancy,
    ForecastStats,
    LocationInfo,
    ReconcileResult,
    ReportBucket,
    SnapshotResult,
    SourceStats,
    Stats,
    UnmetDemand,
)
from bespeak.results.promises import (
    ConfirmResult,
    Explanation,
    ExtendResult,
    FulfilResult,
    HoldResult,
    LineExplanation,
    LinePart,
    LineResult,
    LocationAvailability,
    LocationExplanation,
    RegionAvailability,
    RegionResult,
    ReleaseResult,
    Reservation,
    ReservationLine,
)
from bespeak.results.supply import (
    ForecastAge,
    Position,
    PromiseAtRisk,
    Receipt,
    ReceiptResult,
    ReceiveResult,
    Shock,
    SupplyResult,
)

__all__ = [
    "AvailabilityReport",
    "AvailabilityStep",
    "CatalogResult",
    "CheckResult",
    "ConfirmResult",
    "Discrepancy",
    "Explanation",
    "ExtendResult",
    "ForecastAge",
    "ForecastStats",
    "FulfilResult",
    "HoldResult",
    "LineExplanation",
    "LinePart",
    "LineResult",
    "LocationAvailability",
    "LocationExplanation",
    "LocationInfo",
    "Position",
    "PromiseAtRisk",
    "Receipt",
    "ReceiptResult",
    "ReceiveResult",
    "ReconcileResult",
    "RegionAvailability",
    "RegionResult",
    "ReleaseResult",
    "ReportBucket",
    "Reservation",
    "ReservationLine",
    "Shock",
    "SnapshotResult",
    "SourceStats",
    "Stats",
    "SupplyResult",
    "UnmetDemand",
]
