"""Column generation: near-optimal plans of whole batches with a certified bound.

The master chooses one plan an order within the limits; its linear relaxation
prices the scarce stock, and the exact planner finds every order's best plan at
those prices. When no plan improves, the relaxation is solved; an integer pass
over the plans found makes a solution of it.

The bound needs no trust in floating point: for any prices p >= 0,

    sum over orders of (cheapest plan at prices p)  -  sum of p x limit

is at most the cost of any solution, and with prices rounded to 1/1024 of a
minor unit it is computed in integers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from serving.allocation.batch import (
    NEVER,
    Batch,
    Solution,
    is_feasible,
    total_cost,
    usable_cost,
)
from serving.allocation.master import Master, choose_integer, solve_relaxation
from serving.allocation.planner import best_plans

#: Prices are integers of 1 / SCALE minor unit.
SCALE = 1024
#: Share of the time budget after which no more columns are made.
COLUMNS_SHARE = 0.6
ROUNDS_MAX = 200
GAP_SMALL = 1e-5


@dataclass
class Orders:
    """Orders of one number of lines."""

    #: int64 (orders,), and their lines, int64 (orders, lines).
    order: np.ndarray
    line: np.ndarray


def grouped(batch: Batch) -> list[Orders]:
    """Orders by their number of lines."""
    count = np.diff(batch.first)
    return [
        Orders(order := np.flatnonzero(count == size), batch.first[order][:, None] + np.arange(size))
        for size in np.unique(count)
        if size > 0
    ]


def solve(batch: Batch, budget_s: float) -> Solution:
    """Solves a batch within the budget, as far as it goes; always feasible."""
    started = time.monotonic()
    groups = grouped(batch)
    usable = usable_cost(batch)
    nothing = np.full(len(batch.qty), -1, np.int64)
    master = Master(batch)
    if batch.orders == 0:
        return Solution(nothing, 0, 0)
    master.add(np.arange(batch.orders), _rows(batch, nothing))
    prices = np.zeros(master.rows, np.int64)
    incumbent, bound = nothing, -(2**62)
    for _ in range(ROUNDS_MAX):
        value, option = planned(batch, usable, groups, master.line_prices(prices))
        bound = max(bound, -(-(int(value.sum()) - int((prices * master.limits).sum())) // SCALE))
        if master.add_improving(value, option, SCALE) == 0:
            break
        if time.monotonic() - started > COLUMNS_SHARE * budget_s:
            break
        duals, value_now = solve_relaxation(master)
        prices = np.maximum(np.rint(duals * SCALE), 0).astype(np.int64)
        if value_now - bound <= GAP_SMALL * max(1.0, abs(value_now)):
            break
    candidates = [incumbent, sequential(batch, usable, prices, master)]
    left = budget_s - (time.monotonic() - started)
    if left > 0:
        chosen = choose_integer(master, left)
        if chosen is not None:
            candidates.append(chosen)
    costs = [total_cost(batch, option) if is_feasible(batch, option) else int(NEVER) for option in candidates]
    best = costs.index(min(costs))
    return Solution(candidates[best], costs[best], min(bound, costs[best]))


def _rows(batch: Batch, option: np.ndarray) -> np.ndarray:
    """Lines' options as one row an order, padded with -1: int64 (orders, most lines)."""
    width = int(np.diff(batch.first).max(initial=1))
    out = np.full((batch.orders, width), -1, np.int64)
    at = np.arange(len(option)) - np.repeat(batch.first[:-1], np.diff(batch.first))
    out[batch.order_of_line, at] = option
    return out


def planned(
    batch: Batch, usable: np.ndarray, groups: list[Orders], line_prices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best plan of each order at prices.

    Returns:
        value, int64 (orders,) in 1 / SCALE minor units; option, int64 (orders, most lines).
    """
    value = np.zeros(batch.orders, np.int64)
    width = int(np.diff(batch.first).max(initial=1))
    option = np.full((batch.orders, width), -1, np.int64)
    for group in groups:
        offered = usable[group.line]
        cost = np.where(offered < NEVER, offered * SCALE + line_prices[group.line], NEVER)
        value[group.order], option[group.order, : group.line.shape[1]] = best_plans(
            cost,
            batch.package[group.order] * SCALE,
            batch.unfilled[group.line] * SCALE,
            batch.complete[group.order],
        )
    return value, option


def sequential(batch: Batch, usable: np.ndarray, prices: np.ndarray, master: Master) -> np.ndarray:
    """A feasible solution: orders one after another, each its best plan from what is left.

    Orders whose lines cost most to leave unfilled come first; the prices keep
    cheap orders off what dear ones need.
    """
    left = batch.limit.copy()
    room = batch.capacity.copy()
    line_prices = master.line_prices(prices)
    stake = np.add.reduceat(batch.unfilled, batch.first[:-1]) if len(batch.unfilled) else np.zeros(0)
    option = np.full(len(batch.qty), -1, np.int64)
    for order in np.argsort(-stake, kind="stable"):
        lines = np.arange(batch.first[order], batch.first[order + 1])
        kind = int(batch.kind[order])
        available = np.minimum(left[: kind + 1, batch.item[lines]].min(axis=0), room)[:, batch.location]
        cost = np.where(batch.qty[lines, None] <= available, usable[lines], NEVER)
        cost = np.where(cost < NEVER, cost * SCALE + line_prices[lines], NEVER)
        _, chosen = best_plans(
            cost[None],
            batch.package[order][None] * SCALE,
            batch.unfilled[lines][None] * SCALE,
            batch.complete[order][None],
        )
        if _take(batch, left, room, lines, kind, chosen[0]):
            option[lines] = chosen[0]
    return option


def _take(batch: Batch, left: np.ndarray, room: np.ndarray, lines: np.ndarray, kind: int, chosen: np.ndarray) -> bool:
    """Takes a plan's units; False, and nothing taken, when its lines together want too much."""
    filled = np.flatnonzero(chosen >= 0)
    item, at, qty = batch.item[lines[filled]], batch.location[chosen[filled]], batch.qty[lines[filled]]
    for level in range(kind + 1):
        np.subtract.at(left[level], (item, at), qty)
    np.subtract.at(room, at, qty)
    if (left[: kind + 1, item, at] >= 0).all() and (room[at] >= 0).all():
        return True
    for level in range(kind + 1):
        np.add.at(left[level], (item, at), qty)
    np.add.at(room, at, qty)
    return False
