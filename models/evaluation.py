"""Forecasts from rolling origins, scored against what came after.

At each origin every model sees the rows up to and including the origin's day,
and the covariates of the days after it; never a later target. Sums are kept an
item, so that intervals come from drawing items again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.metrics import pinball
from models.protocol import DEFAULT_QUANTILES, Forecaster, InputError, PanelForecaster
from models.scores import Scores, ratio

__all__ = ["Model", "Origin", "Scores", "daily_sums", "evaluate", "forecast_values", "origins", "ratio"]

SEASON_DAYS = 7
Model = Forecaster | PanelForecaster


@dataclass
class Origin:
    """One origin: what models see, and the truth."""

    day: int
    context: pa.Table
    future: pa.Table | None
    item_ids: pa.StringArray
    #: float64 (items, horizon); NaN where not known.
    truth: np.ndarray
    #: 1 where the day was in stock throughout, else 0; float64 (items, horizon).
    in_stock: np.ndarray
    #: Seasonal-naive error within the context, float64 (items,); NaN where it is 0 or unknown.
    scale: np.ndarray


def origins(table: pa.Table, horizon: int, count: int, stride: int) -> list[Origin]:
    """Cuts a table at `count` origins, `stride` days apart; the last leaves `horizon` days.

    Raises:
        InputError: the table is too short for them, or lacks a column.
    """
    for name in ("item_id", "timestamp", "target"):
        if name not in table.column_names:
            raise InputError(f"the data has no column {name!r}, only {table.column_names}: add or rename it")
    day = table["timestamp"].cast(pa.timestamp("s")).cast(pa.date32()).cast(pa.int32()).to_numpy()
    first = int(day.max()) - horizon - (count - 1) * stride
    if first < int(day.min()):
        raise InputError(
            f"the data spans {int(day.max() - day.min()) + 1} days, too few for {count} origins {stride} days apart with {horizon} days after them: ask for fewer"
        )
    return [_cut(table, day, first + index * stride, horizon) for index in range(count)]


def _cut(table: pa.Table, day: np.ndarray, origin: int, horizon: int) -> Origin:
    context = table.filter(pa.array(day <= origin))
    known = table.filter(pa.array((day > origin) & (day <= origin + horizon)))
    ids = pc.unique(context["item_id"].cast(pa.string()).combine_chunks())
    ids = ids.take(pc.array_sort_indices(ids))
    items = len(ids)

    def grid(rows: pa.Table, days: int, start: int, name: str) -> np.ndarray:
        """A column laid out as (items, days) from `start`."""
        item = pc.fill_null(pc.index_in(rows["item_id"].cast(pa.string()), value_set=ids), -1).to_numpy()
        at = rows["timestamp"].cast(pa.timestamp("s")).cast(pa.date32()).cast(pa.int32()).to_numpy() - start
        values = rows[name].cast(pa.float64()).to_numpy()
        out = np.full((items, days), np.nan)
        ok = (item >= 0) & (at >= 0)
        out[item[ok], at[ok]] = values[ok]
        return out

    truth = grid(known, horizon, origin + 1, "target")
    start = int(day.min())
    past = grid(context, origin - start + 1, start, "target")
    out_ahead, out_past = np.zeros_like(truth), np.zeros_like(past)
    if "stockout" in table.column_names:
        out_ahead = np.nan_to_num(grid(known, horizon, origin + 1, "stockout"))
        out_past = np.nan_to_num(grid(context, past.shape[1], start, "stockout"))
    # An item whose rows ended earlier is still asked about the days after the origin.
    last_known = pc.equal(context["timestamp"].cast(pa.timestamp("s")).cast(pa.date32()).cast(pa.int32()), origin)
    here = pc.unique(context.filter(last_known)["item_id"].cast(pa.string()))
    ended = ids.filter(
        pc.invert(pc.is_in(ids, value_set=here.combine_chunks() if isinstance(here, pa.ChunkedArray) else here))
    )
    context = _with_origin_rows(context, ended, origin)
    ahead = known.filter(pc.is_in(known["item_id"].cast(pa.string()), value_set=ids))
    # Neither what will sell nor when stock will run out is known ahead.
    ahead = ahead.drop_columns([name for name in ("target", "stockout") if name in ahead.column_names])
    return Origin(
        origin,
        context,
        ahead if ahead.num_rows and ahead.num_columns > 2 else None,
        ids,
        truth,
        (out_ahead <= 0).astype(float),
        _seasonal_error(np.where(out_past > 0, np.nan, past)),
    )


def _with_origin_rows(context: pa.Table, items: pa.StringArray, origin: int) -> pa.Table:
    """Adds a day not known at the origin for items whose rows ended before."""
    columns: list[pa.Array] = []
    for column in context.schema:
        if column.name == "item_id":
            columns.append(items.cast(column.type))
        elif column.name == "timestamp":
            day = pa.array(np.full(len(items), origin, np.int32)).cast(pa.date32())
            columns.append(
                day.cast(pa.timestamp("s")).cast(column.type)
                if not pa.types.is_date(column.type)
                else day.cast(column.type)
            )
        else:
            columns.append(pa.nulls(len(items), column.type))
    return pa.concat_tables([context, pa.Table.from_arrays(columns, schema=context.schema)])


def _seasonal_error(past: np.ndarray) -> np.ndarray:
    """Mean |y(t) - y(t - 7)| since the first sale."""
    sold = np.cumsum(np.nan_to_num(past), axis=1) > 0
    past = np.where(sold, past, np.nan)
    gap = np.abs(past[:, SEASON_DAYS:] - past[:, :-SEASON_DAYS])
    count = np.isfinite(gap).sum(axis=1)
    total = np.nansum(gap, axis=1)
    return np.where((count > 0) & (total > 0), total / np.maximum(count, 1), np.nan)


def evaluate(
    model: Model,
    cuts: Sequence[Origin],
    *,
    in_stock_only: bool = False,
    levels: Sequence[float] = DEFAULT_QUANTILES,
    totals: bool = False,
) -> Scores:
    """Scores a model over all origins.

    Args:
        in_stock_only: leaves out days with a stock-out, whose sale is not their demand.
        totals: also scores demand summed over the days of `models.totals`.
    """
    from models.evaluation_totals import TOTAL_DAYS, predicted_totals, totals_sums

    scores = Scores(model.name, model.version, tuple(levels))
    for cut in cuts:
        horizon = cut.truth.shape[1]
        started = time.monotonic()
        table = model.predict(cut.context, cut.future, horizon, levels)
        scores.seconds += time.monotonic() - started
        scores.series += len(cut.item_ids)
        sums = daily_sums(cut, forecast_values(table, cut), scores.levels, in_stock_only=in_stock_only)
        if totals:
            days = [span for span in TOTAL_DAYS if span <= horizon]
            values, scores.totals_by = predicted_totals(model, cut, days)
            sums |= totals_sums(cut, values, days, in_stock_only=in_stock_only)
        scores.add(cut.item_ids.to_pylist(), sums)
    return scores


def forecast_values(table: pa.Table, cut: Origin) -> np.ndarray:
    """A forecast table as float64 (items, horizon, 1 + levels)."""
    names = [name for name in table.column_names if name not in ("item_id", "timestamp")]
    flat = np.column_stack([table[name].to_numpy() for name in names])
    return np.asarray(flat.reshape(*cut.truth.shape, len(names)), np.float64)


def daily_sums(
    cut: Origin, values: np.ndarray, levels: Sequence[float], *, in_stock_only: bool
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What `Scores.add` takes; an item that the model cannot forecast counts as a forecast of 0."""
    values = np.nan_to_num(values)
    truth = np.where(cut.in_stock > 0, cut.truth, np.nan) if in_stock_only else cut.truth
    known = np.isfinite(truth)
    loss = np.nan_to_num(pinball(truth, values[..., 1:], levels)).mean(axis=-1)
    middle = 1 + int(np.argmin(np.abs(np.asarray(levels) - 0.5)))
    off = np.abs(np.nan_to_num(truth - values[..., middle]))
    rows = known.sum(axis=1).astype(float)
    size = np.abs(np.nan_to_num(truth))
    scaled = (rows > 0) & np.isfinite(cut.scale)
    over = np.where(scaled, rows * cut.scale, 1.0)
    sums = {
        "wql": (loss.sum(axis=1), size.sum(axis=1)),
        "msql": (np.where(scaled, loss.sum(axis=1) / over, 0.0), scaled.astype(float)),
        "mase": (np.where(scaled, off.sum(axis=1) / over, 0.0), scaled.astype(float)),
        "bias_mean": (np.where(known, values[..., 0] - truth, 0.0).sum(axis=1), size.sum(axis=1)),
        "rows": (rows, np.ones_like(rows)),
        "wql_by_step": (loss, size),
    }
    for low, high in zip(range(len(levels)), reversed(range(len(levels))), strict=True):
        wide = levels[high] - levels[low]
        if low < high and abs(levels[low] + levels[high] - 1.0) < 1e-9:
            inside = known & (truth >= values[..., 1 + low]) & (truth <= values[..., 1 + high])
            sums[f"coverage_{100.0 * wide:.4g}"] = (inside.sum(axis=1).astype(float), rows)
    under = (truth[..., None] < values[..., 1:]) & known[..., None]
    at = (truth[..., None] <= values[..., 1:]) & known[..., None]
    below = np.stack([under.sum(axis=1), at.sum(axis=1)], axis=2).astype(float)
    sums["calibration"] = (below, np.broadcast_to(rows[:, None, None], below.shape))
    return sums
