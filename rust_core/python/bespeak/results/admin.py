"""Answers to master data and for operators."""

from dataclasses import dataclass

from bespeak.requests import BufferPolicy, Location, SupplyRule


@dataclass(frozen=True, slots=True)
class CatalogResult:
    """Answer to a write of master data.

    Attributes:
        revision: journal position.
        replayed: given before under this request id, or a duplicate.
        duplicate: the source event had been seen before and was ignored.
    """

    revision: int
    replayed: bool
    duplicate: bool


@dataclass(frozen=True, slots=True)
class LocationInfo:
    """A location with the supply rule that its positions follow unless they have their own."""

    location: Location
    rule: SupplyRule
    revision: int
    buffer_policy: BufferPolicy


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What has come of one event feed. `gaps` counts numbers below the highest that have not been seen."""

    source: str
    highest_sequence: int
    gaps: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class ForecastStats:
    """Forecasts that the server keeps; ages are milliseconds, 0 without a forecast."""

    positions: int
    position_days: int
    totals_positions: int
    stale_positions: int
    oldest_age_ms: int
    newest_age_ms: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The service in numbers. `digest` is hex, and empty unless asked for."""

    revision: int
    durable_revision: int
    engine_time_ms: int
    epoch: int
    mode: str
    items: int
    locations: int
    positions: int
    receipts: int
    held_reservations: int
    confirmed_reservations: int
    open_shocks: int
    remembered_requests: int
    journal_bytes: int
    journal_segments: int
    last_snapshot_revision: int
    digest: str
    sources: tuple[SourceStats, ...]
    clock_suspect: bool
    version: str
    forecasts: ForecastStats
    request_index_bytes: int
    movement_bytes: int


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A balance that does not hold; `revision` is the first journal record after which it does not, 0 if unknown."""

    item: str
    location: str
    what: str
    expected: int
    found: int
    revision: int


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Proof of conservation over the retained journal: no discrepancy, and no unit oversold."""

    revision: int
    positions_checked: int
    records_checked: int
    oversold_units: int
    discrepancies: tuple[Discrepancy, ...]


@dataclass(frozen=True, slots=True)
class SnapshotResult:
    """A snapshot or backup that holds everything up to `revision`, and its size in bytes."""

    revision: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class UnmetDemand:
    """Units and lines of one position and day that could not be promised; retries count once.

    `day` counts days since 1970-01-01 in the location's calendar.
    """

    item: str
    location: str
    day: int
    units: int
    lines: int


@dataclass(frozen=True, slots=True)
class ReportBucket:
    """One bucket of an availability report. `available` is signed: a shortage is negative."""

    from_time_ms: int
    supply: int
    demand: int
    available: int


@dataclass(frozen=True, slots=True)
class AvailabilityReport:
    """Answer to `report_availability`: the stock on hand that counts at the start, then one entry a bucket."""

    on_hand: int
    buckets: tuple[ReportBucket, ...]
    revision: int
