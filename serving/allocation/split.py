"""Lines that may be split over locations, at costs by the unit and within stock alone, as a minimum-cost flow.

A fixed cost of a package that two lines could share is not part of this problem, nor is anything else that ties units
together: `splits` says where that is so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from ortools.graph.python import min_cost_flow

from serving.allocation.protocol import Plan, ProblemError
from serving.allocation.tables import (
    LINE_MAX,
    LINE_MIN,
    MONEY_MAX,
    QUANTITY_MAX,
    check_rows,
    find,
    index,
    integers,
    pair,
    refuse_repeats,
    text,
)

PLAN_SCHEMA = pa.schema(
    [
        pa.field("order_id", pa.string()),
        pa.field("line", pa.int32()),
        pa.field("location", pa.string()),
        pa.field("service", pa.string()),
        pa.field("quantity", pa.int64()),
    ]
)
PRICES_SCHEMA = pa.schema(
    [
        pa.field("item", pa.string()),
        pa.field("location", pa.string()),
        pa.field("class", pa.uint8()),
        pa.field("price_minor", pa.float64()),
    ]
)
#: Columns whose units are by themselves; any other ties them together.
BY_UNITS = {
    "orders": {"order_id", "line", "item", "quantity", "unfilled_penalty_minor"},
    "options": {"order_id", "line", "location", "cost_minor"},
    "stock": {"item", "location", "available"},
}
#: Sums of money stay far below what an int64 holds.
TOTAL_MAX = 2**62


def splits(tables: Mapping[str, pa.Table | None]) -> bool:
    """Whether nothing but costs by the unit and stock is said."""
    given = {name: table for name, table in tables.items() if table is not None}
    return set(given) == set(BY_UNITS) and all(set(given[name].column_names) <= BY_UNITS[name] for name in BY_UNITS)


def split_lines(tables: Mapping[str, pa.Table | None], made_by: str) -> Plan:
    """Plans a batch for which `splits` holds.

    Raises:
        ProblemError: see `Allocator.allocate`.
    """
    orders, options, stock = (tables[name] for name in ("orders", "options", "stock"))
    if orders is None or options is None or stock is None:
        raise ProblemError("orders, options and stock are needed: send all three")
    problem = problem_from_tables(orders, options, stock)
    return plan_from_flow(problem, solve(problem), made_by)


@dataclass(frozen=True)
class Split:
    """Lines, options that have stock, and stock, by position in arrays."""

    order_id: pa.StringArray
    line: np.ndarray
    #: Units wanted and penalty of each unit unfilled, int64, shape (lines,).
    quantity: np.ndarray
    penalty: np.ndarray
    #: Line, place in the stock table, location and unit cost, shape (options,).
    option_line: np.ndarray
    option_stock: np.ndarray
    option_location: pa.StringArray
    option_cost: np.ndarray
    #: Units, int64, shape (stock rows,).
    available: np.ndarray


def problem_from_tables(lines: pa.Table, options: pa.Table, stock: pa.Table) -> Split:
    """Checks and indexes the tables; options without stock are dropped.

    Raises:
        ProblemError: see `Allocator.allocate`.
    """
    for table, what in ((lines, "orders"), (options, "options"), (stock, "stock")):
        check_rows(table, what)
    order_id, item = text(lines, "order_id", "orders"), text(lines, "item", "orders")
    line = integers(lines, "line", "orders", LINE_MIN, LINE_MAX)
    quantity = integers(lines, "quantity", "orders", 1, QUANTITY_MAX)
    penalty = integers(lines, "unfilled_penalty_minor", "orders", 0, MONEY_MAX)

    orders = order_id.unique()
    line_key = pair(index(order_id, orders), line)
    refuse_repeats(
        line_key, lambda row: f"orders has order {order_id[row].as_py()!r} line {line[row]} twice: add up its quantity"
    )

    option_order, option_location = text(options, "order_id", "options"), text(options, "location", "options")
    option_number = integers(options, "line", "options", LINE_MIN, LINE_MAX)
    option_cost = integers(options, "cost_minor", "options", 0, MONEY_MAX)
    option_line = find(pair(index(option_order, orders), option_number), line_key)
    if (option_line < 0).any():
        row = int(np.flatnonzero(option_line < 0)[0])
        raise ProblemError(
            f"options has order {option_order[row].as_py()!r} line {option_number[row]} that orders has not: add the line or leave out the option"
        )

    stock_item, stock_location = text(stock, "item", "stock"), text(stock, "location", "stock")
    available = integers(stock, "available", "stock", 0, QUANTITY_MAX)
    items, locations = stock_item.unique(), stock_location.unique()
    stock_key = pair(index(stock_item, items), index(stock_location, locations))
    refuse_repeats(
        stock_key,
        lambda row: (
            f"stock has item {stock_item[row].as_py()!r} at {stock_location[row].as_py()!r} twice: send one row with the sum"
        ),
    )

    place = index(option_location, option_location.unique())
    refuse_repeats(
        pair(option_line, place),
        lambda row: (
            f"options has order {option_order[row].as_py()!r} line {option_number[row]} at {option_location[row].as_py()!r} twice: keep the cheaper"
        ),
    )
    wanted = index(item, items)[option_line]
    at = index(option_location, locations)
    known = (wanted >= 0) & (at >= 0)
    option_stock = np.where(known, find(pair(np.where(known, wanted, 0), np.where(known, at, 0)), stock_key), -1)
    usable = np.flatnonzero((option_stock >= 0) & (available[option_stock] > 0))

    worst = max(int(penalty.max(initial=0)), int(np.abs(option_cost).max(initial=0)))
    if int(quantity.sum()) * max(worst, 1) > TOTAL_MAX:
        raise ProblemError(
            f"{int(quantity.sum())} units at up to {worst} minor units each overflow the total: split the batch"
        )
    return Split(
        order_id,
        line,
        quantity,
        penalty,
        option_line[usable],
        option_stock[usable],
        option_location.take(pa.array(usable)),
        option_cost[usable],
        available,
    )


def solve(problem: Split) -> np.ndarray:
    """Units on each option of an optimal plan, int64, shape (options,)."""
    lines, stocks = len(problem.quantity), len(problem.available)
    if lines == 0:
        return np.zeros(len(problem.option_line), np.int64)
    sink = lines + stocks
    line_node = np.arange(lines)
    stock_node = lines + np.arange(stocks)
    tails = np.concatenate([problem.option_line, stock_node, line_node])
    heads = np.concatenate([lines + problem.option_stock, np.full(stocks + lines, sink)])
    capacity = np.concatenate([problem.quantity[problem.option_line], problem.available, problem.quantity])
    cost = np.concatenate([problem.option_cost, np.zeros(stocks, np.int64), problem.penalty])
    network = min_cost_flow.SimpleMinCostFlow()
    arcs = network.add_arcs_with_capacity_and_unit_cost(
        tails.astype(np.int32), heads.astype(np.int32), capacity.astype(np.int64), cost.astype(np.int64)
    )
    supplies = np.append(problem.quantity, -problem.quantity.sum()).astype(np.int64)
    network.set_nodes_supplies(np.append(line_node, sink).astype(np.int32), supplies)
    status = network.solve()
    if status != network.OPTIMAL:
        # Each line reaches the sink at its penalty, so only sizes can go wrong.
        raise ProblemError(f"the flow solver answered {status.name}: lower the largest quantities or costs")
    return np.asarray(network.flows(arcs[: len(problem.option_line)]), np.int64)


def plan_from_flow(problem: Split, flow: np.ndarray, made_by: str) -> Plan:
    """The plan table and its cost, counted from the flow and not by the solver."""
    used = np.flatnonzero(flow > 0)
    row = problem.option_line[used]
    table = pa.Table.from_arrays(
        [
            problem.order_id.take(pa.array(row)),
            pa.array(problem.line[row], pa.int32()),
            problem.option_location.take(pa.array(used)),
            pa.array([""] * len(used), pa.string()),
            pa.array(flow[used], pa.int64()),
        ],
        schema=PLAN_SCHEMA,
    ).sort_by([("order_id", "ascending"), ("line", "ascending"), ("location", "ascending")])
    served = np.zeros(len(problem.quantity), np.int64)
    np.add.at(served, problem.option_line, flow)
    unfilled = problem.quantity - served
    cost = int((flow * problem.option_cost).sum() + (unfilled * problem.penalty).sum())
    return Plan(table, cost, cost, int(served.sum()), int(unfilled.sum()), PRICES_SCHEMA.empty_table(), made_by)
