"""The core's own search behind the `Allocator` protocol."""

from __future__ import annotations

from bespeak.allocation import Problem
from serving.allocation.protocol import Cancellation, Plan, ProblemError, Terms
from serving.allocation.solving import CORE_VERSION, Clock, OnProblem, plan_of


class Search(OnProblem):
    """Priced exchange search: near the optimum within tens of milliseconds, with every policy for shortages.

    Its bound is the Lagrangian one at the prices that it ends with.
    """

    name = "search"
    version = CORE_VERSION
    default_budget_ms = 250

    def solve(self, problem: Problem, terms: Terms, clock: Clock, cancellation: Cancellation) -> Plan:  # noqa: ARG002 - the problem is cancelled
        """See `OnProblem.solve`."""
        before = clock.spent_s
        try:
            found = problem.search(1e3 * clock.left_s, policy=terms.policy, floors=terms.floors)
        except ValueError as error:
            raise ProblemError(str(error)) from error
        trace = tuple((before + at, cost) for at, cost in found.trace)
        return plan_of(problem, found.choice, found.bound, found.prices, self.name, trace)
