"""Answers to facts about stock, and stock itself."""

from dataclasses import dataclass

from bespeak._core import AvailabilityStep
from bespeak.enums import ReceiptKind, Refusal, ShockCause
from bespeak.requests import BufferPolicy


@dataclass(frozen=True, slots=True)
class PromiseAtRisk:
    """Units of a promise that a shock puts in doubt."""

    reservation_id: int
    line: int
    tier: int
    ship_time_ms: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Shock:
    """Promises of a position cannot all be kept.

    Attributes:
        shock_id: rises with the journal.
        item: the position's item.
        location: the position's location.
        cause: what raised it.
        raised_at_ms: when.
        shortfall: how far the lowest projected balance lies below zero, base units.
        recovery_time_ms: when planned supply makes up for it; None when it does not.
        at_risk: the promises that cannot all be kept, in order of tier, ship time and revision; the first 1,024.
        at_risk_total: how many there are; None, with none listed, where too much is planned at the position.
    """

    shock_id: int
    item: str
    location: str
    cause: ShockCause
    raised_at_ms: int
    shortfall: int
    recovery_time_ms: int | None
    at_risk: tuple[PromiseAtRisk, ...]
    at_risk_total: int | None


@dataclass(frozen=True, slots=True)
class SupplyResult:
    """Answer to a fact about stock.

    Attributes:
        refusal: CONFLICT or LIMIT; None when it was taken.
        on_hand: units on hand of the status touched, after the write.
        version: changes with every movement of the position; for compare-and-set.
        shock: set when this write broke promises or made a shortage worse, as it stands when this is answered:
            a retry does not have it when it is over by then.
        revision: journal position.
        replayed: given before under this request id, or a duplicate.
        duplicate: the source event had been seen before and was ignored.
        shock_id: id of the shock, the same in a retry; 0 when there was none.
    """

    refusal: Refusal | None
    on_hand: int
    version: int
    shock: Shock | None
    revision: int
    replayed: bool
    duplicate: bool
    shock_id: int


@dataclass(frozen=True, slots=True)
class ReceiptResult(SupplyResult):
    """Answer to a plan of a receipt; `receipt_revision` is for compare-and-set on it."""

    receipt_revision: int


@dataclass(frozen=True, slots=True)
class ReceiveResult(SupplyResult):
    """Answer to `receive`; `open_quantity` is still to come."""

    open_quantity: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Planned inbound quantity of a position. It counts as supply from `counts_from_ms`."""

    receipt_id: str
    item: str
    location: str
    kind: ReceiptKind
    open_quantity: int
    received_quantity: int
    due_time_ms: int
    counts_from_ms: int
    revision: int
    overdue: bool


@dataclass(frozen=True, slots=True)
class ForecastAge:
    """A forecast that the server keeps. `stale` is by the server's own limit."""

    model: str
    computed_at_ms: int
    age_ms: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Position:
    """One item at one location.

    Attributes:
        item: the item.
        location: the location.
        unrestricted: units on hand that are free to ship; negative when more left than was known.
        quality: units in quality inspection.
        blocked: units not to be shipped.
        version: changes with every movement; for compare-and-set.
        buffer: units kept back.
        held: units in holds.
        confirmed: units of confirmed reservations still to leave.
        receipts: open receipts by due time.
        staircase: what can be promised from each time on.
        revision: journal position that was seen.
        engine_time_ms: the engine's time at which it was seen.
        buffer_policy: the position's own; None before the first fact about it.
        buffer_follows_forecast: whether the buffer moves with the forecast.
        buffer_forecast: the forecast that the buffer was worked out from; None for a planner's buffer.
        forecast: the newest forecast of the position; None without one.
    """

    item: str
    location: str
    unrestricted: int
    quality: int
    blocked: int
    version: int
    buffer: int
    held: int
    confirmed: int
    receipts: tuple[Receipt, ...]
    staircase: tuple[AvailabilityStep, ...]
    revision: int
    engine_time_ms: int
    buffer_policy: BufferPolicy | None
    buffer_follows_forecast: bool
    buffer_forecast: ForecastAge | None
    forecast: ForecastAge | None
