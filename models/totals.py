"""Demand over several days out of forecasts by day, for models without a head of their own for it.

The mean of a total is the sum of the means. Its quantiles need how days move together, which forecasts by day do not
say: days that are independent give too little stock, days that move as one far too much. Here every two days are taken
to have the same correlation, `CORRELATION`: the distance s of a day's quantile from its mean adds up to
sqrt((1 - c) * sum of s squared + c * (sum of s) squared). That is an assumption and not calibrated on anything; a model
with `predict_totals` is to be preferred, and whoever asks for totals is told which it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.protocol import HORIZON_MAX, InputError, level_name, totals_schema

CORRELATION = 0.25
HORIZONS_MAX = 32


def check_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """Returns numbers of days as a tuple.

    Raises:
        InputError: unless they ascend from 1 to `HORIZON_MAX`, at most `HORIZONS_MAX` of them.
    """
    days = tuple(int(each) for each in horizons)
    if not 1 <= len(days) <= HORIZONS_MAX:
        raise InputError(f"{len(days)} totals asked for: ask for 1 to {HORIZONS_MAX}")
    if days[0] < 1 or days[-1] > HORIZON_MAX or any(a >= b for a, b in itertools.pairwise(days)):
        raise InputError(f"totals over {list(days)} days asked for: give 1 to {HORIZON_MAX} days, ascending")
    return days


def approximate_totals(forecast: pa.Table, horizons: Sequence[int], quantiles: Sequence[float]) -> pa.Table:
    """Adds up a forecast by day.

    Args:
        forecast: the forecast table, sorted by item and day, as many days an item.

    Returns:
        The totals table: item_id, horizon_days (int32), mean and one column a level; items x horizons rows, null where
        the forecast is.

    Raises:
        InputError: a total reaches further than the forecast.
    """
    days = check_horizons(horizons)
    items = forecast["item_id"].combine_chunks()
    names = items.unique()
    ahead = len(items) // max(1, len(names))
    if len(items) and days[-1] > ahead:
        raise InputError(f"totals over {days[-1]} days asked for of a forecast of {ahead}: forecast more days")
    columns = ["mean", *(level_name(level) for level in quantiles)]
    values = np.stack([_numbers(forecast[name]) for name in columns], axis=-1).reshape(len(names), ahead, len(columns))
    mean = np.cumsum(values[:, :, :1], axis=1)
    spread = values[:, :, 1:] - values[:, :, :1]
    apart, together = np.cumsum(np.square(spread), axis=1), np.cumsum(spread, axis=1)
    size = np.sqrt((1 - CORRELATION) * apart + CORRELATION * np.square(together))
    above = np.maximum(mean + np.copysign(size, together), 0.0)
    levels = np.maximum.accumulate(above, axis=2)
    chosen = np.concatenate([mean, levels], axis=2)[:, [day - 1 for day in days], :].reshape(-1, len(columns))
    rows = np.repeat(np.arange(len(names)), len(days))
    arrays = [names.take(pa.array(rows)).cast(pa.string()), pa.array(np.tile(days, len(names)), pa.int32())]
    arrays += [pa.array(chosen[:, n], pa.float64(), from_pandas=True) for n in range(len(columns))]
    return pa.Table.from_arrays(arrays, schema=totals_schema(quantiles))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype(np.float64)
