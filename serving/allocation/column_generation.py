"""Column generation behind the `Allocator` protocol: plans near the optimum, with a bound near them.

The master chooses one plan an order within the limits (Dantzig and Wolfe 1960). Its relaxation prices what is scarce;
the exact planner of the core finds each order's best plan at those prices, smoothed towards the best prices so far
(Wentges 1997); when none improves, the relaxation is solved, and its value is the bound, certified in whole numbers.
Plans come from the core's search, on two threads and again and again, each time anew, so that they differ. An integer
program crosses them: it chooses for each order one of the plans that it has in any of them (as is done with the routes
that local searches find: Rochat and Taillard 1995). On 1,000 orders that makes of three plans of 0.95 % one of 0.75 %, for
which one search needs more than ten times as long. Other integer programs choose for all orders, or for some, among the
plans nearly best at the relaxation's prices.
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
from serving.allocation.neighbourhoods import WHOLE_ORDERS_MAX, Neighbourhoods
from serving.allocation.protocol import Cancellation, Plan, Terms, within
from serving.allocation.search import Search
from serving.allocation.solving import CORE_VERSION, Clock, OnProblem, plan_of

#: Shares of the budget, for a small batch and for a larger one: until the end of the first search, of those whose plans
#: are crossed first, and of each search.
FIRST_SHARES, APART_SHARES, SLICE_SHARES = (0.06, 0.15), (0.40, 0.50), (0.11, 0.18)
#: Shares of the budget until which columns are made, and until which is searched at all.
COLUMNS_SHARE, SEARCH_SHARE = 0.75, 0.92
#: A search is not worth beginning for less.
SEARCH_S_MIN = 0.01
#: Searches of larger batches than these go on from the best plan: the others begin anew, so that their plans differ, small
#: batches always, the others until the first crossing.
ANEW_ORDERS_MAX = 2_000
#: Good plans that are kept to be crossed, and new ones that are worth crossing again.
KEPT_MAX, NEW_MIN = 16, 3
ROUNDS_MAX = 1_000
#: Weight of the best prices so far in those of the next pricing.
SMOOTHING = 0.8
#: A plan must beat its order's price by this share of it to be new.
IMPROVEMENT = 1e-6
#: A gap that is as good as none.
GAP_SMALL = 1e-6
#: Plans that integer programs choose from: of all orders, and of each at least and at most.
CHOICES_MAX, CHOICES_EACH = 100_000, (8, 40)
#: Of one integer program of some orders, and of the first one of all.
COLUMNS_MAX, COLUMNS_WHOLE = 1_500, 1_000
#: Crossing gets so much of the budget at most.
CROSS_SHARE, CROSS_S_MAX = 0.25, 5.0
#: All orders are planned again, among twice as many plans, where so many times as much time is left as that took.
AGAIN = 6
#: An integer program is not worth beginning for less, and gets no more.
INTEGER_S_MIN, INTEGER_S_MAX = 0.02, 0.25
#: Above and below this, the next one plans fewer orders or more.
INTEGER_S_SLOW, INTEGER_S_FAST = 0.18, 0.1
#: Its solver gets this share of its time: building it and its presolve take some.
INTEGER_SHARE = 0.8
#: One of all orders gets this share of the time that is left, and no more than that.
WHOLE_SHARE, WHOLE_S_MAX = 0.3, 10.0


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

    def of(self, orders: np.ndarray, most: int) -> Columns:
        """Plans of some orders that lose least, at most so many."""
        own = ranges(self.start[orders], self.start[orders + 1])
        if len(own) > most:
            own = np.sort(own[np.argpartition(self.loss[own], most)[:most]])
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
        self._searches = 0
        self._large = self._orders > WHOLE_ORDERS_MAX
        #: Searches go on from the best plan.
        self._further = self._orders > ANEW_ORDERS_MAX
        self._everyone = pa.array(np.arange(self._orders, dtype=np.int32))
        #: Plans of all orders that searches found, the last ones, and how many are new since they were crossed.
        self._kept: list[Columns] = []
        self._new = 0

    def solve(self) -> None:
        """Spends the budget, or less where nothing is left to gain."""
        self._search(self._clock.left_of(FIRST_SHARES[self._large]))
        if self._done() or len(self._order) == 0:
            return
        with ThreadPoolExecutor(1, "allocate-search") as pool:
            beside = pool.submit(self._searches_until, SEARCH_SHARE)
            self._searches_until(APART_SHARES[self._large])
            self._cross()
            self._further = self._large
            relaxed = None if self._done() else self._columns()
            if relaxed is not None:
                self._integer(self._programs(*relaxed))
            else:
                self._searches_until(SEARCH_SHARE)
                self._cross()
            if self._done():
                self._problem.cancel()
            beside.result()

    def _searches_until(self, share: float) -> None:
        """Searches again and again until a share of the budget is spent."""
        while not self._done() and self._clock.left_of(share) >= SEARCH_S_MIN:
            self._slice(share)

    def _slice(self, share: float) -> None:
        """One search of those that fill the time until a share of the budget: none is too short for anything."""
        left_s = self._clock.left_of(share)
        self._search(left_s / max(1, round(left_s / (SLICE_SHARES[self._large] * self._clock.budget_s))))

    def _done(self) -> bool:
        gained = self.cost is not None and self.cost - self.bound <= GAP_SMALL * self.cost
        return gained or self._cancellation.cancelled or self._clock.left_s == 0.0

    def _search(self, seconds: float) -> None:
        """Searches from the best prices so far, and from the best plan where there is no time to come near it again."""
        begun = self._clock.spent_s
        with self._lock:
            self._searches += 1
            seed = self._searches
        if self.cost is None:
            found = self._problem.search(1e3 * seconds)
        else:
            start = self.choice if self._further else None
            found = self._problem.search(1e3 * seconds, prices=pa.array(self.prices), start=start, seed=seed)
        self._learn(found, begun)

    def _learn(self, found: Found, begun: float) -> None:
        columns = Columns.of(self._problem.columns(self._everyone, found.choice))
        with self._lock:
            self._kept = [*self._kept[-KEPT_MAX + 1 :], columns]
            self._new += 1
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
        nothing = pa.array(np.full(len(self._order), -1, np.int32))
        for choice in (nothing, self.choice):
            master.add(Columns.of(self._problem.columns(self._everyone, choice)))
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

    def _integer(self, programs: Programs) -> None:
        """Plans some orders anew at a time, exactly among those plans, and crosses what searches find meanwhile."""
        around = programs.around
        most, turn = COLUMNS_WHOLE, 0
        while not self._done() and self._clock.left_s >= INTEGER_S_MIN:
            if self._new >= (NEW_MIN if self._clock.left_of(SEARCH_SHARE) > 0.0 else 1):
                self._cross()
                continue
            whole = around.whole
            turn += 0 if whole else 1
            if turn % 2 and self._clock.left_of(SEARCH_SHARE) >= SEARCH_S_MIN:
                self._slice(SEARCH_SHARE)
                continue
            best = self._best()
            free = around.draw(best)
            columns = Columns.joined([best.take(free), programs.of(free, most if whole else COLUMNS_MAX)])
            left_s = self._clock.left_s
            begun, before = self._clock.spent_s, self.cost
            limit_s = min(WHOLE_SHARE * left_s, WHOLE_S_MAX) if whole else INTEGER_S_MAX
            chosen = self._choose(best, free, columns, limit_s)
            took = self._clock.spent_s - begun
            if chosen is not None:
                self._take(best, free, columns.take(chosen))
            if whole:
                around.whole = AGAIN * took <= self._clock.left_s and most < len(programs.near)
                most *= 2
            elif chosen is None or took > INTEGER_S_SLOW:
                around.shrink()
            elif took < INTEGER_S_FAST and before == self.cost:
                around.grow()

    def _cross(self) -> None:
        """Plans orders anew that have several plans in what was found so far, exactly among these."""
        with self._lock:
            kept, self._new = self._kept, 0
        if self._done() or not kept:
            return
        best = self._best()
        plans = Columns.joined([best, *kept]).distinct()
        free = np.flatnonzero(np.bincount(plans.order, minlength=self._orders) > 1)
        if len(free) == 0:
            return
        # The first of each are those of the best plan.
        columns = plans.take(np.flatnonzero(np.isin(plans.order, free)))
        chosen = self._choose(best, free, columns, min(CROSS_SHARE * self._clock.budget_s, CROSS_S_MAX))
        if chosen is not None:
            self._take(best, free, columns.take(chosen))

    def _best(self) -> Columns:
        """The best plan, order by order."""
        return Columns.of(self._problem.columns(self._everyone, self.choice))

    def _choose(self, best: Columns, free: np.ndarray, columns: Columns, limit_s: float) -> np.ndarray | None:
        """One column for each of the free orders, within what the others leave."""
        others = np.ones(self._orders, bool)
        others[free] = False
        taken = others[best.order[best.column_of_use]]
        used = np.bincount(best.row[taken], best.units[taken], len(self._limit))
        left = self._limit - used.astype(np.int64)
        renumbered = replace(columns, order=np.searchsorted(free, columns.order))
        left_s = self._clock.left_s
        seconds = INTEGER_SHARE * min(left_s, limit_s)
        # The first columns are those of the plan as it is.
        work = partial(choose, renumbered, len(free), left, np.arange(len(free)), seconds)
        return within(min(left_s, 2 * limit_s), self._cancellation, work)

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
                elif cost < best.cost.sum():
                    # A search was quicker, with a plan that may lack what this one has.
                    self._kept = [
                        *self._kept[-KEPT_MAX + 1 :],
                        Columns.of(self._problem.columns(self._everyone, found)),
                    ]
                    self._new += 1


def ranges(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """All numbers from each start up to its end."""
    size = end - start
    ends = np.cumsum(size)
    return np.asarray(np.arange(int(size.sum())) - np.repeat(ends - size - start, size))
