"""Chooses the solver for a caller who names none."""

from __future__ import annotations

from bespeak.allocation import Problem
from serving.allocation.column_generation import ColumnGeneration
from serving.allocation.min_cost_flow import OFFERS_MAX, MinCostFlow, flow_of
from serving.allocation.protocol import Cancellation, Plan, Terms
from serving.allocation.search import Search
from serving.allocation.solving import Clock, OnProblem

#: Column generation needs time for some solves of its linear program, which grows with the batch.
COLUMNS_S_MIN = 0.25
COLUMNS_S_A_LINE = 0.6e-3


class Auto(OnProblem):
    """Min-cost flow where it is exact, column generation where there is time for it, else the search."""

    name = "auto"
    version = ColumnGeneration.version
    default_budget_ms = 1_000

    def solve(self, problem: Problem, terms: Terms, clock: Clock, cancellation: Cancellation) -> Plan:
        """See `OnProblem.solve`."""
        if terms.by_cost:
            flow = flow_of(problem)
            if flow is not None and flow.offers <= OFFERS_MAX * clock.left_s:
                return MinCostFlow().solve(problem, terms, clock, cancellation)
            if clock.left_s >= COLUMNS_S_MIN + COLUMNS_S_A_LINE * problem.lines.num_rows:
                return ColumnGeneration().solve(problem, terms, clock, cancellation)
        return Search().solve(problem, terms, clock, cancellation)
