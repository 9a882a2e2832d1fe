"""The allocators against all assignments of tiny batches that use every column, judged from the tables alone."""

import numpy as np
import pytest

from loadtests.allocation.baselines import solve
from loadtests.allocation.evaluate import Judge, rows_of
from loadtests.allocation.instances import Shape, make
from loadtests.allocation.varied import every_plan, varied
from serving.allocation import ColumnGeneration, MinCostFlow, Search, Terms

BUDGET_MS = 150
LINES_MAX = 5
SEEDS = [range(first, first + 10) for first in range(0, 40, 10)]


def batches(seeds, orders, most_lines):
    """Batches that are small enough to try all assignments of."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        given = varied(seed, int(rng.integers(*orders)), int(rng.integers(*most_lines)), int(rng.integers(1, 4)))
        if given.orders.num_rows <= LINES_MAX:
            print("seed", seed)
            yield given, [outcome for _, outcome in every_plan(given)]


def outcome_of(given, plan):
    outcome = Judge(given).outcome(rows_of(plan.table))
    assert outcome.total == plan.objective_minor, "the cost that is said is that of the plan"
    return outcome


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
@pytest.mark.parametrize("solver", [Search(), ColumnGeneration()], ids=lambda solver: solver.name)
def test_the_plan_is_the_best_of_all_assignments(solver, seeds):
    for given, every in batches(seeds, (1, 4), (1, 4)):
        best = min(outcome.total for outcome in every)
        plan = solver.allocate(given.named(), Terms(BUDGET_MS, tier_confidence=given.tier_confidence))
        assert outcome_of(given, plan).total == best
        assert plan.bound_minor <= best


def filled_by_tier(outcome):
    return tuple(outcome.by_tier.get(tier, (0, 0))[1] for tier in range(3))


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
@pytest.mark.parametrize(
    ("policy", "first"),
    [("tiers", filled_by_tier), ("max-min", lambda outcome: outcome.lowest_customer_fill)],
    ids=["tiers", "max-min"],
)
def test_a_policy_comes_before_cost(policy, first, seeds):
    for given, every in batches(seeds, (2, 5), (2, 3)):
        reached = max(first(outcome) for outcome in every)
        cost = min(outcome.total for outcome in every if first(outcome) == reached)
        plan = Search().allocate(given.named(), Terms(BUDGET_MS, policy, tier_confidence=given.tier_confidence))
        outcome = outcome_of(given, plan)
        assert first(outcome) == reached
        assert outcome.total == cost
        assert plan.bound_minor <= min(outcome.total for outcome in every)


@pytest.mark.parametrize("seeds", SEEDS[:2], ids=str)
def test_a_floor_is_kept_where_it_can_be(seeds):
    for given, every in batches(seeds, (2, 5), (2, 3)):
        tier = max(given.orders["tier"].to_pylist())
        asked = Terms(BUDGET_MS, floors=((tier, 1_000_000),), tier_confidence=given.tier_confidence)
        outcome = outcome_of(given, Search().allocate(given.named(), asked))
        able = [each for each in every if each.fill_by_tier[tier] == 1.0]
        if able:
            assert outcome.fill_by_tier[tier] == 1.0
            assert outcome.total == min(each.total for each in able)


@pytest.mark.parametrize("seed", [1, 2])
def test_lines_of_one_unit_are_planned_exactly(seed):
    given = make(Shape(60, 8, lines=1, single=True), seed)
    proven = solve(given, "highs", 60)
    assert proven.optimal
    plan = MinCostFlow().allocate(given.named(), Terms(1_000))
    best = Judge(given).outcome(rows_of(proven.plan)).total
    assert outcome_of(given, plan).total == best == plan.bound_minor


@pytest.mark.parametrize("without", ["stock", "capacity"])
def test_a_batch_that_cannot_be_served_is_left_unfilled(without):
    given = make(Shape(20, 4), 1)
    if without == "capacity":
        names = given.capacity["location"]
        table = given.capacity.set_column(1, "units", np.zeros((1, len(names)), np.int64))
        given = type(given)(**{**given.__dict__, "capacity": table})
    else:
        given = type(given)(**{**given.__dict__, "stock": given.stock.slice(0, 0)})
    for solver in (Search(), ColumnGeneration()):
        plan = solver.allocate(given.named(), Terms(50))
        assert plan.table.num_rows == 0
        unserved = sum(given.orders["unfilled_minor"].to_pylist())
        assert outcome_of(given, plan).total == unserved
        assert 0 <= unserved - plan.bound_minor <= 1e-4 * unserved
