"""Allocation in this process: tables in, near-optimal plans out, without a server.

```python
problem = Problem({"orders": orders, "rates": rates, "stock": stock})
found = problem.search(budget_ms=50)
plan = problem.plan_table(found.choice)
```

The tables and the formulation are those of docs/reference/allocation.md. A plan reserves nothing. Arrays are Arrow's:
`choice` is int32, one number a line, -1 where the line is unfilled and else an option that only `plan_table` knows
how to name; `prices` are doubles, one a limit of `limits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa

from bespeak._core import AllocationProblem

Policy: TypeAlias = Literal["cost", "tiers", "fair-share", "max-min"]


@dataclass(frozen=True)
class Found:
    """A feasible plan and what is known about the optimum."""

    #: int32 (lines,).
    choice: pa.Int32Array
    #: Minor units.
    cost: int
    #: No plan of the least cost, whatever the policy, costs less. Exact, not rounded from floats.
    bound: int
    #: double (limits,): minor units that one unit more would save, about.
    prices: pa.DoubleArray
    #: Seconds since the search began and the cost found then, best last; the first is the first feasible plan.
    trace: tuple[tuple[float, int], ...]


class Problem:
    """A batch of orders, read from tables, ready to be planned.

    Methods let other threads run, and may be called from several threads at once.
    """

    def __init__(self, tables: Mapping[str, pa.Table | None], tier_confidence: Sequence[float] = ()) -> None:
        """Reads the tables.

        Args:
            tables: by name, those of docs/reference/allocation.md; `orders`, and `rates` or `options`, are needed.
            tier_confidence: share of packages in time that tier 0, 1 … asks for, 0 to 1.

        Raises:
            ValueError: a table makes no sense; the message names it, the row, the column and what to do.
        """
        given = {name: table for name, table in tables.items() if table is not None}
        self._core = AllocationProblem(given, list(tier_confidence))
        #: Columns order, quantity, unfilled_minor and tier; one row a line, in the order of `choice`.
        self.lines: pa.RecordBatch = pa.record_batch(self._core.lines())

    def __repr__(self) -> str:
        return repr(self._core)

    def limits(self) -> pa.RecordBatch:
        """Limits that can bind: columns item, location and class, or window (else -1), and limit, in units."""
        return pa.record_batch(self._core.rows())

    def search(
        self,
        budget_ms: float,
        *,
        policy: Policy = "cost",
        floors: Sequence[tuple[int, int]] = (),
        prices: pa.DoubleArray | None = None,
        bias: pa.RecordBatch | None = None,
        start: pa.Int32Array | None = None,
        seed: int = 0,
    ) -> Found:
        """Improves a feasible plan until the budget is spent, `cancel` is called, or ^C.

        Args:
            policy: who gets what is short.
            floors: tier, and the share of its lines, in millionths, to be filled at least.
            prices: where to begin.
            bias: fractional plans, as a linear program gives them: columns order, choice (a list with an option for
                each of its lines) and weight.
            start: a feasible choice to improve.
        """
        choice, cost, bound, found, trace = self._core.search(
            budget_ms, policy=policy, floors=list(floors), prices=prices, bias=bias, start=start, seed=seed
        )
        return Found(pa.array(choice), cost, bound, pa.array(found), tuple((at / 1e6, cost) for at, cost in trace))

    def cancel(self) -> None:
        """Ends searches of this problem, now and later, each with the best plan that it has."""
        self._core.cancel()

    def greedy(self) -> Found:
        """The plan of a rule engine that serves each order from the nearest location."""
        choice, cost, bound, prices, trace = self._core.greedy()
        return Found(pa.array(choice), cost, bound, pa.array(prices), tuple((at / 1e6, cost) for at, cost in trace))

    def best_plans(self, prices: pa.DoubleArray) -> tuple[pa.DoubleArray, pa.Int32Array]:
        """Best plan of each order by itself at prices: values (orders,), minor units, and choice (lines,)."""
        values, choice = self._core.best_plans(prices)
        return pa.array(values), pa.array(choice)

    def priced(self, prices: pa.DoubleArray, below: pa.DoubleArray) -> tuple[pa.RecordBatch, pa.DoubleArray]:
        """Best plans at prices that cost less than `below` (orders,), as `columns`, and the values of all (orders,)."""
        columns, values = self._core.priced(prices, below)
        return pa.record_batch(columns), pa.array(values)

    def near(self, prices: pa.DoubleArray, slack: float, each_max: int, most: int) -> pa.RecordBatch:
        """Plans worth less than `slack` minor units more than their order's best at prices, as `columns`.

        At most `each_max` of an order, the best ones, and `most` in all.
        """
        return pa.record_batch(self._core.near(prices, slack, each_max, most))

    def columns(self, orders: pa.Int32Array, choice: pa.Int32Array) -> pa.RecordBatch:
        """Plans of orders as columns of a linear program.

        Args:
            orders: int32, any number of them.
            choice: options of their lines, one order after the other.

        Returns:
            order, cost (minor units), choice (list), and the limits that it uses as row and units (lists).
        """
        return pa.record_batch(self._core.columns(orders, choice))

    def single_offers(self) -> pa.RecordBatch:
        """Ways to serve the orders of one line: line, option, cost, and the limits row and window that it counts against.

        The cost has the package in it. Of stock, the limit is that of the line's class: limits of the classes below,
        which stand before it in `limits`, count too.
        """
        return pa.record_batch(self._core.single_offers())

    def bound(self, prices: pa.DoubleArray) -> int:
        """Minor units that every plan costs at least, certified by prices (limits,), whatever they are."""
        return self._core.bound(prices)

    def costs(self, choice: pa.Int32Array) -> dict[str, int]:
        """What a choice costs, in parts and `total_minor`, recomputed from the tables."""
        return self._core.costs(choice)

    def check(self, choice: pa.Int32Array) -> str | None:
        """The first limit that a choice breaks, recomputed from the tables; None when it keeps all."""
        return self._core.check(choice)

    def plan_table(self, choice: pa.Int32Array) -> pa.RecordBatch:
        """Columns order_id, line, location, service and quantity, sorted; unfilled lines are not in it."""
        return pa.record_batch(self._core.plan_table(choice))

    def prices_table(self, prices: pa.DoubleArray) -> pa.RecordBatch:
        """Columns item, location, class and price_minor of the stock whose price is above 0."""
        return pa.record_batch(self._core.prices_table(prices))
