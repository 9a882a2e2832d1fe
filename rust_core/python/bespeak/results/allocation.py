"""Answers about plans. Costs are minor units of one currency."""

from dataclasses import dataclass

import pyarrow as pa

from bespeak.enums import Refusal, ReservationState


@dataclass(frozen=True, slots=True)
class NetworkResult:
    """Answer to `put_network`: `version` rises with each change of the network."""

    version: int
    locations: int
    lanes: int


@dataclass(frozen=True, slots=True)
class PlanCosts:
    """Cost of a plan in parts; `lines_minor` is that of lines whose costs are said one by one."""

    package_minor: int
    freight_minor: int
    handling_minor: int
    late_minor: int
    unfilled_minor: int
    lines_minor: int


@dataclass(frozen=True, slots=True)
class TierFill:
    """Lines of a tier and how many are filled; the floor that was asked for, and whether it is met."""

    tier: int
    lines: int
    lines_filled: int
    floor_ppm: int
    floor_met: bool


@dataclass(frozen=True, slots=True)
class HeldOrder:
    """What became of an order's hold.

    Attributes:
        order_id: the order.
        reservation_id: for the steps that follow; 0 when nothing is held.
        state: HELD, or CONFIRMED when asked to confirm in the same step; None when nothing is held.
        expires_at_ms: when the hold runs out; 0 when confirmed or nothing is held.
        replayed: had been held before under the same request id.
        replanned: it no longer fit, and was planned again so many times.
        refusal: why nothing is held of an order that the plan served; None when it is, and when it was not reached: time
            ran out, or the engine took no more. Send the request again under the same `request_id` then.
    """

    order_id: str
    reservation_id: int
    state: ReservationState | None
    expires_at_ms: int
    replayed: bool
    replanned: int
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Answer to `allocate`.

    Attributes:
        plan: order_id, line, location, service, quantity, sorted by order and line; what is held when that was asked.
        objective_minor: what it costs.
        bound_minor: no plan can cost less.
        made_by: who made it, such as "search@1".
        fallback: the worker should have made it, and was away or late.
        revision: journal position that it saw, or of the last hold.
        costs: in parts.
        fill_by_tier: for each tier of the batch.
        lowest_customer_fill_ppm: share of lines filled of the worst served customer, in millionths.
        packages: how many leave.
        orders: orders of the batch.
        lines: lines of the batch.
        lines_filled: lines that are served.
        lines_late: lines whose service arrives after the due date.
        held: one an order that was planned, when holds were asked for.
        prices: item, location, class, price_minor: what one unit more would save, where that is not 0.
    """

    plan: pa.Table
    objective_minor: int
    bound_minor: int
    made_by: str
    fallback: bool
    revision: int
    costs: PlanCosts
    fill_by_tier: tuple[TierFill, ...]
    lowest_customer_fill_ppm: int
    packages: int
    orders: int
    lines: int
    lines_filled: int
    lines_late: int
    held: tuple[HeldOrder, ...]
    prices: pa.Table

    @property
    def gap(self) -> float:
        """Share of the cost that another plan could save at most."""
        return (self.objective_minor - self.bound_minor) / self.objective_minor if self.objective_minor else 0.0


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """One line of an order's plan; `location` is empty when it is unfilled."""

    line: int
    location: str
    service: str
    quantity: int


@dataclass(frozen=True, slots=True)
class SubmittedOrder:
    """An order's plan, or why it makes no sense.

    Attributes:
        order_id: the order.
        lines: where each line is served from.
        held: what became of its hold; None when none was tried.
        batch: number of the batch that it was planned in, of those with the same terms.
        batch_orders: orders in it.
        made_by: who made the plan.
        fallback: the worker should have made it.
        error: name of a page in docs/errors when the order makes no sense, else empty.
        message: what to do then.
    """

    order_id: str
    lines: tuple[PlannedLine, ...]
    held: HeldOrder | None
    batch: int
    batch_orders: int
    made_by: str
    fallback: bool
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class MovedOrder:
    """An order that is better served otherwise; `new_reservation_id` is 0 in a dry run, and when it was refused."""

    order_id: str
    old_reservation_id: int
    new_reservation_id: int
    lines: tuple[PlannedLine, ...]
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class ReoptimiseResult:
    """Answer to `reoptimise`: what the open orders cost before and after, and those that moved."""

    before_minor: int
    after_minor: int
    bound_minor: int
    moved: tuple[MovedOrder, ...]
    made_by: str
    fallback: bool
    revision: int


@dataclass(frozen=True, slots=True)
class OrderAlternative:
    """One way to serve an order; `scarcity_minor` is what others would pay for the scarce stock that it takes."""

    lines: tuple[PlannedLine, ...]
    costs: PlanCosts
    total_minor: int
    scarcity_minor: int
    possible: bool


@dataclass(frozen=True, slots=True)
class BindingLimit:
    """A limit that is used up and that the order wanted; `kind` is stock, protection or capacity."""

    kind: str
    item: str
    location: str
    class_: int
    window: str
    limit: int
    used: int
    price_minor: float


@dataclass(frozen=True, slots=True)
class AllocationExplanation:
    """Why an order is served as it is: alternatives are sorted by what the whole batch would cost."""

    chosen: OrderAlternative
    alternatives: tuple[OrderAlternative, ...]
    binding: tuple[BindingLimit, ...]
    summary: str
    made_by: str
    revision: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """A plan as things are, and as it would be."""

    before: Plan
    after: Plan
    orders_changed: tuple[str, ...]
