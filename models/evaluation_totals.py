"""Demand summed over the next days, and whether its quantiles hold.

A buffer for a lead time of seven days rests on a quantile of the total of
those days, which is not the sum of the days' quantiles: their sum is too much
where days are independent. A model with

    predict_totals(context, future, quantiles) -> table

is scored on its own totals; the table has item_id (string), horizon_days
(int32), mean (float64) and one float64 column a level, in units. For other
models the sum of the daily quantiles is taken, and named so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.evaluation import Model, Origin
from models.protocol import InputError, level_name

TOTAL_DAYS = (1, 2, 3, 7, 14, 28)
TOTAL_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
OWN = "predict_totals"
SUMMED = "sum of daily quantiles"


def predicted_totals(
    model: Model, cut: Origin, days: Sequence[int], levels: Sequence[float] = TOTAL_LEVELS
) -> tuple[np.ndarray, str]:
    """Quantiles of the totals, float64 (items, days, levels), NaN where the model has none; and by what.

    Raises:
        InputError: the model's table is not what `predict_totals` must give.
    """
    own = getattr(model, "predict_totals", None)
    if own is not None:
        return totals_values(own(cut.context, cut.future, levels), cut.item_ids, days, levels), OWN
    table = model.predict(cut.context, cut.future, max(days), levels)
    daily = np.column_stack([table[level_name(level)].to_numpy() for level in levels]).astype(np.float64)
    running = daily.reshape(len(cut.item_ids), max(days), len(levels)).cumsum(axis=1)
    return running[:, np.asarray(days) - 1], SUMMED


def totals_values(
    table: pa.Table, item_ids: pa.StringArray, days: Sequence[int], levels: Sequence[float]
) -> np.ndarray:
    """A table of totals as float64 (items, days, levels); NaN where a row is absent.

    Raises:
        InputError: a column is absent.
    """
    for name in ("item_id", "horizon_days", *map(level_name, levels)):
        if name not in table.column_names:
            raise InputError(f"totals have no column {name!r}, only {table.column_names}: add it")
    out = np.full((len(item_ids), len(days), len(levels)), np.nan)
    item = pc.fill_null(pc.index_in(table["item_id"].cast(pa.string()), value_set=item_ids), -1).to_numpy()
    span = pc.fill_null(pc.index_in(table["horizon_days"].cast(pa.int32()), value_set=pa.array(days, pa.int32())), -1)
    at = span.to_numpy()
    kept = (item >= 0) & (at >= 0)
    for index, level in enumerate(levels):
        out[item[kept], at[kept], index] = table[level_name(level)].to_numpy()[kept]
    return out


def totals_sums(
    cut: Origin, values: np.ndarray, days: Sequence[int], *, in_stock_only: bool
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What `Scores.add` takes, each (items, days, levels).

    `totals_within` is the share of totals at or below the quantile;
    `totals_stock` the quantiles' sum over the demand's. A total counts when
    every day of it is known and, with `in_stock_only`, in stock.
    """
    truth = np.where(cut.in_stock > 0, cut.truth, np.nan) if in_stock_only else cut.truth
    total = truth.cumsum(axis=1)[:, np.asarray(days) - 1]
    known = np.isfinite(total)[..., None] & np.isfinite(values)
    within = known & (total[..., None] <= values)
    stock = np.where(known, values, 0.0)
    demand = np.where(known, np.broadcast_to(total[..., None], values.shape), 0.0)
    return {"totals_within": (within, known), "totals_stock": (stock, demand)}
