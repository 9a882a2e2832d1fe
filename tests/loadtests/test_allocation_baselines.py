"""The baselines: the optimum over all assignments on tiny batches, proofs against each other on larger ones."""

import pytest

from loadtests.allocation.baselines import KINDS, greedy, solve
from loadtests.allocation.evaluate import evaluate
from loadtests.allocation.instances import Shape, make
from loadtests.allocation.varied import every_plan, varied


@pytest.mark.parametrize("seed", range(25))
def test_the_model_finds_the_best_of_all_assignments(seed):
    print("seed", seed)
    given = varied(seed)
    best = min(outcome.total for _, outcome in every_plan(given))
    for name in ("scip", "highs") if seed % 5 else KINDS:
        answer = solve(given, name, 20)
        assert answer.optimal, name
        assert evaluate(given, answer.plan).total == best, name
        assert answer.bound <= best, name
    rule = evaluate(given, greedy(given).plan)
    assert rule.total >= best


def test_the_tiny_batches_use_what_they_are_for():
    """Over the seeds, each limit and each column decides something: dropping it changes some optimum."""
    changed = set()
    for seed in range(60):
        given = varied(seed, orders=2)
        best = min(outcome.total for _, outcome in every_plan(given))
        for name, without in (
            ("capacity", {"capacity": None}),
            ("exclusions", {"exclusions": None}),
            ("protection", {"protection": None}),
            ("confidence", {"tier_confidence": ()}),
            ("complete", {"orders": given.orders.drop_columns(["ship_complete"])}),
            ("packages", {"orders": given.orders.drop_columns(["max_packages"])}),
            ("requires", {"orders": given.orders.drop_columns(["requires"])}),
            ("late", {"orders": given.orders.drop_columns(["due_days"])}),
        ):
            if name not in changed:
                other = type(given)(**{**given.__dict__, **without})
                if min(outcome.total for _, outcome in every_plan(other)) != best:
                    changed.add(name)
    assert len(changed) == 8, changed


@pytest.mark.parametrize(
    "shape", [Shape(25, 5), Shape(25, 1), Shape(20, 4, single=True, lines=1), Shape(20, 6, supply=0)]
)
def test_two_solvers_prove_the_same_optimum(shape):
    given = make(shape, 3)
    one, other = (solve(given, name, 60) for name in ("scip", "highs"))
    assert one.optimal
    assert other.optimal
    best = evaluate(given, one.plan).total
    assert best == evaluate(given, other.plan).total
    assert best - 2 <= min(one.bound, other.bound) <= max(one.bound, other.bound) <= best
    rule = evaluate(given, greedy(given).plan)
    assert best <= rule.total


def test_a_batch_without_stock_is_left_unfilled():
    given = make(Shape(20, 4), 1)
    empty = type(given)(**{**given.__dict__, "stock": given.stock.slice(0, 0)})
    for answer in (greedy(empty), solve(empty, "highs", 5)):
        assert answer.plan.num_rows == 0


def test_time_ends_it():
    given = make(Shape(200, 50), 1)
    answer = solve(given, "scip", 1.0)
    # It takes minutes to the proof; a busy machine takes some seconds more than it is given.
    assert answer.seconds < 30
    if answer.plan is not None:
        assert evaluate(given, answer.plan).total >= (answer.bound or 0)
