"""The tables of an allocation problem as integer arrays, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_MAX = 5_000_000
QTY_MAX = 1_000_000_000
MONEY_MAX = 1_000_000_000_000
#: Costs and bounds are int64 on the wire.
TOTAL_MAX = 2**62


class ProblemError(ValueError):
    """A table is wrong; the message says which value and what to do."""


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
        if table.num_rows > ROWS_MAX:
            raise ProblemError(f"{what} has {table.num_rows} rows: send at most {ROWS_MAX} at once")
    order_id, item = _text(lines, "order_id", "lines"), _text(lines, "item", "lines")
    line = _integers(lines, "line", "lines", -(2**31), 2**31 - 1)
    qty = _integers(lines, "qty", "lines", 1, QTY_MAX)
    penalty = _integers(lines, "unfilled_penalty_minor", "lines", 0, MONEY_MAX)

    orders = order_id.unique()
    line_key = _pair(_index(order_id, orders), line)
    _refuse_repeats(
        line_key, lambda row: f"lines has order {order_id[row].as_py()!r} line {line[row]} twice: add up its quantity"
    )

    option_order, option_location = _text(options, "order_id", "options"), _text(options, "location", "options")
    option_number = _integers(options, "line", "options", -(2**31), 2**31 - 1)
    option_cost = _integers(options, "cost_minor", "options", -MONEY_MAX, MONEY_MAX)
    option_line = _find(_pair(_index(option_order, orders), option_number), line_key)
    if (option_line < 0).any():
        row = int(np.flatnonzero(option_line < 0)[0])
        raise ProblemError(
            f"options has order {option_order[row].as_py()!r} line {option_number[row]} that lines has not: add the line or leave out the option"
        )

    stock_item, stock_location = _text(stock, "item", "stock"), _text(stock, "location", "stock")
    available = _integers(stock, "available", "stock", 0, QTY_MAX)
    items, locations = stock_item.unique(), stock_location.unique()
    stock_key = _pair(_index(stock_item, items), _index(stock_location, locations))
    _refuse_repeats(
        stock_key,
        lambda row: (
            f"stock has item {stock_item[row].as_py()!r} at {stock_location[row].as_py()!r} twice: send one row with the sum"
        ),
    )

    place = _index(option_location, option_location.unique())
    _refuse_repeats(
        _pair(option_line, place),
        lambda row: (
            f"options has order {option_order[row].as_py()!r} line {option_number[row]} at {option_location[row].as_py()!r} twice: keep the cheaper"
        ),
    )
    wanted = _index(item, items)[option_line]
    at = _index(option_location, locations)
    known = (wanted >= 0) & (at >= 0)
    option_stock = np.where(known, _find(_pair(np.where(known, wanted, 0), np.where(known, at, 0)), stock_key), -1)
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


def _column(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise ProblemError(f"{what} has no column {name!r}, only {table.column_names}: add it")
    column = table.column(name)
    if column.null_count:
        raise ProblemError(f"column {name!r} of {what} has {column.null_count} nulls: give every row a value")
    return column


def _text(table: pa.Table, name: str, what: str) -> pa.StringArray:
    column = _column(table, name, what)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise ProblemError(f"column {name!r} of {what} is {column.type}: make it a string")
    return pa.concat_arrays(column.cast(pa.string()).chunks) if column.num_chunks else pa.array([], pa.string())


def _integers(table: pa.Table, name: str, what: str, low: int, high: int) -> np.ndarray:
    column = _column(table, name, what)
    if not pa.types.is_integer(column.type):
        raise ProblemError(f"column {name!r} of {what} is {column.type}: make it an integer")
    if len(column) == 0:
        return np.empty(0, np.int64)
    smallest, largest = (value.as_py() for value in pc.min_max(column).values())
    if smallest < low or largest > high:
        raise ProblemError(
            f"column {name!r} of {what} holds {smallest if smallest < low else largest}: values must be from {low} to {high}"
        )
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _index(values: pa.StringArray, among: pa.StringArray) -> np.ndarray:
    """Position of each value in `among`, -1 where absent."""
    return np.asarray(pc.fill_null(pc.index_in(values, value_set=among), -1).to_numpy(zero_copy_only=False), np.int64)


def _pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One key of two numbers that fit 32 bits."""
    return np.asarray((first << 32) + (second + 2**31), np.int64)


def _find(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Row of each key in `among`, -1 where absent."""
    if len(among) == 0:
        return np.full(len(keys), -1)
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among, keys, sorter=order), len(among) - 1)
    row = order[place]
    return np.asarray(np.where(among[row] == keys, row, -1))


def _refuse_repeats(keys: np.ndarray, message) -> None:  # type: ignore[no-untyped-def]
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if len(twice):
        raise ProblemError(message(int(order[twice[0] + 1])))
