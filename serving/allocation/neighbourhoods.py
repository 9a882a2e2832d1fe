"""Which orders an integer program plans anew, the others staying as they are.

A small batch is planned as a whole while that is quick. Else the first are those whose plan is not what the relaxation
chose (Danna, Rothberg and Le Pape 2005). They are few, as the relaxation is nearly whole; then those around them that want
theXX"""

from __future__ import annotations

import numpy as np

from serving.allocation.master import Columns, Relaxation

#: Batches that may be planned as a whole.
WHOLE_ORDERS_MAX = 400
#: Share of a column from which the relaxation chose it.
WHOLE = 0.99
#: Orders at first, at least and at most, and how their number changes.
SIZE_FIRST, SIZE_MIN, SIZE_MAX = 60, 12, 1_000
GROWTH, SHRINKING = 1.4, 0.7


class Neighbourhoods:
    """Draws sets of orders."""

    def __init__(self, columns: Columns, relaxation: Relaxation, orders: int):
        self._relaxation = relaxation
        self._orders = orders
        self._rng = np.random.default_rng(0)
        self._whole = columns.take(np.flatnonzero(relaxation.weight > WHOLE))
        self.size = SIZE_FIRST
        #: All orders are drawn next.
        self.whole = orders <= WHOLE_ORDERS_MAX
        self._drawn = 0

    def grow(self) -> None:
        """The last one was easy."""
        self.size = min(SIZE_MAX, int(np.ceil(self.size * GROWTH)))

    def shrink(self) -> None:
        """The last one took too long."""
        self.size = max(SIZE_MIN, int(self.size * SHRINKING))

    def draw(self, best: Columns) -> np.ndarray:
        """Orders to plan anew, ascending.

        Args:
            best: the plans of all orders as they are, in their order.
        """
        if self.whole:
            return np.arange(self._orders)
        self._drawn += 1
        unsettled = np.flatnonzero(~self._settled(best))
        if self._drawn == 1 and len(unsettled) <= 2 * self.size:
            return self._around(best, unsettled, max(self.size, len(unsettled)))
        if len(unsettled) == 0:
            unsettled = np.arange(self._orders)
        seed = self._rng.choice(unsettled, 1)
        return self._around(best, seed, self.size)

    def _settled(self, best: Columns) -> np.ndarray:
        """Whether an order's plan is what the relaxation chose, (orders,)."""
        whole = self._whole
        size = np.diff(whole.choice_start)
        slot = np.arange(len(whole.choice)) - np.repeat(whole.choice_start[:-1], size)
        line = best.choice_start[np.repeat(whole.order, size)] + slot
        different = np.bincount(np.repeat(np.arange(len(whole)), size), whole.choice != best.choice[line], len(whole))
        settled = np.zeros(self._orders, bool)
        settled[whole.order[different == 0]] = True
        return settled

    def _around(self, best: Columns, orders: np.ndarray, size: int) -> np.ndarray:
        """Those orders and others that use, or would use, the same priced limits, up to a size."""
        prices = self._relaxation.prices
        near = np.zeros(self._orders, bool)
        near[orders] = True
        uses_order = np.concatenate([best.order[best.column_of_use], self._whole.order[self._whole.column_of_use]])
        uses_row = np.concatenate([best.row, self._whole.row])
        priced = prices[uses_row] > 0.0
        uses_order, uses_row = uses_order[priced], uses_row[priced]
        while near.sum() < size:
            rows = np.zeros(len(prices), bool)
            rows[uses_row[near[uses_order]]] = True
            more = np.unique(uses_order[rows[uses_row] & ~near[uses_order]])
            if len(more) == 0:
                rest = np.flatnonzero(~near)
                more = rest
            if len(more) == 0:
                break
            missing = size - int(near.sum())
            near[self._rng.permutation(more)[:missing]] = True
        return np.flatnonzero(near)
