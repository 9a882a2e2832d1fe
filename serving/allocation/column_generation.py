"""Column generation behind the `Allocator` protocol: plans near the optimum, with a bound near them.

The master chooses one plan an order within the limits (Dantzig and Wolfe 1960). Its relaxation prices what is scarce;
the exact planner of the core finds each order's best plan at those prices, smoothed towards the best prices so far
(Wentges 1997); when none improves, the relaxation is solved, and its value is the bound, certified in whole numbers.
Plans come from two sides, on two threads: the core's search, from the prices and leaning to the plans that the
relaxation chose in part, and integer programs that plan some orders anew among the plans nearly best at the prices.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import numpy as np
import ortools
import pyarrow as pa

from bespeak.allocation import Found, Problem
from serving.allocation.master import Columns, Master, Relaxation, choose, numbers
from serving.allocation.neighbourhoods import Neighbourhoods
from serving.allocation.protocol import Cancellation, Plan, Terms, within
from serving.allocation.search import Search
from serving.allocation.solving import CORE_VERSION, Clock, OnProblem, plan_of

#: Shares of the budget until which there is searched first, columns are made, and searched beside that.
FIRST_SHARE, COLUMNS_SHARE, BESIDE_SHARE = 0.06, 0.50, 0.85
#: Share that a search gets which leans to the relaxation.
LEANING_SHARE = 0.10
ROUNDS_MAX = 1_000
#: Weight of the best prices so far in those of the next pricing.
SMOOTHING = 0.8
#: A plan must beat its order's price by this share of it to be new.
IMPROVEMENT = 1e-6
#: A gap that is as good as none.
GAP_SMALL = 1e-6
#: Plans that integer programs choose from: of all orders, and of each at least and at most.
CHOICES_MAX, CHOICES_EACH = 100_000, (8, 40)
#: Of one integer program.
COLUMNS_MAX = 2_500
#: An integer program is not worth beginning for less, and gets no more.
INTEGER_S_MIN, INTEGER_S_MAX = 0.02, 1.0
#: Above and below this, the next one plans fewer orders or more.
INTEGER_S_SLOW, INTEGER_S_FAST = 0.5, 0.15
#: Its solver gets this share of its time: building it and its presolve take some.
INTEGER_SHARE = 0.8


class ColumnGeneration(OnProblem):
    """Every limit of the problem. Shortage policies other than cost are the search's, and it then says so.

    Without a budget it takes up to 5 seconds.
    """

    name = "column-generation"
    version = f"{CORE_VERSION}+ortools-{ortools.__version__}"
    default_budget_ms = 5_000

    def solve(self, problem: Problem, terms: Terms, clock: Clock, cancellation: Cancellation) -> Plan:
        """See `OnProblem.solve`."""
        if not terms.by_cost:
            return Search().solve(problem, terms, clock, cancellation)
        run = Run(problem, clock, cancellation)
        run.solve()
        return plan_of(problem, run.choice, run.bound, pa.array(run.prices), self.name, tuple(run.trace))


@dataclass(frozen=True)
class Programs:
    """What integer programs are made of."""

    #: Plans that are nearly best, by order.
    near: Columns
    #: What each loses against its order's price, (columns,).
    loss: np.ndarray
    #: First one of each order, and the end, (orders + 1,).
    start: np.ndarray
    around: Neighbourhoods

    def of(self, orders: np.ndarray) -> Columns:
        """Plans of some orders that lose least."""
        own = ranges(self.start[orders], self.start[orders + 1])
        if len(own) > COLUMNS_MAX:
            own = np.sort(own[np.argpartition(self.loss[own], COLUMNS_MAX)[:COLUMNS_MAX]])
        return self.near.take(own)


class Run:
    """One solve: what is known so far."""

    def __init__(self, problem: Problem, clock: Clock, cancellation: Cancellation):
        self._problem = problem
        self._clock = clock
        self._cancellation = cancellation
        self._lock = Lock()
        self._limit = numbers(problem.limits().column("limit"))
        self._order = numbers(problem.lines.column("order"))
        self._orders = int(self._order.max(initial=-1)) + 1
        #: The best plan, int32 (lines,), and its cost.
        self.choice: pa.Int32Array = pa.array(np.full(len(self._order), -1, np.int32))
        self.cost: int | None = None
        self.bound = -(2**62)
        #: Those with the best bound, (limits,).
        self.prices = np.zeros(len(self._limit))
        self.trace: list[tuple[float, int]] = []

    def solve(self) -> None:
        """Spends the budget, or less where nothing is left to gain."""
        self._search(self._clock.left_of(FIRST_SHARE))
        if self._done() or len(self._order) == 0:
            return
        with ThreadPoolExecutor(1, "allocate-search") as pool:
            beside = pool.submit(self._search, self._clock.left_of(BESIDE_SHARE))
            relaxed = self._columns()
            if relaxed is not None:
                self._search(min(self._clock.left_of(BESIDE_SHARE), LEANING_SHARE * self._clock.budget_s), relaxed)
                programs = self._programs(*relaxed)
                self._integer(programs, BESIDE_SHARE)
            if self._done():
                self._problem.cancel()
            beside.result()
        if relaxed is not None:
            self._integer(programs, 1.0)
        elif not self._done():
            self._search(self._clock.left_s)

    def _done(self) -> bool:
        gained = self.cost is not None and self.cost - self.bound <= GAP_SMALL * self.cost
        return gained or self._cancellation.cancelled or self._clock.left_s == 0.0

    def _search(self, seconds: float, leaning: tuple[Master, Relaxation] | None = None) -> None:
        """Searches from the best plan and prices so far, leaning to a relaxation's plans."""
        begun = self._clock.spent_s
        if self.cost is None:
            found = self._problem.search(1e3 * seconds)
        elif self._done():
            return
        else:
            bias = None
            if leaning is not None:
                columns, weight = leaning[0].columns, leaning[1].weight
                chosen = np.flatnonzero(weight > 1e-6)
                bias = columns.take(chosen).batch(weight[chosen])
            found = self._problem.search(
                1e3 * seconds, prices=pa.array(self.prices), bias=bias, start=self.choice, seed=len(self.trace)
            )
        self._learn(found, begun)

    def _learn(self, found: Found, begun: float) -> None:
        with self._lock:
            if found.bound > self.bound:
                self.bound, self.prices = found.bound, np.asarray(found.prices)
            before = self.cost
            if before is None or found.cost < before:
                self.cost, self.choice = found.cost, found.choice
                better = [(begun + at, cost) for at, cost in found.trace if before is None or cost < before]
                self.trace.extend(better)

    def _columns(self) -> tuple[Master, Relaxation] | None:
        """Makes columns until the relaxation is solved or the time for it is spent; None without any relaxation."""
        master = Master(self._orders, self._limit)
        self._cancellation.on_cancel(master.interrupter.interrupt)
        everyone = pa.array(np.arange(self._orders, dtype=np.int32))
        nothing = pa.array(np.full(len(self._order), -1, np.int32))
        for choice in (nothing, self.choice):
            master.add(Columns.of(self._problem.columns(everyone, choice)))
        any_price = np.full(self._orders, np.inf)
        master.add(self._priced(self.prices, any_price))
        last = None
        for _ in range(ROUNDS_MAX):
            relaxation = master.relax(self._clock.left_of(COLUMNS_SHARE))
            if relaxation is None:
                break
            last = relaxation
            if relaxation.value - self.bound <= GAP_SMALL * max(1.0, relaxation.value):
                break
            if self._clock.left_of(COLUMNS_SHARE) == 0.0 or self._cancellation.cancelled:
                break
            if self._improve(master, relaxation) == 0:
                break
        return None if last is None else (master, last)

    def _improve(self, master: Master, relaxation: Relaxation) -> int:
        """Adds plans that the relaxation would choose; returns how many."""
        least = IMPROVEMENT * np.maximum(1.0, np.abs(relaxation.order_price))
        smooth = SMOOTHING * self.prices + (1.0 - SMOOTHING) * relaxation.prices
        columns = self._priced(smooth, np.full(self._orders, np.inf))
        gain = relaxation.order_price[columns.order] - columns.value_at(relaxation.prices)
        new = master.add(columns.take(np.flatnonzero(gain > least[columns.order])))
        if self._clock.left_of(COLUMNS_SHARE) > 0.0:
            new += master.add(self._priced(relaxation.prices, relaxation.order_price - least))
        return new

    def _priced(self, prices: np.ndarray, below: np.ndarray) -> Columns:
        """Best plans at prices; they may prove a better bound."""
        columns, values = self._problem.priced(pa.array(prices), pa.array(below))
        about = np.asarray(values).sum() - prices @ self._limit
        if about > self.bound + GAP_SMALL * abs(self.bound):
            proven = self._problem.bound(pa.array(prices))
            with self._lock:
                if proven > self.bound:
                    self.bound, self.prices = proven, prices
        return Columns.of(columns)

    def _programs(self, master: Master, relaxation: Relaxation) -> Programs:
        """Plans that are nearly best at the relaxation's prices, and which orders to plan anew together."""
        each = int(np.clip(CHOICES_MAX // max(1, self._orders), *CHOICES_EACH))
        slack = float(self.cost or 0) - self.bound
        near = Columns.of(self._problem.near(pa.array(relaxation.prices), slack, each, CHOICES_MAX))
        loss = near.value_at(relaxation.prices) - relaxation.order_price[near.order]
        start = np.searchsorted(near.order, np.arange(self._orders + 1))
        return Programs(near, loss, start, Neighbourhoods(master.columns, relaxation, self._orders))

    def _integer(self, programs: Programs, share: float) -> None:
        """Plans some orders anew at a time, exactly among those plans, until a share of the budget is spent."""
        around = programs.around
        everyone = pa.array(np.arange(self._orders, dtype=np.int32))
        while not self._done() and self._clock.left_of(share) >= INTEGER_S_MIN:
            best = Columns.of(self._problem.columns(everyone, self.choice))
            free = around.draw(best)
            columns = Columns.joined([best.take(free), programs.of(free)])
            begun, before = self._clock.spent_s, self.cost
            chosen = self._choose(best, free, columns, share)
            took = self._clock.spent_s - begun
            if chosen is not None:
                self._take(best, free, columns.take(chosen))
            if chosen is None or took > INTEGER_S_SLOW:
                around.shrink()
            elif took < INTEGER_S_FAST and before == self.cost:
                around.grow()

    def _choose(self, best: Columns, free: np.ndarray, columns: Columns, share: float) -> np.ndarray | None:
        """One column for each of the free orders, within what the others leave."""
        others = np.ones(self._orders, bool)
        others[free] = False
        taken = others[best.order[best.column_of_use]]
        used = np.bincount(best.row[taken], best.units[taken], len(self._limit))
        left = self._limit - used.astype(np.int64)
        renumbered = replace(columns, order=np.searchsorted(free, columns.order))
        left_s = self._clock.left_of(share)
        seconds = max(min(left_s, INTEGER_S_MAX), INTEGER_SHARE * left_s if len(free) == self._orders else 0.0)
        # The first columns are those of the plan as it is.
        work = partial(choose, renumbered, len(free), left, np.arange(len(free)), INTEGER_SHARE * seconds)
        return within(min(left_s, 2 * seconds), self._cancellation, work)

    def _take(self, best: Columns, free: np.ndarray, chosen: Columns) -> None:
        """Takes plans of the free orders where they are better."""
        own = chosen.take(np.argsort(chosen.order))
        choice = best.choice.copy()
        choice[ranges(best.choice_start[free], best.choice_start[free + 1])] = own.choice
        cost = int(best.cost.sum() - best.cost[free].sum() + own.cost.sum())
        found = pa.array(choice, pa.int32())
        if self._problem.check(found) is None:
            with self._lock:
                if self.cost is None or cost < self.cost:
                    self.choice, self.cost = found, cost
                    self.trace.append((self._clock.spent_s, cost))


def ranges(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """All numbers from each start up to its end."""
    size = end - start
    ends = np.cumsum(size)
    return np.asarray(np.arange(int(size.sum())) - np.repeat(ends - size - start, size))
