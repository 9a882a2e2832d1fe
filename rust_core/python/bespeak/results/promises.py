"""Answers to checks and promises."""

from dataclasses import dataclass

from bespeak.enums import BindingConstraint, Outcome, Refusal, ReservationState


@dataclass(frozen=True, slots=True)
class LinePart:
    """Units of a line held at one location; `reservation_line` is the index that `fulfil` and `release` take."""

    location: str
    quantity: int
    ship_time_ms: int
    reservation_line: int


@dataclass(frozen=True, slots=True)
class LineResult:
    """What became of one line of a promise or reservation.

    Attributes:
        item: the item asked for.
        requested_quantity: base units asked for.
        held_quantity: base units held, all parts together.
        parts: where they are held.
        refusal: why not all is held; None when it is.
        available: what could be had instead at the time asked, when refused or short.
        earliest_time_ms: when the full quantity could be had; None when never within the horizon.
    """

    item: str
    requested_quantity: int
    held_quantity: int
    parts: tuple[LinePart, ...]
    refusal: Refusal | None
    available: int
    earliest_time_ms: int | None


@dataclass(frozen=True, slots=True)
class HoldResult:
    """Answer to `promise` and `reserve`.

    Attributes:
        outcome: how much of the request is held.
        reservation_id: for the steps that follow; 0 when refused.
        state: HELD, or CONFIRMED when asked to confirm in the same step; None when refused.
        expires_at_ms: when the hold runs out; 0 when confirmed or refused.
        lines: one result a line of the request, in its order.
        revision: journal position.
        engine_time_ms: the engine's time at which it was decided.
        replayed: given before under this request id, or a duplicate.
        duplicate: the source event had been seen before and was ignored.
    """

    outcome: Outcome
    reservation_id: int
    state: ReservationState | None
    expires_at_ms: int
    lines: tuple[LineResult, ...]
    revision: int
    engine_time_ms: int
    replayed: bool
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ExtendResult:
    """Answer to `extend`: when the hold now runs out, unless refused."""

    refusal: Refusal | None
    expires_at_ms: int
    revision: int
    replayed: bool
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ConfirmResult:
    """Answer to `confirm`; `reacquired` says that the hold had expired and its stock was taken again."""

    refusal: Refusal | None
    reacquired: bool
    revision: int
    replayed: bool
    duplicate: bool


@dataclass(frozen=True, slots=True)
class FulfilResult:
    """Answer to `fulfil`, with the state after it.

    Attributes:
        refusal: why not; None when it was taken.
        state: of the reservation afterwards.
        revision: journal position.
        replayed: given before under this request id, or a duplicate.
        duplicate: the source event had been seen before and was ignored.
        shock_ids: supply shocks that this step raised or made worse; `list_shocks` tells what they mean.
    """

    refusal: Refusal | None
    state: ReservationState | None
    revision: int
    replayed: bool
    duplicate: bool
    shock_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Answer to `release`, with the state after it."""

    refusal: Refusal | None
    state: ReservationState | None
    revision: int
    replayed: bool
    duplicate: bool


@dataclass(frozen=True, slots=True)
class ReservationLine:
    """One line of a reservation: `open_quantity` still has to leave the position."""

    line: int
    item: str
    location: str
    ship_time_ms: int
    open_quantity: int
    fulfilled_quantity: int
    released_quantity: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands at `revision`. `expires_at_ms` is 0 once it is confirmed."""

    reservation_id: int
    state: ReservationState
    order_ref: str
    customer: str
    segment: str
    tier: int
    created_at_ms: int
    expires_at_ms: int
    created_revision: int
    lines: tuple[ReservationLine, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class LocationAvailability:
    """Units of one location by hour."""

    location: str
    available_by_hour: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RegionAvailability:
    """Units of one item by hour, all locations together and each alone."""

    item: str
    available_by_hour: tuple[int, ...]
    locations: tuple[LocationAvailability, ...]


@dataclass(frozen=True, slots=True)
class RegionResult:
    """Answer to `check_region`: one entry an item, in the order asked."""

    items: tuple[RegionAvailability, ...]
    revision: int
    engine_time_ms: int


@dataclass(frozen=True, slots=True)
class LocationExplanation:
    """What one location could do for one line, and what limits it.

    Attributes:
        location: the location tried.
        known: the item is kept there.
        on_hand_counted: units on hand that count by the rule.
        receipts_by_time: units due by the ship time.
        commitments_by_time: units that leave by the ship time.
        buffer: units kept back.
        lowest_balance: lowest projected balance net of the buffer from the ship time on; signed.
        lowest_balance_time_ms: when.
        available: units that could be promised here.
        earliest_time_ms: when the full quantity could ship from here; None when never within the horizon.
        binding: what keeps the answer from being larger.
        missing: units more, at or before the binding time, that would make the line whole here.
    """

    location: str
    known: bool
    on_hand_counted: int
    receipts_by_time: int
    commitments_by_time: int
    buffer: int
    lowest_balance: int
    lowest_balance_time_ms: int
    available: int
    earliest_time_ms: int | None
    binding: BindingConstraint | None
    missing: int


@dataclass(frozen=True, slots=True)
class LineExplanation:
    """Why one line would be answered as `result`; `summary` says it in one sentence."""

    line: int
    item: str
    quantity: int
    result: LineResult
    locations: tuple[LocationExplanation, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Answer to `explain`: what `promise` would answer now, and why."""

    outcome: Outcome
    lines: tuple[LineExplanation, ...]
    revision: int
    engine_time_ms: int
