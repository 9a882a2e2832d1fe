"""What an allocator is: the tables of docs/reference/allocation.md in, a plan out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import pyarrow as pa

from bespeak.allocation import Policy


class ProblemError(ValueError):
    """A table or an argument is wrong; the message says which value and what to do."""


class Cancellation:
    """Ends a solve from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """Ends what runs and what has yet to begin."""
        with self._lock:
            self._cancelled = True
            ends = tuple(self._ends)
        for end in ends:
            end()

    def on_cancel(self, end: Callable[[], None]) -> None:
        """Calls `end` when it is cancelled, now if it was."""
        with self._lock:
            self._ends.append(end)
            cancelled = self._cancelled
        if cancelled:
            end()


Result = TypeVar("Result")


def within(seconds: float, cancellation: Cancellation, work: Callable[[], Result]) -> Result | None:
    """The result of work that cannot be stopped; None when it is not there in time, or the caller cancels.

    Work that is not waited for any more goes on in its thread until it ends by itself.
    """
    done = threading.Event()
    cancellation.on_cancel(done.set)
    pool = ThreadPoolExecutor(1, "allocate-integer")
    future = pool.submit(work)
    future.add_done_callback(lambda _: done.set())
    pool.shutdown(wait=False)
    done.wait(seconds)
    return future.result() if future.done() else None


@dataclass(frozen=True)
class Terms:
    """How to plan."""

    #: Milliseconds to spend; None is the solver's own default.
    budget_ms: int | None = None
    #: Who gets what is short.
    policy: Policy = "cost"
    #: Tier, and the share of its lines to fill at least, in millionths.
    floors: tuple[tuple[int, int], ...] = ()
    #: Share of packages in time that tier 0, 1 … asks for.
    tier_confidence: tuple[float, ...] = ()

    @property
    def by_cost(self) -> bool:
        """Nothing but cost decides."""
        return self.policy == "cost" and not self.floors


@dataclass(frozen=True)
class Plan:
    """A feasible plan and how good it is known to be."""

    #: Columns order_id, line, location, service and quantity, sorted.
    table: pa.Table
    #: Cost of the plan, unfilled lines included.
    objective_minor: int
    #: No plan costs less.
    bound_minor: int
    units_served: int
    units_unfilled: int
    #: Columns item, location, class and price_minor: what one unit more would save, where that is above 0.
    prices: pa.Table
    #: Who made it: the solver that was asked, and what it fell back on, as in "column-generation+search".
    made_by: str
    #: Seconds since the solve began and the cost found then; the first is the first feasible plan.
    trace: tuple[tuple[float, int], ...] = field(default=())

    @property
    def gap(self) -> float:
        """(cost - bound) / cost, 0 where nothing is left to gain."""
        return (self.objective_minor - self.bound_minor) / self.objective_minor if self.objective_minor else 0.0


@runtime_checkable
class Allocator(Protocol):
    """A solver."""

    name: str
    version: str
    #: Time for a plan when none is asked for.
    default_budget_ms: int

    def allocate(
        self,
        tables: Mapping[str, pa.Table | None],
        terms: Terms = ...,
        cancellation: Cancellation | None = None,
    ) -> Plan:
        """Plans a batch within every limit, whatever the time it is given.

        Args:
            tables: by name; `orders`, `stock`, and `rates` or `options`, are needed.
            cancellation: when it is cancelled, the best plan found so far is the answer.

        Raises:
            ProblemError: a table makes no sense, or asks for what this solver does not know.
        """
        ...
