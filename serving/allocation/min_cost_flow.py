"""Exact plans for lines that do not share packages, as a minimum-cost flow.

Units flow from each line to the stock rows that may serve it and on to a sink,
or straight to the sink at the penalty. Costs are integers, so the optimum is
exact and the bound equals the objective. Every order line is planned by itself:
a fixed cost of a package that two lines could share is not part of this
problem, so with such costs the plan is optimal a line, not an order.
"""

from __future__ import annotations

import numpy as np
import ortools
import pyarrow as pa
from ortools.graph.python import min_cost_flow

from serving.allocation.problem import Problem, problem_from_tables
from serving.allocation.protocol import PLAN_SCHEMA, Plan
from serving.allocation.tables import ProblemError


class MinCostFlow:
    """OR-Tools' SimpleMinCostFlow behind the `Allocator` protocol.

    It cannot be stopped half-way, so `budget_ms` is not used: ten thousand
    lines with ten options each take well under a second.
    """

    name = "min-cost-flow"
    version = f"1+ortools-{ortools.__version__}"

    def allocate(
        self,
        lines: pa.Table,
        options: pa.Table,
        stock: pa.Table,
        budget_ms: int | None = None,  # noqa: ARG002 - part of the protocol
        packages: pa.Table | None = None,
        capacity: pa.Table | None = None,
    ) -> Plan:
        """See `Allocator.allocate`; a line may be split over locations."""
        refuse_what_it_ignores(lines, options, stock, packages, capacity)
        problem = problem_from_tables(lines, options, stock)
        flow = solve(problem)
        return plan_from_flow(problem, flow)


def refuse_what_it_ignores(
    lines: pa.Table, options: pa.Table, stock: pa.Table, packages: pa.Table | None, capacity: pa.Table | None
) -> None:
    """Refuses questions of which the plan would answer a part only.

    Raises:
        ProblemError: a table or a column is given that this solver knows nothing of.
    """
    for given, what in ((packages, "packages"), (capacity, "capacity")):
        if given is not None:
            raise ProblemError(
                f"{MinCostFlow.name} plans line by line and knows no {what}: name the solver column-generation"
            )
    more = {"unfilled_minor", "class", "ship_complete", "service", "line_minor"}
    for table, what in ((lines, "lines"), (options, "options"), (stock, "stock")):
        if found := sorted(more & set(table.column_names)):
            raise ProblemError(
                f"{MinCostFlow.name} knows no column {found[0]!r} of {what}: name the solver column-generation, or leave it out"
            )


def solve(problem: Problem) -> np.ndarray:
    """Units on each option of an optimal plan, int64, shape (options,)."""
    lines, stocks = len(problem.qty), len(problem.available)
    if lines == 0:
        return np.zeros(len(problem.option_line), np.int64)
    sink = lines + stocks
    line_node = np.arange(lines)
    stock_node = lines + np.arange(stocks)
    tails = np.concatenate([problem.option_line, stock_node, line_node])
    heads = np.concatenate([lines + problem.option_stock, np.full(stocks + lines, sink)])
    capacity = np.concatenate([problem.qty[problem.option_line], problem.available, problem.qty])
    cost = np.concatenate([problem.option_cost, np.zeros(stocks, np.int64), problem.penalty])
    network = min_cost_flow.SimpleMinCostFlow()
    arcs = network.add_arcs_with_capacity_and_unit_cost(
        tails.astype(np.int32), heads.astype(np.int32), capacity.astype(np.int64), cost.astype(np.int64)
    )
    network.set_nodes_supplies(
        np.append(line_node, sink).astype(np.int32), np.append(problem.qty, -problem.qty.sum()).astype(np.int64)
    )
    status = network.solve()
    if status != network.OPTIMAL:
        # Each line reaches the sink at its penalty, so only sizes can go wrong.
        raise ProblemError(f"the flow solver answered {status.name}: lower the largest quantities or costs")
    return np.asarray(network.flows(arcs[: len(problem.option_line)]), np.int64)


def plan_from_flow(problem: Problem, flow: np.ndarray) -> Plan:
    """The plan table and its cost, counted from the flow and not by the solver."""
    used = np.flatnonzero(flow > 0)
    row = problem.option_line[used]
    table = pa.Table.from_arrays(
        [
            problem.order_id.take(pa.array(row)),
            pa.array(problem.line[row], pa.int32()),
            problem.option_location.take(pa.array(used)),
            pa.array(flow[used], pa.int64()),
        ],
        schema=PLAN_SCHEMA,
    ).sort_by([("order_id", "ascending"), ("line", "ascending"), ("location", "ascending")])
    served = np.zeros(len(problem.qty), np.int64)
    np.add.at(served, problem.option_line, flow)
    unfilled = problem.qty - served
    objective = int((flow * problem.option_cost).sum() + (unfilled * problem.penalty).sum())
    return Plan(table, objective, objective, int(served.sum()), int(unfilled.sum()))
