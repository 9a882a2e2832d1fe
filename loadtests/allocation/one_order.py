"""The core's planner of one order, timed over many orders in one call, so that Python's share does not count."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bespeak.allocation import Problem
from loadtests.allocation.instances import Shape, make
from loadtests.allocation.suite import Line
from loadtests.allocation.targets import ORDER, ORDER_US
from loadtests.row import row

LOCATIONS = 50
#: Lines planned in a call, and calls.
LINES, CALLS = 5_000, 7


def one_order(seed: int) -> Iterator[Line]:
    """Yields a row for each number of lines: microseconds an order, the median of some calls, at prices of stock."""
    for lines, bound in ORDER_US.items():
        orders = max(5, LINES // lines)
        given = make(Shape(orders, LOCATIONS, lines=lines, least=lines), seed)
        problem = Problem(given.named(), given.tier_confidence)
        prices = np.random.default_rng(seed).exponential(50.0, problem.limits().num_rows)
        took = []
        for _ in range(CALLS):
            started = time.perf_counter()
            problem.best_plans(pa.array(prices))
            took.append(1e6 * (time.perf_counter() - started) / orders)
        title = f"one order of {lines} lines over {LOCATIONS} locations and 3 services"
        yield row(f"{ORDER}-{lines}", title, "microseconds", "core", [float(np.median(took))], bound=bound)
