"""What solvers on a `Problem` share: reading the tables, the time that is left, and the plan that comes of it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from bespeak import __version__
from bespeak.allocation import Problem
from serving.allocation.protocol import Cancellation, Plan, ProblemError, Terms

CORE_VERSION = __version__
#: Share of the time for a plan that is kept for writing it, and the most that this takes of a small batch.
WRITING_SHARE, WRITING_S_MAX = 0.04, 0.05
#: Of a large one it takes that for each line, but never more than a share of the time.
WRITING_S_A_LINE, WRITING_SHARE_MAX = 2e-6, 0.2


class OnProblem(ABC):
    """A solver that works on a `Problem`, behind the `Allocator` protocol."""

    name: str
    version: str
    #: Time for a plan when none is asked for.
    default_budget_ms: int

    def allocate(
        self,
        tables: Mapping[str, pa.Table | None],
        terms: Terms = Terms(),  # noqa: B008 - frozen
        cancellation: Cancellation | None = None,
    ) -> Plan:
        """See `Allocator.allocate`."""
        orders = tables.get("orders")
        clock = Clock((terms.budget_ms or self.default_budget_ms) / 1e3, 0 if orders is None else orders.num_rows)
        return self.solve(read(tables, terms, cancellation), terms, clock, cancellation or Cancellation())

    @abstractmethod
    def solve(self, problem: Problem, terms: Terms, clock: Clock, cancellation: Cancellation) -> Plan:
        """Plans what was read.

        Raises:
            ProblemError: it asks for what this solver does not know.
        """


class Clock:
    """Time for a plan, from now on."""

    def __init__(self, budget_s: float, lines: int = 0):
        """Keeps what checking, counting and writing a plan of so many lines takes."""
        self.started = time.monotonic()
        writing = max(min(WRITING_SHARE * budget_s, WRITING_S_MAX), WRITING_S_A_LINE * lines)
        self._until = self.started + budget_s - min(writing, WRITING_SHARE_MAX * budget_s)
        self.budget_s = budget_s

    @property
    def left_s(self) -> float:
        """Seconds left, not below 0."""
        return max(0.0, self._until - time.monotonic())

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def left_of(self, share: float) -> float:
        """Seconds left until this share of the budget is spent, not below 0."""
        return max(0.0, min(self.left_s, share * self.budget_s - self.spent_s))


def read(tables: Mapping[str, pa.Table | None], terms: Terms, cancellation: Cancellation | None) -> Problem:
    """Reads the tables; the problem's searches end when the caller cancels.

    Raises:
        ProblemError: see `Allocator.allocate`.
    """
    if tables.get("stock") is None:
        raise ProblemError("stock is absent: send what may be taken, as docs/reference/allocation.md says")
    try:
        problem = Problem(tables, terms.tier_confidence)
    except ValueError as error:
        raise ProblemError(str(error)) from error
    if cancellation is not None:
        cancellation.on_cancel(problem.cancel)
    return problem


def plan_of(
    problem: Problem,
    choice: pa.Int32Array,
    bound: int,
    prices: pa.DoubleArray,
    made_by: str,
    trace: tuple[tuple[float, int], ...],
) -> Plan:
    """The plan of a choice, its cost recomputed from the tables.

    Raises:
        RuntimeError: the choice breaks a limit, which is a bug.
    """
    if (broken := problem.check(choice)) is not None:
        raise RuntimeError(f"{made_by} made a plan that is not feasible: {broken}")
    cost = problem.costs(choice)["total_minor"]
    quantity = problem.lines.column("quantity").to_numpy()
    served = int(quantity[np.asarray(choice) >= 0].sum())
    return Plan(
        pa.Table.from_batches([problem.plan_table(choice)]),
        cost,
        min(bound, cost),
        served,
        int(quantity.sum()) - served,
        pa.Table.from_batches([problem.prices_table(prices)]),
        made_by,
        trace,
    )
