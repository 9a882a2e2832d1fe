"""What an allocator is: three tables in, a plan out.

Lines, one row an order line:

| column | type | unit and meaning |
|---|---|---|
| order_id, line | string, integer | together the name of the line, each pair once |
| item | string | what is wanted |
| qty | integer | units wanted, at least 1 |
| unfilled_penalty_minor | integer | cost of each unit not served, minor units of one currency |

Options, one row a place that a line may be served from: order_id, line,
location (string), cost_minor (integer, for each unit; may be negative). A line
without options stays unfilled.

Stock: item, location, available (integer, units). A pair that is absent has none.

Plan: order_id, line (int32), location, qty (int64, at least 1), sorted by
order, line and location. A line may be split over locations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pyarrow as pa

PLAN_SCHEMA = pa.schema(
    [
        pa.field("order_id", pa.string()),
        pa.field("line", pa.int32()),
        pa.field("location", pa.string()),
        pa.field("qty", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """A feasible plan and how good it is known to be."""

    #: See the module's docstring.
    table: pa.Table
    #: Units served times their cost plus units unfilled times their penalty.
    objective_minor: int
    #: No plan of this problem costs less.
    bound_minor: int
    units_served: int
    units_unfilled: int


@runtime_checkable
class Allocator(Protocol):
    """A solver."""

    name: str
    version: str

    def allocate(self, lines: pa.Table, options: pa.Table, stock: pa.Table, budget_ms: int | None = None) -> Plan:
        """Plans all lines at once, never using more than the stock available.

        Args:
            budget_ms: time to spend; None means as long as it takes. A solver
                that cannot be stopped half-way ignores it and says so.

        Raises:
            ProblemError: a table is malformed, names a line twice or an
                unknown one, or holds a number out of range.
        """
        ...
