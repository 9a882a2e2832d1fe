"""The tables of an allocation problem as integer arrays, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from serving.allocation.tables import (
    LINE_MAX,
    LINE_MIN,
    MONEY_MAX,
    QTY_MAX,
    ProblemError,
    check_rows,
    find,
    index,
    integers,
    pair,
    refuse_repeats,
    text,
)

#: Costs and bounds are int64 on the wire.
TOTAL_MAX = 2**62


@dataclass(frozen=True)
class Problem:
    """Lines, options that have stock, and stock, by position in arrays."""

    order_id: pa.StringArray
    line: np.ndarray
    #: Units wanted and penalty of each unit unfilled, int64, shape (lines,).
    qty: np.ndarray
    penalty: np.ndarray
    #: Line, place in the stock table, location and unit cost, shape (options,).
    option_line: np.ndarray
    option_stock: np.ndarray
    option_location: pa.StringArray
    option_cost: np.ndarray
    #: Units, int64, shape (stock rows,).
    available: np.ndarray


def problem_from_tables(lines: pa.Table, options: pa.Table, stock: pa.Table) -> Problem:
    """Checks and indexes the tables; options without stock are dropped.

    Raises:
        ProblemError: see `Allocator.allocate`.
    """
    for table, what in ((lines, "lines"), (options, "options"), (stock, "stock")):
        check_rows(table, what)
    order_id, item = text(lines, "order_id", "lines"), text(lines, "item", "lines")
    line = integers(lines, "line", "lines", LINE_MIN, LINE_MAX)
    qty = integers(lines, "qty", "lines", 1, QTY_MAX)
    penalty = integers(lines, "unfilled_penalty_minor", "lines", 0, MONEY_MAX)

    orders = order_id.unique()
    line_key = pair(index(order_id, orders), line)
    refuse_repeats(
        line_key, lambda row: f"lines has order {order_id[row].as_py()!r} line {line[row]} twice: add up its quantity"
    )

    option_order, option_location = text(options, "order_id", "options"), text(options, "location", "options")
    option_number = integers(options, "line", "options", LINE_MIN, LINE_MAX)
    option_cost = integers(options, "cost_minor", "options", -MONEY_MAX, MONEY_MAX)
    option_line = find(pair(index(option_order, orders), option_number), line_key)
    if (option_line < 0).any():
        row = int(np.flatnonzero(option_line < 0)[0])
        raise ProblemError(
            f"options has order {option_order[row].as_py()!r} line {option_number[row]} that lines has not: add the line or leave out the option"
        )

    stock_item, stock_location = text(stock, "item", "stock"), text(stock, "location", "stock")
    available = integers(stock, "available", "stock", 0, QTY_MAX)
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
    if int(qty.sum()) * max(worst, 1) > TOTAL_MAX:
        raise ProblemError(
            f"{int(qty.sum())} units at up to {worst} minor units each overflow the total: split the batch"
        )
    return Problem(
        order_id,
        line,
        qty,
        penalty,
        option_line[usable],
        option_stock[usable],
        option_location.take(pa.array(usable)),
        option_cost[usable],
        available,
    )
