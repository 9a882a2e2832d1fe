"""The exact best plan of one order, for many orders at once.

An order of K lines is a choice of disjoint sets of lines, each shipped as one
package from one option. Two steps, both over all subsets of the lines:

1. the cheapest option for a set shipped together;
2. the cheapest way to split a set: take its lowest line with some others as
   one package (or leave that line unfilled), and split the rest.

Step 1 takes 2^K x options additions, step 2 takes 3^K / 2, each on a vector of
orders. Prices of scarce stock are part of the line costs given.
"""

from __future__ import annotations

import numpy as np

from serving.allocation.batch import NEVER

#: Numbers held at once by the subset sums.
CELLS_AT_ONCE = 4_000_000


def best_plans(
    cost: np.ndarray, package: np.ndarray, unfilled: np.ndarray, complete: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Plans orders of the same number of lines.

    Args:
        cost: int64 (orders, lines, options), NEVER where not offered.
        package: int64 (orders, options).
        unfilled: int64 (orders, lines).
        complete: int64 (orders,): 1 for all lines or none.

    Returns:
        value, int64 (orders,): cost of the best plan; option, int64 (orders,
        lines): -1 where unfilled.
    """
    orders, lines, options = cost.shape
    at_once = max(1, CELLS_AT_ONCE // ((1 << lines) * options))
    values, chosen = [], []
    for start in range(0, orders, at_once):
        part = slice(start, start + at_once)
        value, option = _plan(cost[part], package[part], unfilled[part], complete[part])
        values.append(value)
        chosen.append(option)
    if not values:
        return np.zeros(0, np.int64), np.zeros((0, lines), np.int64)
    return np.concatenate(values), np.concatenate(chosen)


def _plan(
    cost: np.ndarray, package: np.ndarray, unfilled: np.ndarray, complete: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    orders, lines, _ = cost.shape
    everything = (1 << lines) - 1
    rows = np.arange(orders)
    together = np.empty((1 << lines, orders), np.int64)
    carrier = np.zeros((1 << lines, orders), np.int64)
    sums: dict[int, np.ndarray] = {0: package}
    for subset in range(1, 1 << lines):
        low = (subset & -subset).bit_length() - 1
        sums[subset] = sums[subset & (subset - 1)] + cost[:, low]
        carrier[subset] = sums[subset].argmin(axis=1)
        together[subset] = sums[subset][rows, carrier[subset]]

    # An order that ships complete may not leave a line unfilled on the way.
    alone = np.where(complete[:, None] > 0, NEVER, unfilled)
    best = np.zeros((1 << lines, orders), np.int64)
    taken = np.zeros((1 << lines, orders), np.int64)  # the set shipped with the lowest line; 0: unfilled
    for subset in range(1, 1 << lines):
        low = subset & -subset
        others = subset ^ low
        value = alone[:, low.bit_length() - 1] + best[others]
        which = np.zeros(orders, np.int64)
        part = others
        while True:
            with_low = part | low
            candidate = together[with_low] + best[subset ^ with_low]
            better = candidate < value
            value = np.where(better, candidate, value)
            which = np.where(better, with_low, which)
            if part == 0:
                break
            part = (part - 1) & others
        best[subset] = value
        taken[subset] = which

    option = np.full((orders, lines), -1, np.int64)
    left = np.full(orders, everything)
    for _ in range(lines):
        here = np.flatnonzero(left > 0)
        low = left[here] & -left[here]
        shipped = taken[left[here], here]
        for line in range(lines):
            inside = (shipped >> line & 1) > 0
            option[here[inside], line] = carrier[shipped[inside], here[inside]]
        left[here] ^= np.where(shipped > 0, shipped, low)
    nothing = unfilled.sum(axis=1)
    leave = nothing <= best[everything]
    option[leave] = -1
    return np.minimum(best[everything], nothing), option
