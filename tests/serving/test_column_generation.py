"""The parts of column generation: columns, the relaxation, and choices of columns."""

import itertools
import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from bespeak.allocation import Problem
from loadtests.allocation.instances import Shape, make
from serving.allocation import Cancellation
from serving.allocation.column_generation import Run, ranges
from serving.allocation.master import Columns, Master, choose, spread
from serving.allocation.neighbourhoods import Neighbourhoods
from serving.allocation.protocol import within
from serving.allocation.solving import Clock


@pytest.fixture(scope="module")
def problem():
    return Problem(make(Shape(40, 8), 3).named())


def limits_of(problem):
    return problem.limits()["limit"].to_numpy()


def everyone(problem):
    orders = int(problem.lines["order"].to_numpy().max()) + 1
    return pa.array(np.arange(orders, dtype=np.int32))


def test_columns_cost_what_their_plans_do(problem):
    found = problem.search(50)
    columns = Columns.of(problem.columns(everyone(problem), found.choice))
    assert columns.cost.sum() == found.cost == problem.costs(found.choice)["total_minor"]
    used = np.bincount(columns.row, columns.units, len(limits_of(problem)))
    assert (used <= limits_of(problem)).all()
    assert np.array_equal(columns.choice, found.choice.to_numpy())


def test_columns_are_taken_and_joined_as_rows_are(problem):
    found = problem.search(20)
    columns = Columns.of(problem.columns(everyone(problem), found.choice))
    some = np.array([3, 0, 7])
    taken = columns.take(some)
    for at, own in enumerate(some):
        for start, values in (("start", "row"), ("start", "units"), ("choice_start", "choice")):
            one = getattr(columns, values)[getattr(columns, start)[own] : getattr(columns, start)[own + 1]]
            other = getattr(taken, values)[getattr(taken, start)[at] : getattr(taken, start)[at + 1]]
            assert np.array_equal(one, other)
    joined = Columns.joined([taken, columns.take(np.array([1]))])
    assert joined.order.tolist() == [3, 0, 7, 1]
    assert np.array_equal(joined.take(np.arange(3)).row, taken.row)


def test_ragged_positions():
    positions, start = spread(np.array([0, 2, 2, 5]), np.array([2, 0, 1]))
    assert positions.tolist() == [2, 3, 4, 0, 1]
    assert start.tolist() == [0, 3, 5, 5]
    assert ranges(np.array([4, 1, 9]), np.array([6, 1, 10])).tolist() == [4, 5, 9]


def test_known_plans_are_not_added_twice(problem):
    found = problem.search(20)
    columns = Columns.of(problem.columns(everyone(problem), found.choice))
    master = Master(len(columns), limits_of(problem))
    assert master.add(columns) == len(columns)
    assert master.add(columns) == 0
    assert len(master) == len(columns)


def test_the_relaxation_bounds_the_optimum_and_prices_prove_it(problem):
    run = Run(problem, Clock(20.0), Cancellation())
    run._search(0.1)
    master, relaxation = run._columns()
    assert run.bound <= relaxation.value + 1
    assert relaxation.value <= run.cost + 1e-6
    # Solved to the end, the value is the bound, which the core proves in whole numbers.
    assert run.bound == pytest.approx(relaxation.value, rel=1e-5)
    assert problem.bound(pa.array(run.prices)) == run.bound
    # Weights are a plan in parts: they sum to 1 for each order, and keep the limits.
    columns = master.columns
    assert np.allclose(np.bincount(columns.order, relaxation.weight), 1.0, atol=1e-6)
    used = np.bincount(columns.row, columns.units * relaxation.weight[columns.column_of_use], len(run.prices))
    assert (used <= limits_of(problem) + 1e-6).all()


def test_plans_near_the_best_are_near_it(problem):
    prices = problem.search(50).prices
    values, _ = problem.best_plans(prices)
    near = Columns.of(problem.near(prices, 150.0, 5, 10_000))
    worth = near.value_at(prices.to_numpy())
    assert (np.bincount(near.order) <= 5).all()
    assert (worth < values.to_numpy()[near.order] + 150.0 + 1e-6).all()
    best = np.full(len(values), np.inf)
    np.minimum.at(best, near.order, worth)
    assert np.allclose(best, values.to_numpy())
    assert len(Columns.of(problem.near(prices, 150.0, 5, 17))) == 17


def test_a_choice_of_columns_is_the_cheapest_that_fits():
    # Two orders want the one unit; order 0 saves 5 by having it, order 1 saves 9.
    columns = Columns(
        np.array([0, 1, 0, 1]), np.array([20, 30, 15, 21]), np.array([-1, -1, 0, 0]), np.arange(5),
        np.array([0, 0]), np.array([1.0, 1.0]), np.array([0, 0, 0, 1, 2]),
    )  # fmt: skip
    chosen = choose(columns, 2, np.array([1]), np.array([0, 1]), 5.0)
    assert sorted(chosen.tolist()) == [0, 3]


@pytest.mark.parametrize("seed", range(20))
def test_choices_are_the_best_of_all(seed):
    print("seed", seed)
    rng = np.random.default_rng(seed)
    orders, each, limits = 6, 4, rng.integers(1, 6, 4)
    # Each order first has the plan that uses nothing.
    order = np.tile(np.arange(orders), each)
    units = rng.integers(0, 4, (len(order), len(limits))) * (rng.random((len(order), len(limits))) < 0.6)
    units[:orders] = 0
    cost = np.where(np.arange(len(order)) < orders, 1_000, rng.integers(10, 1_000, len(order)))
    column, row = np.nonzero(units)
    columns = Columns(
        order, cost, np.full(len(order), -1), np.arange(len(order) + 1),
        row, units[column, row].astype(float), np.concatenate([[0], np.cumsum((units > 0).sum(axis=1))]),
    )  # fmt: skip
    chosen = choose(columns, orders, limits, np.arange(orders), 10.0)
    assert np.array_equal(np.sort(columns.order[chosen]), np.arange(orders))
    assert (units[chosen].sum(axis=0) <= limits).all()
    by_order = [np.flatnonzero(order == one) for one in range(orders)]
    every = (np.array(some) for some in itertools.product(*by_order))
    assert cost[chosen].sum() == min(cost[some].sum() for some in every if (units[some].sum(axis=0) <= limits).all())


def test_neighbourhoods_hold_what_the_relaxation_left_open(problem):
    run = Run(problem, Clock(20.0), Cancellation())
    run._search(0.05)
    master, relaxation = run._columns()
    best = Columns.of(problem.columns(everyone(problem), run.choice))
    around = Neighbourhoods(master.columns, relaxation, len(best))
    assert around.whole
    assert np.array_equal(around.draw(best), np.arange(len(best)))
    around.whole = False
    whole = set(master.columns.order[relaxation.weight > 0.99].tolist())
    first = around.draw(best)
    assert set(range(len(best))) - whole <= set(first.tolist()) or len(first) == around.size
    assert np.array_equal(first, np.unique(first))
    around.grow()
    assert len(around.draw(best)) == min(len(best), around.size)


def test_programs_offer_what_loses_least(problem):
    run = Run(problem, Clock(20.0), Cancellation())
    run._search(0.05)
    master, relaxation = run._columns()
    programs = run._programs(master, relaxation)
    orders = np.array([1, 4, 5])
    every = programs.of(orders, 1_000_000)
    own = np.isin(programs.near.order, orders)
    assert len(every) == own.sum()
    few = programs.of(orders, 7)
    loss = few.value_at(relaxation.prices) - relaxation.order_price[few.order]
    assert np.allclose(np.sort(loss), np.sort(programs.loss[own])[:7])


def test_a_solve_ends_with_the_best_of_both_sides(problem):
    run = Run(problem, Clock(1.0), Cancellation())
    run.solve()
    assert problem.check(run.choice) is None
    assert problem.costs(run.choice)["total_minor"] == run.cost
    assert run.bound <= run.cost <= min(cost for _, cost in run.trace)


def test_a_clock_keeps_time_for_writing():
    assert 0.18 < Clock(0.2).left_s <= 0.192
    assert 0.15 < Clock(0.2, 10_000).left_s <= 0.18
    # But not all of it.
    assert Clock(0.01, 1_000_000).left_s > 0.0


def test_work_that_cannot_be_stopped_is_left_behind():
    never, told = threading.Event(), Cancellation()
    started = time.monotonic()
    assert within(0.05, Cancellation(), never.wait) is None
    threading.Timer(0.05, told.cancel).start()
    assert within(60.0, told, never.wait) is None
    assert time.monotonic() - started < 30
    never.set()
    assert within(60.0, Cancellation(), lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(60.0, Cancellation(), lambda: 1 // 0)
