"""Arrow tables of daily rows as dense arrays, and the checks on the way in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.protocol import InputError

ROWS_MAX = 50_000_000
CELLS_MAX = 400_000_000
RESERVED = ("item_id", "timestamp", "target", "stockout", "unmet", "group")


@dataclass(frozen=True)
class Panel:
    """Many series, aligned at their ends.

    `days` is the number of context days kept, and column `days - 1` of
    `target` is each item's last day, whatever date that is.
    """

    #: Item names in ascending order, shape (items,).
    item_ids: pa.StringArray
    #: Last context day as days since 1970-01-01, int64, shape (items,).
    last_day: np.ndarray
    #: Units sold, float32, shape (items, days); NaN where not known.
    target: np.ndarray
    #: Share of the day without stock, float32, shape (items, days); 0 where not given.
    stockout: np.ndarray
    #: By name, float32, shape (items, days + horizon); NaN where not given.
    covariates: dict[str, np.ndarray] = field(default_factory=dict)
    #: Units asked for and refused, float32, shape (items, days), NaN where not told; None when never told.
    unmet: np.ndarray | None = None
    #: Items with the same number belong together, int64, shape (items,); None for each by itself.
    group: np.ndarray | None = None
    #: By name, the item's category, str, shape (items,).
    static: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """Number of series."""
        return len(self.last_day)

    @property
    def days(self) -> int:
        """Context days kept, the same for all items."""
        return int(self.target.shape[1])

    def rows(self, chosen: slice | np.ndarray) -> Panel:
        """The panel of some of the items."""
        index = np.arange(self.items)[chosen]
        return Panel(
            self.item_ids.take(pa.array(index)),
            self.last_day[index],
            self.target[index],
            self.stockout[index],
            {name: values[index] for name, values in self.covariates.items()},
            None if self.unmet is None else self.unmet[index],
            None if self.group is None else self.group[index],
            {name: values[index] for name, values in self.static.items()},
        )


def concat_panels(panels: Sequence[Panel]) -> Panel:
    """Stacks panels of one horizon; shorter contexts are padded with unknown days."""
    days = max(panel.days for panel in panels)

    def padded(values: np.ndarray, width: int, fill: float) -> np.ndarray:
        return np.pad(values, ((0, 0), (width - values.shape[1], 0)), constant_values=fill)

    names = {name for panel in panels for name in panel.covariates}
    covariates = {}
    for name in sorted(names):
        known = [panel.covariates.get(name) for panel in panels]
        width = days + max(v.shape[1] - p.days for v, p in zip(known, panels, strict=True) if v is not None)
        covariates[name] = np.concatenate(
            [
                np.full((panel.items, width), np.nan, np.float32) if v is None else padded(v, width, np.nan)
                for v, panel in zip(known, panels, strict=True)
            ]
        )
    unmet = None
    if any(panel.unmet is not None for panel in panels):
        told = [np.full_like(panel.target, np.nan) if panel.unmet is None else panel.unmet for panel in panels]
        unmet = np.concatenate([padded(values, days, np.nan) for values in told])
    return Panel(
        pa.concat_arrays([panel.item_ids for panel in panels]),
        np.concatenate([panel.last_day for panel in panels]),
        np.concatenate([padded(panel.target, days, np.nan) for panel in panels]),
        np.concatenate([padded(panel.stockout, days, 0.0) for panel in panels]),
        covariates,
        unmet,
        _concat_groups(panels),
        _concat_static(panels),
    )


def _concat_groups(panels: Sequence[Panel]) -> np.ndarray | None:
    """Groups of different panels stay apart, whatever their numbers."""
    if all(panel.group is None for panel in panels):
        return None
    parts, used = [], 0
    for panel in panels:
        own = np.arange(panel.items) if panel.group is None else np.unique(panel.group, return_inverse=True)[1]
        parts.append(own + used)
        used += int(own.max(initial=-1)) + 1
    return np.concatenate(parts)


def _concat_static(panels: Sequence[Panel]) -> dict[str, np.ndarray]:
    names = sorted({name for panel in panels for name in panel.static})
    absent = [np.full(panel.items, "", object) for panel in panels]
    return {
        name: np.concatenate([panel.static.get(name, none) for panel, none in zip(panels, absent, strict=True)])
        for name in names
    }


def panel_from_tables(
    context: pa.Table,
    future: pa.Table | None,
    horizon: int,
    context_days: int,
    covariates: Sequence[str] = (),
    static: Sequence[str] = (),
) -> Panel:
    """Checks the tables and lays them out densely.

    Keeps the last `context_days` days of each item. Covariates that neither
    table has, and static columns that the context has not, are left out of the
    panel.

    Raises:
        InputError: see `Forecaster.predict`.
    """
    ids, codes, day = _keys(context, "context")
    items = len(ids)
    order = np.argsort(pc.array_sort_indices(ids).to_numpy())
    ids = ids.take(pc.array_sort_indices(ids))
    codes = order[codes]
    last_day = np.full(items, np.iinfo(np.int64).min)
    np.maximum.at(last_day, codes, day)
    first_day = np.full(items, np.iinfo(np.int64).max)
    np.minimum.at(first_day, codes, day)
    days = int(min(context_days, (last_day - first_day).max() + 1))
    if items * (days + horizon) > CELLS_MAX:
        raise InputError(
            f"context has {items} items of {days} days: send at most {CELLS_MAX // (days + horizon)} at once"
        )
    back = last_day[codes] - day
    kept = back < days
    _refuse_duplicates(ids, codes, day, "context")
    at = (codes[kept], days - 1 - back[kept])

    target = np.full((items, days), np.nan, np.float32)
    target[at] = _numbers(context, "target", "context", low=0.0)[kept]
    stockout = np.zeros((items, days), np.float32)
    if "stockout" in context.column_names:
        stockout[at] = np.nan_to_num(_numbers(context, "stockout", "context", low=0.0, high=1.0)[kept])

    unmet = None
    if "unmet" in context.column_names:
        unmet = np.full((items, days), np.nan, np.float32)
        unmet[at] = _numbers(context, "unmet", "context", low=0.0)[kept]

    known: dict[str, np.ndarray] = {}
    ahead = None if future is None or future.num_rows == 0 else _ahead(future, ids, last_day, horizon)
    for name in covariates:
        in_context = name in context.column_names
        if not in_context and (future is None or name not in future.column_names):
            continue
        values = np.full((items, days + horizon), np.nan, np.float32)
        if in_context:
            values[at] = _numbers(context, name, "context")[kept]
        if future is not None and ahead is not None and name in future.column_names:
            rows, item, step = ahead
            values[item, days + step] = _numbers(future, name, "future")[rows]
        known[name] = values
    group = None
    if "group" in context.column_names:
        _, group = np.unique(_of_item(context, "group", ids, codes), return_inverse=True)
        # An item without a group is a group of its own.
        alone = _of_item(context, "group", ids, codes) == ""
        group[alone] = len(ids) + np.flatnonzero(alone)
    of_item = {name: _of_item(context, name, ids, codes) for name in static if name in context.column_names}
    return Panel(ids, last_day, target, stockout, known, unmet, group, of_item)


def _of_item(table: pa.Table, name: str, ids: pa.StringArray, codes: np.ndarray) -> np.ndarray:
    """A column that says one thing of an item, as str of shape (items,); "" where it is null."""
    column = table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
    ):
        raise InputError(f"column {name!r} of context is {column.type}: make it a string or an integer")
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    value = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, codes, value)
    differs = np.flatnonzero(first[codes] != value)
    if len(differs):
        row = int(differs[0])
        raise InputError(
            f"column {name!r} of context has more than one value for item {ids[int(codes[row])].as_py()!r}: "
            "it belongs to the item, so give all of its rows the same"
        )
    words = np.array([*encoded.dictionary.to_pylist(), ""], object)
    return words[first]


def _ahead(
    future: pa.Table, ids: pa.StringArray, last_day: np.ndarray, horizon: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of `future` within the horizon, their items and their steps ahead."""
    future_ids, codes, day = _keys(future, "future")
    _refuse_duplicates(future_ids, codes, day, "future")
    found = pc.index_in(future_ids, value_set=ids).to_numpy(zero_copy_only=False)
    if np.isnan(found.astype(np.float64)).any():
        absent = future_ids[int(np.flatnonzero(np.isnan(found.astype(np.float64)))[0])].as_py()
        raise InputError(f"future has item {absent!r} that context has not: send its history too, or leave it out")
    item = found.astype(np.int64)[codes]
    step = day - last_day[item] - 1
    rows = np.flatnonzero((step >= 0) & (step < horizon))
    return rows, item[rows], step[rows]


def _keys(table: pa.Table, what: str) -> tuple[pa.StringArray, np.ndarray, np.ndarray]:
    """Distinct items, each row's item as an index into them, each row's day."""
    for name in ("item_id", "timestamp"):
        if name not in table.column_names:
            raise InputError(f"{what} has no column {name!r}, only {table.column_names}: add it")
    if table.num_rows == 0:
        raise InputError(f"{what} has no rows: send at least one day of one item")
    if table.num_rows > ROWS_MAX:
        raise InputError(f"{what} has {table.num_rows} rows: send at most {ROWS_MAX} at once")
    column = table.column("item_id")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(f"column 'item_id' of {what} is {column.type}: make it a string")
    if column.null_count:
        raise InputError(f"column 'item_id' of {what} has {column.null_count} nulls: give every row its item")
    ids, codes = _codes(column)
    return ids, codes, _days(table.column("timestamp"), what)


def _codes(column: pa.ChunkedArray) -> tuple[pa.StringArray, np.ndarray]:
    """Distinct strings of a column and each row's index into them."""
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        if isinstance(whole, pa.ChunkedArray):
            whole = whole.chunk(0)
        used = np.unique(whole.indices.to_numpy())
        # A dictionary that came in may hold unused or repeated values, so its few used ones are encoded again.
        again = whole.dictionary.take(pa.array(used)).cast(pa.string()).dictionary_encode()
        code_of = np.zeros(len(whole.dictionary), np.int64)
        code_of[used] = again.indices.to_numpy()
        return again.dictionary, code_of[whole.indices.to_numpy()]
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)


def _days(column: pa.ChunkedArray, what: str) -> np.ndarray:
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        raise InputError(f"column 'timestamp' of {what} is {column.type}: make it a date or a timestamp")
    if column.null_count:
        raise InputError(f"column 'timestamp' of {what} has {column.null_count} nulls: give every row its day")
    if pa.types.is_timestamp(column.type):
        column = pc.floor_temporal(column, unit="day")
        if column.type.tz is not None:
            column = pc.local_timestamp(column)
    return column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64)


def _numbers(table: pa.Table, name: str, what: str, low: float | None = None, high: float | None = None) -> np.ndarray:
    """A column as float32, null as NaN."""
    if name not in table.column_names:
        raise InputError(f"{what} has no column {name!r}, only {table.column_names}: add it")
    column = table.column(name)
    kind = column.type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    ):
        raise InputError(f"column {name!r} of {what} is {kind}: make it a number")
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    bad = np.isinf(values)
    if low is not None:
        bad |= values < low
    if high is not None:
        bad |= values > high
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        item = table.column("item_id")[row].as_py()
        bounds = "finite" if low is None else f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"
        raise InputError(
            f"column {name!r} of {what} is {values[row]} for item {item!r} in row {row}: values must be {bounds}, or null when not known"
        )
    return values.astype(np.float32)


def _refuse_duplicates(ids: pa.StringArray, codes: np.ndarray, day: np.ndarray, what: str) -> None:
    origin = int(day.min())
    span = int(day.max()) - origin + 1
    keys = codes * span + (day - origin)
    if (keys[1:] > keys[:-1]).all():  # already in order, as most tables are: no need to sort
        return
    keys = np.sort(keys)
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    if len(twice):
        code, offset = divmod(int(keys[twice[0]]), span)
        date = np.datetime64(origin + offset, "D")
        raise InputError(f"{what} has item {ids[code].as_py()!r} twice on {date}: add up its rows before sending")
