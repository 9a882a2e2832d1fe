"""A batch of orders whose lines share packages, as integer arrays.

    min   sum of package costs opened + sum of line costs + sum of penalties of unfilled lines
    s.t.  each line ships whole from one option (a location and a service), or not at all
          an order's line on an option opens the order's package on that option
          for each class j: what lines of class >= j take of an item at a location <= limit[j]
          what all lines take at a location <= its capacity
          an order that ships complete has all of its lines filled, or none

Costs are in minor units of one currency, quantities in units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Stands for "cannot be served from there"; far above any sum of real costs.
NEVER = np.int64(2**50)
COST_MAX = 2**34
LINES_MAX = 8
CELLS_MAX = 60_000_000


@dataclass(frozen=True)
class Batch:
    """Orders o, lines k sorted by order, options m, items s, locations i."""

    #: First line of each order and the end, int64 (orders + 1,).
    first: np.ndarray
    #: int64 (lines,): item, units, and the cost of leaving the line unfilled.
    item: np.ndarray
    qty: np.ndarray
    unfilled: np.ndarray
    #: int64 (orders,): class, and 1 where the order ships complete or not at all.
    kind: np.ndarray
    complete: np.ndarray
    #: int64 (lines, options): cost of the whole line; NEVER where it is not offered.
    cost: np.ndarray
    #: int64 (orders, options): cost of opening the package.
    package: np.ndarray
    #: int64 (options,): location of each option.
    location: np.ndarray
    #: int64 (classes, items, locations): units that classes >= j may take together.
    limit: np.ndarray
    #: int64 (locations,): units that may leave.
    capacity: np.ndarray

    @property
    def orders(self) -> int:
        """Number of orders."""
        return len(self.first) - 1

    @property
    def order_of_line(self) -> np.ndarray:
        """Order of each line, int64 (lines,)."""
        return np.repeat(np.arange(self.orders), np.diff(self.first))


@dataclass(frozen=True)
class Solution:
    """Option of each line, or -1, and what is known about the optimum."""

    #: int64 (lines,).
    option: np.ndarray
    cost: int
    #: No solution costs less; exact, not rounded from floats.
    bound: int


def usable_cost(batch: Batch) -> np.ndarray:
    """`cost` with NEVER also where the line alone is more than the limits allow, int64 (lines, options)."""
    kind = batch.kind[batch.order_of_line]
    least = np.minimum.accumulate(batch.limit, axis=0)[kind, batch.item]
    room = np.minimum(least, batch.capacity)[:, batch.location]
    return np.where(batch.qty[:, None] <= room, batch.cost, NEVER)


def total_cost(batch: Batch, option: np.ndarray) -> int:
    """Cost of a choice of options, counted anew."""
    filled = np.flatnonzero(option >= 0)
    lines = int(batch.cost[filled, option[filled]].sum())
    packages = np.unique(batch.order_of_line[filled] * len(batch.location) + option[filled])
    opened = int(batch.package[packages // len(batch.location), packages % len(batch.location)].sum())
    return lines + opened + int(batch.unfilled[option < 0].sum())


def use_of(batch: Batch, option: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Units taken: int64 (classes, items, locations), and int64 (locations,)."""
    filled = np.flatnonzero(option >= 0)
    at = batch.location[option[filled]]
    kind = batch.kind[batch.order_of_line[filled]]
    taken = np.zeros_like(batch.limit)
    np.add.at(taken, (kind, batch.item[filled], at), batch.qty[filled])
    # A line of class j counts against the limits of classes 0 to j.
    taken = taken[::-1].cumsum(axis=0)[::-1]
    left = np.zeros_like(batch.capacity)
    np.add.at(left, at, batch.qty[filled])
    return taken, left


def is_feasible(batch: Batch, option: np.ndarray) -> bool:
    """Whether a choice keeps every limit."""
    taken, left = use_of(batch, option)
    filled = option >= 0
    offered = bool((batch.cost[np.flatnonzero(filled), option[filled]] < NEVER).all())
    count = np.add.reduceat(filled.astype(np.int64), batch.first[:-1])
    whole = (count == 0) | (count == np.diff(batch.first)) | (batch.complete == 0)
    return offered and bool((taken <= batch.limit).all() and (left <= batch.capacity).all() and whole.all())
