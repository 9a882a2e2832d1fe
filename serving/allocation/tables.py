"""Columns of allocation tables as arrays, and the refusals on the way in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.allocation.protocol import ProblemError

ROWS_MAX = 5_000_000
QUANTITY_MAX = 1_000_000_000
MONEY_MAX = 2**34
LINE_MIN, LINE_MAX = -(2**31), 2**31 - 1


def check_rows(table: pa.Table, what: str) -> None:
    """Refuses a table that is too long to plan at once."""
    if table.num_rows > ROWS_MAX:
        raise ProblemError(f"{what} has {table.num_rows} rows: send at most {ROWS_MAX} at once")


def column(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """A column without nulls."""
    if name not in table.column_names:
        raise ProblemError(f"{what} has no column {name!r}, only {table.column_names}: add it")
    found = table.column(name)
    if found.null_count:
        raise ProblemError(f"column {name!r} of {what} has {found.null_count} nulls: give every row a value")
    return found


def text(table: pa.Table, name: str, what: str) -> pa.StringArray:
    """A column of strings, dictionaries included."""
    found = column(table, name, what)
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise ProblemError(f"column {name!r} of {what} is {found.type}: make it a string")
    return pa.concat_arrays(found.cast(pa.string()).chunks) if found.num_chunks else pa.array([], pa.string())


def integers(table: pa.Table, name: str, what: str, low: int, high: int) -> np.ndarray:
    """A column of whole numbers within bounds, int64."""
    found = column(table, name, what)
    if not pa.types.is_integer(found.type):
        raise ProblemError(f"column {name!r} of {what} is {found.type}: make it an integer")
    if len(found) == 0:
        return np.empty(0, np.int64)
    smallest, largest = (value.as_py() for value in pc.min_max(found).values())
    if smallest < low or largest > high:
        wrong = smallest if smallest < low else largest
        raise ProblemError(f"column {name!r} of {what} holds {wrong}: values must be from {low} to {high}")
    return np.asarray(found.cast(pa.int64()).to_numpy(), np.int64)


def index(values: pa.StringArray, among: pa.StringArray) -> np.ndarray:
    """Position of each value in `among`, -1 where absent."""
    found = pc.fill_null(pc.index_in(values, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)


def pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """One key of two numbers that fit 32 bits."""
    return np.asarray((first << 32) + (second + 2**31), np.int64)


def find(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Row of each key in `among`, -1 where absent."""
    if len(among) == 0:
        return np.full(len(keys), -1)
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among, keys, sorter=order), len(among) - 1)
    row = order[place]
    return np.asarray(np.where(among[row] == keys, row, -1))


def refuse_repeats(keys: np.ndarray, message: Callable[[int], str]) -> None:
    """Refuses a key that occurs twice, with a message made from a row of it."""
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    if len(twice):
        raise ProblemError(message(int(order[twice[0] + 1])))
