"""The master problem of column generation, built from arrays in bulk."""

from __future__ import annotations

import numpy as np
from ortools.math_opt import callback_pb2, model_parameters_pb2, model_pb2, parameters_pb2, result_pb2
from ortools.math_opt.core.python import solver

from serving.allocation.batch import Batch

#: A plan must beat the master's price of its order by this much to be added.
IMPROVEMENT_MIN = 1e-6


class Master:
    """Plans found so far, and the limits that any of them could break.

    A row is a limit (class, item, location) or a location's capacity. Rows that
    all lines together could not exceed are left out.
    """

    def __init__(self, batch: Batch):
        self.batch = batch
        classes, items, locations = batch.limit.shape
        kind = batch.kind[batch.order_of_line]
        wanted = np.zeros((classes, items), np.int64)
        np.add.at(wanted, (kind, batch.item), batch.qty)
        wanted = wanted[::-1].cumsum(axis=0)[::-1]
        scarce = batch.limit < wanted[:, :, None]
        # A limit that a lower class has as well, or tighter, binds no more than that one does.
        self._limit_row = np.full(batch.limit.shape, -1, np.int64)
        self._limit_row[scarce] = np.arange(int(scarce.sum()))
        tight = np.flatnonzero(batch.capacity < batch.qty.sum())
        self._capacity_row = np.full(locations, -1, np.int64)
        self._capacity_row[tight] = int(scarce.sum()) + np.arange(len(tight))
        self.limits = np.concatenate([batch.limit[scarce], batch.capacity[tight]])
        self.rows = len(self.limits)
        self._order: list[np.ndarray] = []
        self._option: list[np.ndarray] = []
        #: What each order's plan costs in the last relaxation; infinite before it.
        self.order_price = np.full(batch.orders, np.inf)

    def line_prices(self, prices: np.ndarray) -> np.ndarray:
        """Price of taking each line's units from each option, int64 (lines, options)."""
        batch = self.batch
        padded = np.append(prices, 0)
        # A line of class j pays the prices of the limits of classes 0 to j.
        of_limit = padded[self._limit_row].cumsum(axis=0)
        kind = batch.kind[batch.order_of_line]
        unit = of_limit[kind, batch.item] + padded[self._capacity_row]
        return np.asarray(unit[:, batch.location] * batch.qty[:, None], np.int64)

    def add(self, order: np.ndarray, option: np.ndarray) -> None:
        """Adds one plan for each of the orders given."""
        self._order.append(order)
        self._option.append(option)

    def add_improving(self, value: np.ndarray, option: np.ndarray, scale: int) -> int:
        """Adds the plans that beat their order's price in the last relaxation; returns how many."""
        better = np.flatnonzero(
            value / scale < self.order_price - IMPROVEMENT_MIN * np.maximum(1.0, np.abs(value / scale))
        )
        if len(better):
            self.add(better, option[better])
        return len(better)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """All plans: order and cost of each, their options, and their use of rows as (row, column, units)."""
        batch = self.batch
        order, option = np.concatenate(self._order), np.concatenate(self._option)
        column, slot = np.nonzero(option >= 0)
        line = batch.first[order[column]] + slot
        chosen = option[column, slot]
        size = len(batch.location)
        lines = np.arange(option.shape[1]) < np.diff(batch.first)[order][:, None]
        every = np.where(lines, batch.first[order][:, None] + np.arange(option.shape[1]), 0)
        cost = np.where(lines & (option < 0), batch.unfilled[every], 0).sum(axis=1)
        np.add.at(cost, column, batch.cost[line, chosen])
        opened = np.unique(column * size + chosen)
        np.add.at(cost, opened // size, batch.package[order[opened // size], opened % size])

        at, kind = batch.location[chosen], batch.kind[order[column]]
        parts = [(self._capacity_row[at], column, batch.qty[line])]
        for level in range(batch.limit.shape[0]):
            counts = kind >= level
            parts.append(
                (self._limit_row[level, batch.item[line], at][counts], column[counts], batch.qty[line][counts])
            )
        row, where, units = (np.concatenate(values) for values in zip(*parts, strict=True))
        kept = row >= 0
        key, inverse = np.unique(row[kept] * len(order) + where[kept], return_inverse=True)
        total = np.bincount(inverse, weights=units[kept], minlength=len(key))
        return order, cost, option, key // len(order), key % len(order), total


def model_of(master: Master, *, integer: bool) -> tuple[model_pb2.ModelProto, np.ndarray, np.ndarray]:
    """The restricted master as a model, with the order and the options of each column."""
    order, cost, option, row, column, units = master.columns()
    model = model_pb2.ModelProto()
    count, orders = len(order), master.batch.orders
    model.variables.ids.extend(range(count))
    model.variables.lower_bounds.extend([0.0] * count)
    model.variables.upper_bounds.extend([1.0 if integer else np.inf] * count)
    model.variables.integers.extend([integer] * count)
    model.objective.linear_coefficients.ids.extend(range(count))
    model.objective.linear_coefficients.values.extend(cost.astype(float).tolist())
    rows = master.rows
    model.linear_constraints.ids.extend(range(rows + orders))
    model.linear_constraints.lower_bounds.extend([-np.inf] * rows + [1.0] * orders)
    model.linear_constraints.upper_bounds.extend([*master.limits.astype(float).tolist(), *([1.0] * orders)])
    by_order = np.argsort(order, kind="stable")
    matrix = model.linear_constraint_matrix
    matrix.row_ids.extend(np.concatenate([row, rows + order[by_order]]).tolist())
    matrix.column_ids.extend(np.concatenate([column, by_order]).tolist())
    matrix.coefficients.extend(np.concatenate([units, np.ones(count)]).tolist())
    return model, order, option


def run(
    model: model_pb2.ModelProto, kind: int, parameters: parameters_pb2.SolveParametersProto
) -> result_pb2.SolveResultProto:
    """Solves a model."""
    return solver.solve(
        model,
        kind,
        parameters_pb2.SolverInitializerProto(),
        parameters,
        model_parameters_pb2.ModelSolveParametersProto(),
        None,
        callback_pb2.CallbackRegistrationProto(),
        None,
        None,
    )


def solve_relaxation(master: Master) -> tuple[np.ndarray, float]:
    """Prices of the rows, at least 0, and the value of the relaxation."""
    model, _, _ = model_of(master, integer=False)
    parameters = parameters_pb2.SolveParametersProto()
    result = run(model, parameters_pb2.SOLVER_TYPE_GLOP, parameters)
    if not result.solutions or not result.solutions[0].HasField("dual_solution"):
        raise RuntimeError(
            f"the relaxation has no dual solution: {result.termination.detail or result.termination.reason}"
        )
    duals = np.zeros(master.rows + master.batch.orders)
    found = result.solutions[0].dual_solution.dual_values
    duals[np.asarray(found.ids, np.int64)] = np.asarray(found.values)
    master.order_price = duals[master.rows :]
    return -duals[: master.rows], result.solutions[0].primal_solution.objective_value


def choose_integer(master: Master, budget_s: float) -> np.ndarray | None:
    """The best choice among the plans found, int64 (lines,); None when none was found in time."""
    model, order, option = model_of(master, integer=True)
    parameters = parameters_pb2.SolveParametersProto(relative_gap_tolerance=1e-6)
    parameters.time_limit.FromMilliseconds(max(1, int(budget_s * 1000)))
    result = run(model, parameters_pb2.SOLVER_TYPE_HIGHS, parameters)
    if not result.solutions or not result.solutions[0].HasField("primal_solution"):
        return None
    values = result.solutions[0].primal_solution.variable_values
    chosen = np.asarray(values.ids, np.int64)[np.asarray(values.values) > 0.5]
    out = np.full(len(master.batch.qty), -1, np.int64)
    size = np.diff(master.batch.first)[order[chosen]]
    column = np.repeat(chosen, size)
    slot = np.arange(len(column)) - np.repeat(np.cumsum(size) - size, size)
    out[master.batch.first[order[column]] + slot] = option[column, slot]
    return out
