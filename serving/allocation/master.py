"""The restricted master of column generation: plans found so far, and their linear relaxation.

Columns are plans of orders, rows are limits. The solver keeps its basis between solves, as only columns and rows are
added: a limit becomes a row once a column uses it. Everything is built from arrays in bulk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from ortools.math_opt import (
    callback_pb2,
    model_parameters_pb2,
    model_pb2,
    model_update_pb2,
    parameters_pb2,
    result_pb2,
)
from ortools.math_opt.core.python import solver
from ortools.util.python import pybind_solve_interrupter

#: Odd numbers at random, to tell plans apart.
MIX = np.random.default_rng(0).integers(1, 2**63, 4096).astype(np.uint64) | np.uint64(1)
#: Choices of so many columns are SCIP's, larger ones HiGHS's.
SCIP_COLUMNS_MAX = 6_000
#: What costs SCIP more time on choices than it saves: a time limit is mostly over before it pays.
SCIP_SETTINGS = {
    "separating/gomory/freq": -1,
    "heuristics/farkasdiving/freq": -1,
    "presolving/sparsify/maxrounds": 0,
    "propagating/probing/maxprerounds": 0,
}


@dataclass(frozen=True)
class Columns:
    """Plans of orders, as `Problem.columns` gives them."""

    #: int64 (columns,).
    order: np.ndarray
    #: Minor units, int64 (columns,).
    cost: np.ndarray
    #: Options of the lines of column c: choice[choice_start[c] : choice_start[c + 1]].
    choice: np.ndarray
    choice_start: np.ndarray
    #: Limits that column c uses and the units: row[start[c] : start[c + 1]] and units likewise.
    row: np.ndarray
    units: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Columns:
        """Looks at a batch as arrays."""
        choice, row, units = (batch.column(name) for name in ("choice", "row", "units"))
        return cls(
            numbers(batch.column("order")),
            numbers(batch.column("cost")),
            choice.values.to_numpy(zero_copy_only=False),
            numbers(choice.offsets),
            numbers(row.values),
            units.values.to_numpy(zero_copy_only=False).astype(float),
            numbers(row.offsets),
        )

    def take(self, kept: np.ndarray) -> Columns:
        """Some of them, by position."""
        lines, line_start = spread(self.choice_start, kept)
        uses, start = spread(self.start, kept)
        return Columns(
            self.order[kept], self.cost[kept], self.choice[lines], line_start, self.row[uses], self.units[uses], start
        )

    @staticmethod
    def joined(parts: list[Columns]) -> Columns:
        """All of them, one after the other."""

        def starts(own: list[np.ndarray]) -> np.ndarray:
            sizes = np.concatenate([np.diff(one) for one in own])
            return np.concatenate([[0], np.cumsum(sizes)])

        return Columns(
            np.concatenate([one.order for one in parts]),
            np.concatenate([one.cost for one in parts]),
            np.concatenate([one.choice for one in parts]),
            starts([one.choice_start for one in parts]),
            np.concatenate([one.row for one in parts]),
            np.concatenate([one.units for one in parts]),
            starts([one.start for one in parts]),
        )

    @property
    def column_of_use(self) -> np.ndarray:
        """Column of each entry of `row`."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    def value_at(self, prices: np.ndarray) -> np.ndarray:
        """Cost of each and what it pays for limits, (columns,)."""
        paid = np.bincount(self.column_of_use, prices[self.row] * self.units, len(self))
        return np.asarray(self.cost + paid)

    def keys(self) -> np.ndarray:
        """Numbers that tell plans apart, uint64 (columns,)."""
        column = np.repeat(np.arange(len(self)), np.diff(self.choice_start))
        slot = np.arange(len(self.choice)) - self.choice_start[column]
        mixed = (self.choice.astype(np.int64) + 2).astype(np.uint64) * MIX[slot % len(MIX)]
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x9E3779B97F4A7C15)
        key = (self.order.astype(np.uint64) + np.uint64(1)) * np.uint64(0xD6E8FEB86659FD93)
        np.add.at(key, column, mixed)
        return key

    def distinct(self) -> Columns:
        """Each plan once, the first of its kind, in the order that they have."""
        _, first = np.unique(self.keys(), return_index=True)
        return self.take(np.sort(first))

    def batch(self, weight: np.ndarray) -> pa.RecordBatch:
        """Columns order, choice and weight, as `Problem.search` takes them."""
        choice = pa.ListArray.from_arrays(pa.array(self.choice_start, pa.int32()), pa.array(self.choice, pa.int32()))
        return pa.record_batch({"order": pa.array(self.order, pa.int32()), "choice": choice, "weight": weight})


def numbers(array: pa.Array) -> np.ndarray:
    """An Arrow array of whole numbers as int64."""
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)


def spread(start: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the entries of some rows of a ragged array, and where each row then starts."""
    size = np.diff(start)[kept]
    ends = np.cumsum(size)
    positions = np.arange(int(size.sum())) - np.repeat(ends - size - start[:-1][kept], size)
    return positions, np.concatenate([[0], ends])


@dataclass(frozen=True)
class Relaxation:
    """Optimum of the relaxation over the columns at hand."""

    value: float
    #: Of the limits, at least 0, (limits,).
    prices: np.ndarray
    #: What each order's plan costs at most at these prices, (orders,).
    order_price: np.ndarray
    #: Share of each column, 0 to 1, (columns,).
    weight: np.ndarray


class Master:
    """Plans found so far. Every order has a plan among the first that are added."""

    def __init__(self, orders: int, limits: np.ndarray):
        self._orders = orders
        self._limit = limits
        #: Row of the linear program of each limit, -1 while no column uses it.
        self._row = np.full(len(limits), -1)
        self._rows = 0
        self._parts: list[Columns] = []
        self._known = np.empty(0, np.uint64)
        self._count = 0
        model = model_pb2.ModelProto()
        model.linear_constraints.ids.extend(range(orders))
        model.linear_constraints.lower_bounds.extend([1.0] * orders)
        model.linear_constraints.upper_bounds.extend([1.0] * orders)
        self._solver = solver.new(parameters_pb2.SOLVER_TYPE_GLOP, model, parameters_pb2.SolverInitializerProto())
        self.interrupter = pybind_solve_interrupter.PySolveInterrupter()

    def __len__(self) -> int:
        return self._count

    @property
    def columns(self) -> Columns:
        """All columns, in the order in which they came."""
        self._parts = [Columns.joined(self._parts)]
        return self._parts[0]

    def add(self, columns: Columns) -> int:
        """Adds plans; those that are known are left out. Returns how many are new."""
        key = columns.keys()
        _, first = np.unique(key, return_index=True)
        new = np.sort(first[~np.isin(key[first], self._known)])
        if len(new) == 0:
            return 0
        self._known = np.union1d(self._known, key[new])
        kept = columns.take(new)
        self._parts.append(kept)
        self._extend(kept)
        return len(new)

    def _extend(self, columns: Columns) -> None:
        """Tells the solver of new columns, and of limits that they are the first to use."""
        fresh = np.unique(columns.row[self._row[columns.row] < 0])
        self._row[fresh] = self._orders + self._rows + np.arange(len(fresh))
        update = model_update_pb2.ModelUpdateProto()
        rows = update.new_linear_constraints
        rows.ids.extend(self._row[fresh].tolist())
        rows.lower_bounds.extend([-np.inf] * len(fresh))
        rows.upper_bounds.extend(self._limit[fresh].astype(float).tolist())
        self._rows += len(fresh)
        ids = np.arange(self._count, self._count + len(columns))
        self._count += len(columns)
        update.new_variables.ids.extend(ids.tolist())
        update.new_variables.lower_bounds.extend([0.0] * len(ids))
        update.new_variables.upper_bounds.extend([np.inf] * len(ids))
        update.new_variables.integers.extend([False] * len(ids))
        cost = update.objective_updates.linear_coefficients
        cost.ids.extend(ids.tolist())
        cost.values.extend(columns.cost.astype(float).tolist())
        row, column, units = self.entries(columns, columns.order, self._row)
        matrix = update.linear_constraint_matrix_updates
        matrix.row_ids.extend(row.tolist())
        matrix.column_ids.extend((column + ids[0]).tolist())
        matrix.coefficients.extend(units.tolist())
        if not self._solver.update(update):
            raise RuntimeError("the linear solver refuses new columns")

    @staticmethod
    def entries(columns: Columns, order: np.ndarray, row_of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries of the matrix, sorted by row: rows, columns, units."""
        row = np.concatenate([order, row_of[columns.row]])
        column = np.concatenate([np.arange(len(columns)), columns.column_of_use])
        units = np.concatenate([np.ones(len(columns)), columns.units])
        by_row = np.lexsort((column, row))
        return row[by_row], column[by_row], units[by_row]

    def relax(self, seconds: float) -> Relaxation | None:
        """Solves the relaxation; None when it takes longer than that."""
        parameters = parameters_pb2.SolveParametersProto()
        # Presolve would forget the basis that the last solve ended with, from which few steps are left.
        parameters.glop.use_preprocessing = False
        parameters.time_limit.FromMicroseconds(max(1, int(seconds * 1e6)))
        result = self._solver.solve(
            parameters,
            model_parameters_pb2.ModelSolveParametersProto(),
            None,
            callback_pb2.CallbackRegistrationProto(),
            None,
            self.interrupter,
        )
        if result.termination.reason != result_pb2.TERMINATION_REASON_OPTIMAL:
            return None
        solution = result.solutions[0]
        duals = np.zeros(self._orders + self._rows)
        found = solution.dual_solution.dual_values
        duals[np.asarray(found.ids, np.int64)] = np.asarray(found.values)
        prices = np.zeros(len(self._limit))
        used = self._row >= 0
        prices[used] = np.maximum(-duals[self._row[used]], 0.0)
        weight = np.zeros(self._count)
        values = solution.primal_solution.variable_values
        weight[np.asarray(values.ids, np.int64)] = np.asarray(values.values)
        return Relaxation(
            solution.primal_solution.objective_value, prices, duals[: self._orders], np.clip(weight, 0.0, 1.0)
        )


def choose(
    columns: Columns,
    orders: int,
    limits: np.ndarray,
    hint: np.ndarray,
    seconds: float,
) -> np.ndarray | None:
    """The cheapest choice of one column an order within the limits.

    Cannot be interrupted (SCIP's event handler in OR-Tools 9.15 refuses), and its presolve may take longer than the
    seconds given. By SCIP, which is quicker here, or, where there are very many columns, by HiGHS.

    Args:
        hint: a choice to begin with, one column an order.

    Returns:
        one column an order, by position; None when none was found in time.
    """
    used = np.unique(columns.row)
    row_of = np.full(len(limits), -1)
    row_of[used] = orders + np.arange(len(used))
    count = len(columns)
    model = model_pb2.ModelProto()
    model.variables.ids.extend(range(count))
    model.variables.lower_bounds.extend([0.0] * count)
    model.variables.upper_bounds.extend([1.0] * count)
    model.variables.integers.extend([True] * count)
    model.objective.linear_coefficients.ids.extend(range(count))
    model.objective.linear_coefficients.values.extend(columns.cost.astype(float).tolist())
    rows = model.linear_constraints
    rows.ids.extend(range(orders + len(used)))
    rows.lower_bounds.extend([1.0] * orders + [-np.inf] * len(used))
    rows.upper_bounds.extend([1.0] * orders + limits[used].astype(float).tolist())
    row, column, units = Master.entries(columns, columns.order, row_of)
    model.linear_constraint_matrix.row_ids.extend(row.tolist())
    model.linear_constraint_matrix.column_ids.extend(column.tolist())
    model.linear_constraint_matrix.coefficients.extend(units.tolist())
    parameters = parameters_pb2.SolveParametersProto(relative_gap_tolerance=1e-6)
    parameters.time_limit.FromMicroseconds(max(1, int(seconds * 1e6)))
    for name, value in SCIP_SETTINGS.items():
        parameters.gscip.int_params[name] = value
    hints = model_parameters_pb2.ModelSolveParametersProto()
    first = hints.solution_hints.add()
    first.variable_values.ids.extend(range(count))
    begun = np.zeros(count)
    begun[hint] = 1.0
    first.variable_values.values.extend(begun.tolist())
    result = solver.solve(
        model,
        parameters_pb2.SOLVER_TYPE_GSCIP if count <= SCIP_COLUMNS_MAX else parameters_pb2.SOLVER_TYPE_HIGHS,
        parameters_pb2.SolverInitializerProto(),
        parameters,
        hints,
        None,
        callback_pb2.CallbackRegistrationProto(),
        None,
        None,
    )
    if not result.solutions or not result.solutions[0].HasField("primal_solution"):
        return None
    values = result.solutions[0].primal_solution.variable_values
    share = np.zeros(count)
    share[np.asarray(values.ids, np.int64)] = np.asarray(values.values)
    chosen = np.flatnonzero(share > 0.5)
    return chosen if len(chosen) == orders else None
