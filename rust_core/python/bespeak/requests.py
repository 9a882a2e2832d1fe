"""What callers hand in: lines, rules and master data. All are frozen and compare by value.

Quantities are whole numbers of the item's base unit, or of `unit` where one is named. Instants are
UTC milliseconds since 1970; 0 is the engine's now.
"""

from dataclasses import dataclass
from typing import Protocol

from bespeak.enums import BufferSource, LocationKind, ReceiptKind, ShortagePolicy, StockStatus


class ArrowStream(Protocol):
    """Anything with the Arrow C interface: a pyarrow, polars or DuckDB table, a record batch reader."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Gives the table as a stream of record batches."""


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One line of a check. `quantity` 0 asks only what is available."""

    item: str
    location: str
    quantity: int = 0
    unit: str = ""
    ship_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class PromiseLine:
    """One line of a promise: where it comes from is chosen.

    `latest_ship_time_ms` is the last acceptable ship time; 0 is the wanted one only. The fill policy
    SHIP_COMPLETE and the sourcing policy EARLIEST may go up to it.
    """

    item: str
    quantity: int
    unit: str = ""
    ship_time_ms: int = 0
    latest_ship_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class ReserveLine:
    """One line of a reservation with its location.

    `latest_ship_time_ms` is the last acceptable ship time, used by SHIP_COMPLETE; 0 is the wanted one only.
    """

    item: str
    location: str
    quantity: int
    unit: str = ""
    ship_time_ms: int = 0
    latest_ship_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class FulfilLine:
    """Base units of one line of a reservation that left, from another location than planned where one is named."""

    line: int
    quantity: int
    location: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """Base units of one line of a reservation that are given back."""

    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class RuleOverride:
    """Stricter than the position's own supply rule; or looser, for a check alone, and then hypothetical.

    Attributes:
        statuses: stock that counts; empty keeps the rule's.
        receipt_kinds: receipts that count; empty keeps the rule's.
        extra_buffer: base units kept back beside the buffer.
        on_hand_only: counts nothing but stock on hand.
    """

    statuses: tuple[StockStatus, ...] = ()
    receipt_kinds: tuple[ReceiptKind, ...] = ()
    extra_buffer: int = 0
    on_hand_only: bool = False


@dataclass(frozen=True, slots=True)
class SourceSequence:
    """Number of an event in its feed, from 1, one an event: a late or repeated event then counts once."""

    source: str
    sequence: int


@dataclass(frozen=True, slots=True)
class ArrivalSpread:
    """How sure a receipt is.

    Attributes:
        late_time_ms: time by which it has come with the probability that is counted on (P95); not before due.
        yield_ppm: expected usable share of the quantity in parts per million; 0 is all of it.
    """

    late_time_ms: int
    yield_ppm: int = 0


@dataclass(frozen=True, slots=True)
class UnitOfMeasure:
    """`numerator` base units make `denominator` of this unit: a case of 12 is 12/1, a half pack 1/2."""

    unit: str
    numerator: int
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class Item:
    """What is sold. Quantities are kept in its base unit."""

    item: str
    base_unit: str = "EA"
    units: tuple[UnitOfMeasure, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where stock is kept. Its days begin and end by `time_zone`, an IANA name; "" is UTC."""

    location: str
    time_zone: str = ""
    kind: LocationKind | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """A named set of locations, in the order in which `promise` tries them."""

    region: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransitQuantile:
    """Milliseconds within which a package arrives with a probability of `level_ppm` parts per million."""

    level_ppm: int
    transit_ms: int


@dataclass(frozen=True, slots=True)
class WeightBreak:
    """Cost of a package up to a weight, in minor units of an ISO 4217 currency."""

    up_to_grams: int
    fixed_minor: int
    per_kg_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Lane:
    """From a location to a zone with one carrier service; quantiles and weight breaks ascending."""

    lane: str
    from_location: str
    to_zone: str
    carrier: str = ""
    service: str = ""
    transit: tuple[TransitQuantile, ...] = ()
    costs: tuple[WeightBreak, ...] = ()


@dataclass(frozen=True, slots=True)
class SupplyRule:
    """Which supply counts for promises.

    Attributes:
        statuses: stock that counts; empty is unrestricted only.
        receipt_kinds: receipts that count; empty is all kinds.
        late_grace_ms: milliseconds after its due time for which a receipt still counts; None is until the end
            of the location's day.
        horizon_ms: nothing is promised for shipping later than this from now; 0 is the engine's own limit.
    """

    statuses: tuple[StockStatus, ...] = ()
    receipt_kinds: tuple[ReceiptKind, ...] = ()
    late_grace_ms: int | None = None
    horizon_ms: int = 0


@dataclass(frozen=True, slots=True)
class BufferPolicy:
    """Where a buffer comes from. All but `source` is for FORECAST.

    Attributes:
        source: INHERIT is for positions: as their location says.
        level_ppm: share of the replenishment cycles whose demand is covered, 500000 to 999999 parts per million;
            0 is that of the tier, or the server's.
        tier: takes the level that the server is configured with for this tier; None names none.
        lead_time_days: from an order to its arrival.
        review_days: between two orders; 0 is 1.
        cap: the buffer is never above this, base units; 0 is no cap.
    """

    source: BufferSource
    level_ppm: int = 0
    tier: int | None = None
    lead_time_days: int = 0
    review_days: int = 0
    cap: int = 0


@dataclass(frozen=True, slots=True)
class Network:
    """Where orders may be served from, and at what cost: tables of docs/reference/allocation.md.

    `tier_confidence` is the share of packages that arrive in time that tier 0, 1 … asks for, 0 to 1; the last one holds
    for all higher tiers, and none is 0.5.
    """

    rates: ArrowStream
    locations: ArrowStream | None = None
    exclusions: ArrowStream | None = None
    capacity: ArrowStream | None = None
    protection: ArrowStream | None = None
    tier_confidence: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TierFloor:
    """At least this share of a tier's lines is filled, in millionths, where the stock allows it."""

    tier: int
    fill_ppm: int


@dataclass(frozen=True, slots=True)
class AllocationLine:
    """One line of an order: costs are minor units, the weight is that of the whole line in grams."""

    line: int
    item: str
    quantity: int
    unfilled_minor: int = 0
    weight_g: int = 0
    requires: str = ""


@dataclass(frozen=True, slots=True)
class AllocationOrder:
    """One order. `due_days` None is never late; `late_minor` is the cost of a day, and None forbids it."""

    order_id: str
    lines: tuple[AllocationLine, ...]
    zone: str = ""
    due_days: int | None = None
    late_minor: int | None = 0
    tier: int = 0
    class_: int = 0
    ship_complete: bool = False
    max_packages: int = 0
    customer: str = ""
    segment: str = ""


@dataclass(frozen=True, slots=True)
class AllocationTerms:
    """How to plan.

    Attributes:
        network: where orders may be served from, or the name of a network that was put.
        options: costs said one by one, instead of a network.
        packages: costs of packages, with `options`.
        stock: what there is; None is what the engine can promise now.
        capacity: instead of that of the network.
        budget_ms: the plan is the best found within this time; 0 is the server's default.
        solver: "" lets the server choose; else search, column-generation or min-cost-flow.
        shortage: who gets the stock when there is too little.
        floors: fill that tiers should have.
        publish_prices: keep the plan's scarcity prices for promises with SourcingPolicy.SCARCITY.
    """

    network: Network | str | None = None
    options: ArrowStream | None = None
    packages: ArrowStream | None = None
    stock: ArrowStream | None = None
    capacity: ArrowStream | None = None
    budget_ms: int = 0
    solver: str = ""
    shortage: ShortagePolicy | str = ShortagePolicy.COST
    floors: tuple[TierFloor, ...] = ()
    publish_prices: bool = False


@dataclass(frozen=True, slots=True)
class StockChange:
    """Units more at a position; fewer where negative, not below 0."""

    item: str
    location: str
    units: int


@dataclass(frozen=True, slots=True)
class CapacityChange:
    """Another limit of a window; None is no limit."""

    location: str
    window: str = ""
    units: int | None = None


@dataclass(frozen=True, slots=True)
class CostChange:
    """Costs of packages and freight times `factor_ppm` millionths; "" is any location or service."""

    factor_ppm: int
    location: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is different: one of these."""

    close_location: str | None = None
    stock: StockChange | None = None
    capacity: CapacityChange | None = None
    cost: CostChange | None = None
