"""What the allocators are held against: a rule engine, and the whole problem as one mixed-integer model.

The model is written in bulk, from arrays into the solver's message, and goes through MathOpt: HiGHS as a library of its
own and OR-Tools do not live together in one process.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from ortools.math_opt import callback_pb2, model_parameters_pb2, model_pb2, parameters_pb2
from ortools.math_opt.core.python import solver

from loadtests.allocation.expand import PLENTY, Batch, expand, plan_of
from loadtests.allocation.tables import Tables

KINDS = {
    "cp-sat": parameters_pb2.SOLVER_TYPE_CP_SAT,
    "scip": parameters_pb2.SOLVER_TYPE_GSCIP,
    "highs": parameters_pb2.SOLVER_TYPE_HIGHS,
}
#: CP-SAT runs different strategies side by side, which helps on two cores too.
CP_SAT_WORKERS = 8
#: Share of the bound that the tolerances of a solver in floating point may be off by.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Answer:
    """A plan, and what is known about the best one.

    Attributes:
        plan: None when there was none in time.
        bound: no plan costs less, but for the solver's tolerances; None when it proved nothing.
        seconds: tables to plan, the making of the model included.
        optimal: the solver says that it is done.
    """

    plan: pa.Table | None
    bound: int | None
    seconds: float
    optimal: bool


@dataclass(frozen=True)
class Model:
    """The message, and which variable says what."""

    proto: model_pb2.ModelProto
    batch: Batch
    #: Added to the objective: the cost when nothing is served.
    constant: int


class _Rows:
    """Constraints gathered as triplets."""

    def __init__(self) -> None:
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.count = 0

    def add(self, row: np.ndarray, column: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Adds `len(high)` rows; `row` counts from 0 within them. Their entries follow by `more`."""
        self.low.append(np.broadcast_to(np.asarray(low, float), np.shape(high)))
        self.high.append(np.asarray(high, float))
        self._parts.append(
            (np.asarray(row) + self.count, column, np.broadcast_to(np.asarray(value, float), np.shape(row)))
        )
        self.count += len(high)

    def triplets(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and value, sorted by row and column."""
        row, column, value = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        order = np.lexsort((column, row))
        return row[order], column[order], value[order]


def model_of(batch: Batch) -> Model:
    """Writes the formulation: a variable for each cell (a line at a rate) and for each package (an order at a rate)."""
    cells, line, rate = len(batch.line), batch.line, batch.rate
    orders, lines = len(batch.complete), len(batch.order)
    key, package = np.unique(batch.order[line] * len(batch.location) + rate, return_inverse=True)
    package_order, package_rate = np.divmod(key, len(batch.location))
    opened = cells + package
    every, rows = np.arange(cells), _Rows()
    rows.add(line, every, 1, -np.inf, np.ones(lines))
    rows.add(
        np.tile(every, 2), np.concatenate([every, opened]), np.repeat([1.0, -1.0], cells), -np.inf, np.zeros(cells)
    )
    _limits(rows, batch)
    _orders(rows, batch, package_order, package_rate)
    heavy = np.flatnonzero((batch.from_g[package_rate] > 0) | (batch.below_g[package_rate] < PLENTY))
    if len(heavy):
        _weights(rows, batch, package, heavy, package_rate, package_order)
    proto = model_pb2.ModelProto()
    count = cells + len(key)
    proto.variables.ids.extend(range(count))
    proto.variables.lower_bounds.extend([0.0] * count)
    proto.variables.upper_bounds.extend([1.0] * count)
    proto.variables.integers.extend([True] * count)
    proto.objective.linear_coefficients.ids.extend(range(count))
    proto.objective.linear_coefficients.values.extend(
        np.concatenate([batch.cost - batch.unfilled[line], batch.package[package_rate]]).astype(float).tolist()
    )
    constant = int(batch.unfilled.sum())
    proto.objective.offset = float(constant)
    proto.linear_constraints.ids.extend(range(rows.count))
    proto.linear_constraints.lower_bounds.extend(np.concatenate(rows.low).tolist())
    proto.linear_constraints.upper_bounds.extend(np.concatenate(rows.high).tolist())
    row, column, value = rows.triplets()
    proto.linear_constraint_matrix.row_ids.extend(row.tolist())
    proto.linear_constraint_matrix.column_ids.extend(column.tolist())
    proto.linear_constraint_matrix.coefficients.extend(value.tolist())
    assert orders == batch.order.max(initial=-1) + 1
    return Model(proto, batch, constant)


def _limits(rows: _Rows, batch: Batch) -> None:
    """Stock by class and units by window."""
    line, at, every = batch.line, batch.location[batch.rate], np.arange(len(batch.line))
    for level in range(len(batch.limit)):
        counts = batch.level[line] >= level
        place = batch.item[line[counts]] * batch.limit.shape[2] + at[counts]
        used, row = np.unique(place, return_inverse=True)
        most = batch.limit[level].ravel()[used]
        _add_bounded(rows, row, every[counts], batch.quantity[line[counts]], most)
    used, row = np.unique(batch.window[batch.rate], return_inverse=True)
    _add_bounded(rows, row, every, batch.quantity[line], batch.capacity[used])


def _add_bounded(rows: _Rows, row: np.ndarray, column: np.ndarray, units: np.ndarray, most: np.ndarray) -> None:
    """Adds the rows that could be exceeded at all."""
    tight = np.bincount(row, units, len(most)) > most
    number = np.cumsum(tight) - 1
    kept = tight[row]
    rows.add(number[row[kept]], column[kept], units[kept], -np.inf, most[tight].astype(float))


def _orders(rows: _Rows, batch: Batch, package_order: np.ndarray, package_rate: np.ndarray) -> None:
    """Complete orders, at most so many packages, and one weight range a lane."""
    cells, line = len(batch.line), batch.line
    first = np.searchsorted(batch.order, np.arange(len(batch.complete)))
    # Each further line of a complete order is filled as its first line is.
    further = batch.complete[batch.order] & (np.arange(len(batch.order)) != first[batch.order])
    number = np.cumsum(further) - 1
    own = further[line]
    size = np.bincount(line, minlength=len(batch.order))
    start = np.cumsum(size) - size
    of_first = first[batch.order[further]]
    repeated = np.repeat(np.arange(len(of_first)), size[of_first])
    offset = np.arange(len(repeated)) - np.repeat(np.cumsum(size[of_first]) - size[of_first], size[of_first])
    rows.add(
        np.concatenate([number[line[own]], repeated]),
        np.concatenate([np.flatnonzero(own), start[of_first[repeated]] + offset]),
        np.concatenate([np.ones(int(own.sum())), -np.ones(len(repeated))]),
        np.zeros(len(of_first)),
        np.zeros(len(of_first)),
    )
    limited = batch.most[package_order] > 0
    used, row = np.unique(package_order[limited], return_inverse=True)
    rows.add(row, cells + np.flatnonzero(limited), 1, -np.inf, batch.most[used])
    lane = package_order * (batch.lane.max(initial=0) + 1) + batch.lane[package_rate]
    _, row, count = np.unique(lane, return_inverse=True, return_counts=True)
    several = count > 1
    number = np.cumsum(several) - 1
    kept = several[row]
    rows.add(number[row[kept]], cells + np.flatnonzero(kept), 1, -np.inf, np.ones(int(several.sum())))


def _weights(
    rows: _Rows,
    batch: Batch,
    package: np.ndarray,
    heavy: np.ndarray,
    package_rate: np.ndarray,
    package_order: np.ndarray,
) -> None:
    """A package's weight lies in the range of its rate."""
    number = np.full(len(package_rate), -1)
    number[heavy] = np.arange(len(heavy))
    cell = np.flatnonzero(number[package] >= 0)
    weight = batch.weight[batch.line[cell]]
    whole = np.bincount(batch.order, batch.weight).astype(np.int64)[package_order[heavy]]
    from_g, last_g = batch.from_g[package_rate[heavy]], np.minimum(batch.below_g[package_rate[heavy]] - 1, whole)
    row = np.concatenate([number[package[cell]], np.arange(len(heavy))])
    column = np.concatenate([cell, len(batch.line) + heavy])
    rows.add(row, column, np.concatenate([weight, -from_g]), np.zeros(len(heavy)), np.full(len(heavy), np.inf))
    rows.add(row, column, np.concatenate([weight, -last_g]), -np.inf, np.zeros(len(heavy)))


def solve(given: Tables, name: str, seconds: float) -> Answer:
    """Solves the whole problem with one of `KINDS` within about a time."""
    started = time.perf_counter()
    model = model_of(expand(given))
    parameters = parameters_pb2.SolveParametersProto(relative_gap_tolerance=0.0)
    if name == "cp-sat":
        parameters.threads = CP_SAT_WORKERS
    parameters.time_limit.FromMilliseconds(max(1, int(1000 * (seconds - (time.perf_counter() - started)))))
    result = solver.solve(
        model.proto,
        KINDS[name],
        parameters_pb2.SolverInitializerProto(),
        parameters,
        model_parameters_pb2.ModelSolveParametersProto(),
        None,
        callback_pb2.CallbackRegistrationProto(),
        None,
        None,
    )
    bound = result.termination.objective_bounds.dual_bound
    least = math.ceil(bound - TOLERANCE * max(1.0, abs(bound))) if math.isfinite(bound) else None
    plan = None
    if result.solutions and result.solutions[0].HasField("primal_solution"):
        found = result.solutions[0].primal_solution.variable_values
        chosen = np.asarray(found.ids, np.int64)[np.asarray(found.values) > 0.5]
        chosen = chosen[chosen < len(model.batch.line)]
        rate = np.full(len(model.batch.order), -1, np.int64)
        rate[model.batch.line[chosen]] = model.batch.rate[chosen]
        plan = plan_of(model.batch, rate)
    done = result.termination.reason == 1
    return Answer(plan, least, time.perf_counter() - started, done)


def greedy(given: Tables) -> Answer:
    """A rule engine: orders as they come, each whole from one location if one has it all, else line by line.

    Of the locations that have it, it takes the nearest: where package, freight, handling and lateness together are
    cheapest. It sees one order at a time.
    """
    started = time.perf_counter()
    batch = expand(given)
    left, room = batch.limit.copy(), batch.capacity.copy()
    chosen = np.full(len(batch.order), -1, np.int64)
    size = np.bincount(batch.line, minlength=len(batch.order))
    start = np.cumsum(size) - size
    first = np.append(np.searchsorted(batch.order, np.arange(len(batch.complete))), len(batch.order))
    for order in range(len(batch.complete)):
        lines = np.arange(first[order], first[order + 1])
        _place(batch, lines, [slice(start[k], start[k] + size[k]) for k in lines], left, room, chosen)
    return Answer(plan_of(batch, chosen), None, time.perf_counter() - started, False)


def _place(
    batch: Batch, lines: np.ndarray, cells: list[slice], left: np.ndarray, room: np.ndarray, chosen: np.ndarray
) -> None:
    """Serves one order if it can."""
    fits = [_fitting(batch, line, own, left, room) for line, own in zip(lines, cells, strict=True)]
    cost = {}
    for line, own, fit in zip(lines, cells, fits, strict=True):
        for rate, minor in zip(batch.rate[own][fit], batch.cost[own][fit], strict=True):
            cost[line, rate] = minor
    shared = set(batch.rate[cells[0]][fits[0]]).intersection(
        *(batch.rate[own][fit] for own, fit in zip(cells, fits, strict=True))
    )
    order = batch.order[lines[0]]
    for rate in sorted(shared, key=lambda rate: (batch.package[rate] + sum(cost[line, rate] for line in lines), rate)):
        if _take(batch, [(line, rate) for line in lines], left, room, chosen):
            return
    taken: list[tuple[int, int]] = []
    for line, own, fit in zip(lines, cells, fits, strict=True):
        for rate in sorted(batch.rate[own][fit], key=lambda rate: (batch.package[rate] + cost[line, rate], rate)):
            if batch.package[rate] + cost[line, rate] >= batch.unfilled[line] and not batch.complete[order]:
                break
            if _take(batch, [(line, rate)], left, room, chosen):
                taken.append((line, rate))
                break
    whole = len(taken) == len(lines) or not batch.complete[order]
    if not (whole and _allowed(batch, order, taken)):
        _put_back(batch, taken, left, room, chosen)


def _fitting(batch: Batch, line: int, own: slice, left: np.ndarray, room: np.ndarray) -> np.ndarray:
    rate = batch.rate[own]
    have = left[: batch.level[line] + 1, batch.item[line]][:, batch.location[rate]].min(axis=0)
    return np.flatnonzero(np.minimum(have, room[batch.window[rate]]) >= batch.quantity[line])


def _allowed(batch: Batch, order: int, taken: list[tuple[int, int]]) -> bool:
    weight: dict[int, int] = {}
    for line, rate in taken:
        weight[rate] = weight.get(rate, 0) + int(batch.weight[line])
    in_range = all(batch.from_g[rate] <= grams < batch.below_g[rate] for rate, grams in weight.items())
    lanes = len({int(batch.lane[rate]) for rate in weight})
    return in_range and lanes == len(weight) and (batch.most[order] == 0 or lanes <= batch.most[order])


def _take(batch: Batch, pairs: list[tuple[int, int]], left: np.ndarray, room: np.ndarray, chosen: np.ndarray) -> bool:
    """Takes all of the pairs of line and rate, or none."""
    if len(pairs) > 1 and not _allowed(batch, int(batch.order[pairs[0][0]]), pairs):
        return False
    done: list[tuple[int, int]] = []
    for line, rate in pairs:
        have = left[: batch.level[line] + 1, batch.item[line], batch.location[rate]].min()
        if min(have, room[batch.window[rate]]) < batch.quantity[line]:
            _put_back(batch, done, left, room, chosen)
            return False
        left[: batch.level[line] + 1, batch.item[line], batch.location[rate]] -= batch.quantity[line]
        room[batch.window[rate]] -= batch.quantity[line]
        chosen[line] = rate
        done.append((line, rate))
    return True


def _put_back(
    batch: Batch, pairs: list[tuple[int, int]], left: np.ndarray, room: np.ndarray, chosen: np.ndarray
) -> None:
    for line, rate in pairs:
        left[: batch.level[line] + 1, batch.item[line], batch.location[rate]] += batch.quantity[line]
        room[batch.window[rate]] += batch.quantity[line]
        chosen[line] = -1
