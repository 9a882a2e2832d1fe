"""Splits requests by item, merges answers, and checks that an answer is one."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.deployments.jobs import ForecastJob
from serving.worker_ipc import TableError, read_table, write_table

HASH_BYTES = 8


def drawn(salt: str, items: list[str], share: float) -> np.ndarray:
    """Which items a candidate gets; the same ones each time, and more of them with a larger share.

    Args:
        salt: the candidate, so that each one draws anew.
        share: 0 to 1.

    Returns:
        bool of shape (items,).
    """
    if share >= 1.0:
        return np.ones(len(items), bool)
    key = hashlib.sha256(salt.encode()).digest()
    digests = b"".join(hashlib.blake2b(item.encode(), digest_size=HASH_BYTES, key=key).digest() for item in items)
    return np.frombuffer(digests, "<u8") < int(share * 2.0 ** (8 * HASH_BYTES))


@dataclass(frozen=True)
class Split:
    """A request cut in two by item; a side without items is None."""

    active: ForecastJob | None
    candidate: ForecastJob | None
    #: Items of the candidate's side, ascending.
    items: list[str]


def split(job: ForecastJob, salt: str, share: float) -> Split:
    """Cuts a request by item.

    Raises:
        TableError: its tables cannot be read, or have no items.
    """
    context = read_table(job.context, "context")
    encoded = item_codes(context, "context")
    names = encoded.dictionary.to_pylist()
    chosen = drawn(salt, names, share)
    items = sorted(name for name, one in zip(names, chosen, strict=True) if one)
    if not items:
        return Split(job, None, [])
    if len(items) == len(names):
        return Split(None, job, items)
    future = read_table(job.future, "future") if len(job.future) else None

    def side(keep: np.ndarray) -> ForecastJob:
        part = context.filter(pa.array(keep[encoded.indices.to_numpy()]))
        ahead: pa.Buffer | bytes = b""
        if future is not None:
            codes = item_codes(future, "future")
            known = pc.is_in(codes.dictionary, value_set=encoded.dictionary.filter(pa.array(keep))).to_numpy(
                zero_copy_only=False
            )
            kept = future.filter(pa.array(known[codes.indices.to_numpy()]))
            ahead = write_table(kept) if kept.num_rows else b""
        return dataclasses.replace(job, context=write_table(part), future=ahead)

    return Split(side(~chosen), side(chosen), items)


def item_codes(table: pa.Table, what: str) -> pa.DictionaryArray:
    """The items of a table, encoded.

    Raises:
        TableError: there is no such column of strings, or it has nulls.
    """
    if "item_id" not in table.column_names or table.num_rows == 0:
        raise TableError(f"{what} has no rows with an item_id: send at least one")
    column = table.column("item_id")
    try:
        encoded = pc.dictionary_encode(column.cast(pa.string()))
    except pa.ArrowException as error:
        raise TableError(f"column 'item_id' of {what} is {column.type}: make it a string") from error
    if column.null_count:
        raise TableError(f"column 'item_id' of {what} has {column.null_count} nulls: give every row its item")
    whole = encoded.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def merge(parts: list[pa.Buffer], then_by: str = "timestamp") -> pa.Buffer:
    """One table of forecasts or totals from those of disjoint items, sorted by item and day.

    Raises:
        TableError: their columns differ.
    """
    tables = [read_table(part, "forecast") for part in parts]
    try:
        whole = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise TableError(f"forecasts of two versions differ in their columns: {error}") from error
    return write_table(whole.sort_by([("item_id", "ascending"), (then_by, "ascending")]))


@dataclass(frozen=True)
class Answered:
    """A forecast table as arrays."""

    #: Ascending.
    items: list[str]
    #: First day forecast, days since 1970-01-01, int64 (items,).
    first_day: np.ndarray
    #: float64 (items, horizon).
    mean: np.ndarray
    #: float64 (items, horizon, levels), and the levels.
    quantiles: np.ndarray
    levels: tuple[float, ...]

    @property
    def horizon(self) -> int:
        """Days ahead."""
        return int(self.mean.shape[1])


def arrays(data: pa.Buffer, horizon: int, quantiles: tuple[float, ...], items: list[str] | None = None) -> Answered:
    """Reads a forecast table and checks that it is one.

    Args:
        items: those it must have, ascending; None takes what it has.

    Raises:
        TableError: rows, columns or values are not those of a forecast table.
    """
    table = read_table(data, "forecast")
    names = [f"{level:.6g}" for level in quantiles]
    if table.column_names != ["item_id", "timestamp", "mean", *names]:
        raise TableError(
            f"the forecast has columns {table.column_names}: they must be {['item_id', 'timestamp', 'mean', *names]}"
        )
    column = table["item_id"].combine_chunks()
    found = column.take(pa.array(np.arange(0, table.num_rows, horizon))).to_pylist()
    if table.num_rows % horizon or (items is not None and found != items):
        raise TableError(
            f"the forecast has {table.num_rows} rows of {len(found)} items: {horizon} days of each item asked are due, sorted"
        )
    ends = column.take(pa.array(np.arange(horizon - 1, table.num_rows, horizon))).to_pylist()
    days = table["timestamp"].cast(pa.date32()).cast(pa.int32()).to_numpy().reshape(-1, horizon).astype(np.int64)
    if ends != found or (np.diff(days, axis=1) != 1).any():
        raise TableError(f"the forecast is not {horizon} days in a row for each item")
    values = np.stack([table[name].to_numpy().astype(np.float64) for name in table.column_names[2:]], axis=1)
    with np.errstate(invalid="ignore"):
        if np.isinf(values).any() or (values < 0.0).any() or (np.diff(values[:, 1:], axis=1) < 0.0).any():
            raise TableError("the forecast has negative or infinite values, or quantiles that cross")
    shaped = values.reshape(len(found), horizon, -1)
    return Answered(found, days[:, 0], shaped[:, :, 0], shaped[:, :, 1:], quantiles)


def only(answer: Answered, items: list[str]) -> Answered:
    """The forecasts of some items, which must all be there.

    Raises:
        TableError: one is not.
    """
    if answer.items == items:
        return answer
    where = {item: index for index, item in enumerate(answer.items)}
    try:
        rows = np.asarray([where[item] for item in items], np.int64)
    except KeyError as error:
        raise TableError(f"the forecast has no item {error}") from error
    return Answered(items, answer.first_day[rows], answer.mean[rows], answer.quantiles[rows], answer.levels)
