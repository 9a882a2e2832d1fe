"""What the allocators must reach: batch, time, and how far from the optimum."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.allocation.instances import SUITE

#: A plan may come so much later than it was asked for, of the budget.
OVERRUN_MAX = 0.1


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        shape: of `SUITE`.
        budget_ms: time from the tables to the plan.
        gap_percent: above the optimum, or above the best bound where there is no proof; None: any plan will do.
        reference_s: time that the solvers of the reference get for their bound.
        seeds: how many batches.
        solvers: which are held to it; the row counts the best of them.
    """

    shape: str
    budget_ms: int
    gap_percent: float | None
    reference_s: float
    seeds: int
    solvers: tuple[str, ...] = ("search",)

    @property
    def name(self) -> str:
        """As the row is called."""
        return f"allocation-{self.shape}-{self.budget_ms}"

    @property
    def metric(self) -> str:
        """What counts of a plan."""
        return "milliseconds" if self.gap_percent is None else "gap_percent"

    @property
    def bound(self) -> float:
        """What it may be at most."""
        return self.budget_ms * (1 + OVERRUN_MAX) if self.gap_percent is None else self.gap_percent

    @property
    def title(self) -> str:
        """In words."""
        shape = SUITE[self.shape]
        return f"{shape.orders:,} orders x {shape.locations} locations in {self.budget_ms:,} ms"


BOTH = ("search", "column-generation")
TARGETS = (
    Target("tiny", 20, 0.5, 10, 5),
    Target("small", 50, 1.0, 20, 5),
    Target("small", 200, 0.3, 20, 5),
    Target("mid", 50, 3.0, 30, 5),
    Target("mid", 300, 1.0, 30, 5, BOTH),
    Target("mid", 2_000, 0.05, 30, 5, BOTH),
    Target("large", 2_000, 1.0, 30, 3, BOTH),
    Target("huge", 200, None, 60, 2),
    Target("huge", 20_000, 2.0, 60, 2, BOTH),
)
#: The row of batches through a server with reservation.
GRPC = "allocation-grpc"
#: The row of the core's planner of one order over 50 locations and 3 services: lines, and microseconds.
ORDER = "allocation-order"
ORDER_US = {5: 50.0, 200: 1_000.0}
#: Rows that are done in seconds.
QUICK = ("allocation-tiny-20", "allocation-small-50", ORDER, GRPC)
ROWS = (*(target.name for target in TARGETS), ORDER, GRPC)
GRPC_BUDGET_MS = 50
GRPC_P99_MS = 90
#: p99 of promises beside batches, to that without.
PROMISES_RATIO = 2.0
