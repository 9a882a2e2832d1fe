"""The allocators and the baselines behind one call, each timed from the tables to the plan."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from loadtests.allocation import baselines
from loadtests.allocation.tables import Tables
from serving.allocation import ColumnGeneration, MinCostFlow, Search, Terms

ALLOCATORS = {each.name: each for each in (Search(), ColumnGeneration(), MinCostFlow())}
RULES = "greedy"
BASELINES = (*baselines.KINDS, RULES)
NAMES = (*ALLOCATORS, *BASELINES)
POLICIES = ("cost", "tiers", "fair-share", "max-min")


@dataclass(frozen=True)
class Run:
    """A plan and how it came about.

    Attributes:
        plan: None when there was none in time.
        bound: None when nothing is known.
        seconds: from the tables to the plan.
        trace: seconds from the call and the cost that the best plan had then, where the solver says.
    """

    plan: pa.Table | None
    bound: int | None
    seconds: float
    made_by: str
    trace: Sequence[tuple[float, int]] = field(default_factory=tuple)


def run(name: str, given: Tables, budget_ms: int, policy: str = "cost", floors: Sequence[tuple[int, int]] = ()) -> Run:
    """Plans a batch with a solver.

    Args:
        name: one of `NAMES`.
        given: the batch.
        budget_ms: time to spend.
        policy: one of `POLICIES`; the baselines know cost only.
        floors: tier, and the share of its lines, in millionths, to be filled at least.

    Raises:
        ValueError: there is no such solver, or it does not know the policy.
    """
    if name in BASELINES:
        if policy != "cost" or floors:
            raise ValueError(f"{name} plans by cost alone: leave out the policy {policy}")
        answer = baselines.greedy(given) if name == RULES else baselines.solve(given, name, budget_ms / 1000)
        return Run(answer.plan, answer.bound, answer.seconds, name)
    if name not in ALLOCATORS:
        raise ValueError(f"there is no solver {name}: choose from {', '.join(NAMES)}")
    started = time.perf_counter()
    terms = Terms(budget_ms, policy, tuple(floors), given.tier_confidence)
    found = ALLOCATORS[name].allocate(given.named(), terms)
    return Run(found.table, found.bound_minor, time.perf_counter() - started, found.made_by, found.trace)
