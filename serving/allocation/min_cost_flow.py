"""Exact plans of unit lines that share no packages, as a minimum-cost flow.

Units flow from each line over the limits that they count against to a sink, or straight to it at the cost of leaving
the line unfilled. Costs are integers, so the optimum is exact and the bound equals the objective. Lines that may be
split are planned by `serving.allocation.split`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import ortools
import pyarrow as pa
from ortools.graph.python import min_cost_flow

from bespeak.allocation import Problem
from serving.allocation.master import numbers
from serving.allocation.protocol import Cancellation, Plan, ProblemError, Terms
from serving.allocation.solving import CORE_VERSION, Clock, OnProblem, plan_of
from serving.allocation.split import split_lines, splits

#: Offers of lines that are solved in a second, about.
OFFERS_MAX = 500_000
#: As many as are solved in so many seconds are taken up whatever the budget.
LEAST_S = 1.0


class MinCostFlow(OnProblem):
    """OR-Tools' SimpleMinCostFlow behind the `Allocator` protocol.

    For batches of orders of one line of one unit; and, where `options` say costs by the unit and nothing but stock
    limits them, for any lines, which it may then split over locations. It cannot be stopped half-way, so that the
    budget is not used, but to refuse what is far too large for it.
    """

    name = "min-cost-flow"
    version = f"{CORE_VERSION}+ortools-{ortools.__version__}"
    default_budget_ms = 1_000

    def allocate(
        self,
        tables: Mapping[str, pa.Table | None],
        terms: Terms = Terms(),  # noqa: B008 - frozen
        cancellation: Cancellation | None = None,
    ) -> Plan:
        """See `Allocator.allocate`."""
        if terms.by_cost and splits(tables):
            return split_lines(tables, self.name)
        return super().allocate(tables, terms, cancellation)

    def solve(self, problem: Problem, terms: Terms, clock: Clock, cancellation: Cancellation) -> Plan:  # noqa: ARG002 - see the class
        """See `OnProblem.solve`."""
        flow = flow_of(problem) if terms.by_cost else None
        if flow is None:
            raise ProblemError(
                f"{self.name} plans orders of one line of one unit by cost, or lines that may be split, by options with "
                "costs of units and stock alone: name the solver column-generation or search"
            )
        if flow.offers > OFFERS_MAX * max(clock.left_s, LEAST_S):
            raise ProblemError(
                f"{flow.offers} ways for all lines together take about {flow.offers / OFFERS_MAX:.1f} s, in which "
                f"{self.name} cannot be stopped: give a budget_ms of so much, or name the solver search"
            )
        choice = pa.array(flow.solve(), pa.int32())
        cost = problem.costs(choice)["total_minor"]
        nothing = pa.array(np.zeros(problem.limits().num_rows))
        return plan_of(problem, choice, cost, nothing, self.name, ((clock.spent_s, cost),))


@dataclass(frozen=True)
class Flow:
    """Lines of one unit, what may serve each, and limits as nodes."""

    unfilled: np.ndarray
    #: Line, option, cost and first node of each offer; the node behind the limits is the sink.
    line: np.ndarray
    option: np.ndarray
    cost: np.ndarray
    node: np.ndarray
    #: Units through each limit, and the node behind it.
    limit: np.ndarray
    behind: np.ndarray

    @property
    def offers(self) -> int:
        """How many."""
        return len(self.line)

    def solve(self) -> np.ndarray:
        """Option of each line in an optimal plan, -1 where it is unfilled."""
        lines, limits = len(self.unfilled), len(self.limit)
        chosen = np.full(lines, -1)
        if lines == 0:
            return chosen
        sink = lines + limits
        tails = np.concatenate([self.line, lines + np.arange(limits), np.arange(lines)])
        heads = np.concatenate([lines + self.node, lines + self.behind, np.full(lines, sink)])
        most = np.concatenate([np.ones(self.offers), np.minimum(self.limit, lines), np.ones(lines)])
        cost = np.concatenate([self.cost, np.zeros(limits), self.unfilled])
        network = min_cost_flow.SimpleMinCostFlow()
        arcs = network.add_arcs_with_capacity_and_unit_cost(
            tails.astype(np.int32), heads.astype(np.int32), most.astype(np.int64), cost.astype(np.int64)
        )
        supplies = np.append(np.ones(lines, np.int64), -lines)
        network.set_nodes_supplies(np.append(np.arange(lines), sink).astype(np.int32), supplies)
        status = network.solve()
        if status != network.OPTIMAL:
            # Each line reaches the sink unfilled, so only sizes can go wrong.
            raise ProblemError(f"the flow solver answered {status.name}: lower the largest costs")
        used = np.asarray(network.flows(arcs[: self.offers]), np.int64) > 0
        chosen[self.line[used]] = self.option[used]
        return chosen


def flow_of(problem: Problem) -> Flow | None:
    """The batch as a flow; None where it is none, as lines of more units, or of one order, hang together."""
    lines = problem.lines
    order, quantity = numbers(lines.column("order")), numbers(lines.column("quantity"))
    if (quantity != 1).any() or (np.diff(order) == 0).any():
        return None
    offers, limits = problem.single_offers(), problem.limits()
    row, window = numbers(offers.column("row")), numbers(offers.column("window"))
    item, location = numbers(limits.column("item")), numbers(limits.column("location"))
    count = len(item)
    # Limits of a cell follow each other: those of a class, then those of the classes below.
    same = np.append(False, (item[1:] == item[:-1]) & (location[1:] == location[:-1]) & (item[1:] >= 0))
    first = np.maximum.accumulate(np.where(same, 0, np.arange(count))) if count else np.empty(0, np.int64)
    behind = np.where(same, np.arange(count) - 1, count)
    has = row >= 0
    window_of = np.full(count, -2)
    np.maximum.at(window_of, first[row[has]], window[has])
    # Stock that leaves in several windows is no tree.
    if (window[has] != window_of[first[row[has]]]).any():
        return None
    ends = np.flatnonzero(window_of >= 0)
    behind[ends] = window_of[ends]
    node = np.where(has, row, np.where(window >= 0, window, count))
    return Flow(
        numbers(lines.column("unfilled_minor")),
        numbers(offers.column("line")),
        numbers(offers.column("option")),
        numbers(offers.column("cost")),
        node,
        numbers(limits.column("limit")),
        behind,
    )
