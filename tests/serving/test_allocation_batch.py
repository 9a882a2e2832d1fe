"""Batches with shared packages: the exact planner, column generation and its bound."""

import importlib.util
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.allocation.batch import NEVER, Batch, is_feasible, total_cost
from serving.allocation.columns import solve
from serving.allocation.planner import best_plans

INSTANCES = Path(__file__).resolve().parents[3] / "shared/tools/allocation_instances.py"


def random_batch(seed, orders=4, most_lines=3, items=3, locations=2, services=2, plenty=False):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, most_lines + 1, orders)
    first = np.concatenate([[0], np.cumsum(size)])
    lines, options = int(first[-1]), locations * services
    cost = rng.integers(0, 300, (lines, options))
    limit = np.sort(rng.integers(100 * plenty, 6 + 100 * plenty, (2, items, locations)), axis=0)[::-1]
    return Batch(
        first,
        rng.integers(0, items, lines),
        rng.integers(1, 4, lines),
        rng.integers(100, 900, lines),
        rng.integers(0, 2, orders),
        rng.integers(0, 2, orders),
        np.where(rng.random((lines, options)) < 0.2, NEVER, cost),
        rng.integers(50, 400, (orders, options)),
        np.repeat(np.arange(locations), services),
        limit.copy(),
        rng.integers(2 + 100 * plenty, 12 + 100 * plenty, locations),
    )


def every_choice(batch):
    """All feasible choices with their costs; only for tiny batches."""
    offered = [[-1, *np.flatnonzero(row < NEVER)] for row in batch.cost]
    for chosen in itertools.product(*offered):
        option = np.array(chosen)
        if is_feasible(batch, option):
            yield total_cost(batch, option), option


def cost_by_hand(batch, option):
    """The objective in the module's docstring, one term at a time."""
    cost, packages = 0, set()
    for order in range(batch.orders):
        for line in range(batch.first[order], batch.first[order + 1]):
            if option[line] < 0:
                cost += batch.unfilled[line]
            else:
                cost += batch.cost[line, option[line]]
                packages.add((order, option[line]))
    return cost + sum(batch.package[order, at] for order, at in packages)


@pytest.mark.parametrize("seed", range(20))
def test_the_planner_is_exact(seed):
    """With stock for everybody, each order's best plan is its part of the optimum."""
    batch = random_batch(seed, orders=1, most_lines=4, plenty=True)
    value, option = best_plans(batch.cost[None], batch.package, batch.unfilled[None], batch.complete)
    best = min(cost for cost, _ in every_choice(batch))
    assert value[0] == best == total_cost(batch, option[0])
    assert is_feasible(batch, option[0])


def test_the_planner_plans_many_orders_as_it_plans_one():
    rng = np.random.default_rng(5)
    cost, package = rng.integers(0, 900, (40, 5, 30)), rng.integers(0, 900, (40, 30))
    unfilled, complete = rng.integers(0, 900, (40, 5)), rng.integers(0, 2, 40)
    value, option = best_plans(cost, package, unfilled, complete)
    for order in range(40):
        one = slice(order, order + 1)
        alone = best_plans(cost[one], package[one], unfilled[one], complete[one])
        assert alone[0][0] == value[order]
        np.testing.assert_array_equal(alone[1][0], option[order])


def test_two_lines_share_a_package_when_that_is_cheaper():
    # Apart: 10 + 10 + 2 x 100. Together from the dearer place: 40 + 40 + 100.
    cost = np.array([[[10, NEVER, 40], [NEVER, 10, 40]]])
    value, option = best_plans(cost, np.array([[100, 100, 100]]), np.array([[900, 900]]), np.array([0]))
    assert (value.tolist(), option.tolist()) == ([180], [[2, 2]])


def test_an_order_that_ships_complete_is_left_when_one_line_cannot_ship():
    cost = np.array([[[10], [NEVER]]])
    package, unfilled = np.array([[5]]), np.array([[100, 30]])
    for complete, expected in ((0, (45, [[0, -1]])), (1, (130, [[-1, -1]]))):
        value, option = best_plans(cost, package, unfilled, np.array([complete]))
        assert (value[0], option.tolist()) == expected


@pytest.mark.parametrize("seed", range(25))
def test_column_generation_is_within_its_bound_of_the_best(seed):
    batch = random_batch(seed, orders=3, most_lines=2)
    best = min(cost for cost, _ in every_choice(batch))
    solution = solve(batch, budget_s=5.0)
    assert is_feasible(batch, solution.option)
    assert solution.cost == total_cost(batch, solution.option) == cost_by_hand(batch, solution.option)
    assert solution.bound <= best <= solution.cost
    # An integer choice among the plans found need not be the best of all, but is near it.
    assert solution.cost <= 1.1 * best


@pytest.mark.parametrize(
    "change",
    [
        {"limit": np.zeros((2, 3, 2), np.int64)},
        {"capacity": np.zeros(2, np.int64)},
        {"cost": np.full((8, 4), NEVER)},
    ],
    ids=["no stock", "no capacity", "nothing offered"],
)
def test_with_nothing_to_give_everything_is_unfilled(change):
    base = random_batch(3)
    fields = {**vars(base), **change}
    fields["cost"] = (
        fields["cost"][: len(base.qty)] if len(fields["cost"]) >= len(base.qty) else np.full(base.cost.shape, NEVER)
    )
    batch = Batch(**fields)
    solution = solve(batch, budget_s=2.0)
    assert (solution.option == -1).all()
    assert solution.cost == solution.bound == batch.unfilled.sum()


def test_no_orders_cost_nothing():
    batch = random_batch(1)
    empty = Batch(
        np.array([0]),
        *(np.zeros(0, np.int64),) * 5,
        np.zeros((0, 4), np.int64),
        np.zeros((0, 4), np.int64),
        batch.location,
        batch.limit,
        batch.capacity,
    )
    assert solve(empty, 1.0).cost == 0


def test_a_spent_budget_still_gives_a_feasible_plan_and_a_valid_bound():
    batch = random_batch(9, orders=60, most_lines=4, items=8, locations=5)
    hurried, unhurried = solve(batch, budget_s=0.0), solve(batch, budget_s=10.0)
    assert is_feasible(batch, hurried.option)
    assert hurried.bound <= unhurried.cost <= hurried.cost
    assert hurried.bound <= unhurried.bound


def test_realistic_batches_reach_the_optimum_nearly():
    """The instances that come with the project, where they are at hand, scored by their own evaluator."""
    if not INSTANCES.exists():
        batch = random_batch(2, orders=50, most_lines=4, items=30, locations=8)
        solution = solve(batch, budget_s=20.0)
        assert solution.cost <= 1.02 * solution.bound
        return
    spec = importlib.util.spec_from_file_location("allocation_instances", INSTANCES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    instance = module.generate(**module.SUITE["tiny"], seed=77)
    solution = solve(batch_of(instance), budget_s=20.0)
    services = instance.A.shape[2]
    at = np.where(solution.option < 0, -1, solution.option // services)
    scored = module.evaluate(instance, at, np.where(solution.option < 0, -1, solution.option % services))
    assert scored["total"] == solution.cost
    assert solution.cost <= 1.015 * solution.bound


def batch_of(instance):
    """An instance of the project's generator as a `Batch`."""
    order = np.repeat(np.arange(instance.O), np.diff(instance.ptr))
    places, _, services = instance.A.shape
    cost = np.stack([instance.line_cost(order[line], line).ravel() for line in range(len(instance.sku))])
    package = np.moveaxis(instance.A, 1, 0).reshape(-1, places * services)[instance.zone]
    return Batch(
        instance.ptr.astype(np.int64),
        instance.sku.astype(np.int64),
        instance.qty.astype(np.int64),
        instance.u,
        instance.cls.astype(np.int64),
        instance.complete.astype(np.int64),
        cost,
        package,
        np.repeat(np.arange(places), services),
        instance.lim,
        instance.cap,
    )
