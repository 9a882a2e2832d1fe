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

Some solvers know more, by columns and tables that may be absent:

| table | column | type | meaning |
|---|---|---|---|
| lines | unfilled_minor | integer | cost of leaving the line unfilled, whatever its quantity |
| lines | class | integer, 0 to 7 | which limits of the stock the line counts against: those of its class and below |
| lines | ship_complete | boolean | all lines of the order, or none |
| options | service | string | how it ships; a place may be offered with several |
| options | line_minor | integer | cost of serving the line, whatever its quantity |
| stock | class | integer, 0 to 7 | the row limits what lines of this class and above take together; 0: all lines |
| packages | order_id, location, service, package_minor | | cost of the order's package from there, paid once |
| capacity | location, units | | units that may leave the place |

Plan: order_id, line (int32), location, qty (int64, at least 1), sorted by
order, line and location; a solver that knows services adds the column service.
Only min-cost-flow splits a line over locations.
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

    def allocate(
        self,
        lines: pa.Table,
        options: pa.Table,
        stock: pa.Table,
        budget_ms: int | None = None,
        packages: pa.Table | None = None,
        capacity: pa.Table | None = None,
    ) -> Plan:
        """Plans all lines at once, never using more than the stock available.

        Args:
            budget_ms: time to spend; None means as long as it takes. A solver
                that cannot be stopped half-way ignores it and says so.

        Raises:
            ProblemError: a table is malformed, names a line twice or an
                unknown one, or holds a number out of range.
        """
        ...
