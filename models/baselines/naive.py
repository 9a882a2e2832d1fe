"""Seasonal naive: next Tuesday sells what last Tuesday sold.

Hyndman and Athanasopoulos, "Forecasting: Principles and Practice" (3rd ed.),
sections 5.2 and 5.5: the forecast is the last known value of the same weekday,
and its error k weeks ahead is that of one week times sqrt(k). The quantiles
are those of the item's own weekly differences, not of a normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.climatology import WEEKS, WINDOW_DAYS, summarise
from models.panel import Panel
from models.protocol import PanelForecaster


class SeasonalNaive(PanelForecaster):
    """Last week repeated, with the spread of past weekly differences.

    A stocked-out day counts as not known, unless an item has no other day. A
    weekday not known in the last eight weeks takes the mean of the others.
    """

    name = "seasonal-naive"
    version = "1"
    context_days = WINDOW_DAYS

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`."""
        weeks = usable(panel).reshape(panel.items, WEEKS, 7)
        known = np.isfinite(weeks)
        latest = WEEKS - 1 - known[:, ::-1].argmax(axis=1)
        last = np.take_along_axis(weeks, latest[:, None, :], axis=1)[:, 0]
        overall = summarise(weeks.reshape(panel.items, -1), ())
        last = np.where(np.isfinite(last), last, overall)

        errors = (weeks[:, 1:] - weeks[:, :-1]).reshape(panel.items, -1)
        spread = np.nan_to_num(summarise(errors, quantiles)[:, 1:])
        step = np.arange(horizon)
        growth = np.sqrt(step // 7 + 1.0)
        middle = last[:, step % 7]
        around = middle[:, :, None] + spread[:, None, :] * growth[None, :, None]
        return np.concatenate([middle[:, :, None], np.maximum(around, 0.0)], axis=-1)


def usable(panel: Panel, days: int = WINDOW_DAYS) -> np.ndarray:
    """The last days of a panel, float64 (items, days): NaN where not known or stocked out.

    An item without a day in stock keeps the days it has.
    """
    width = min(days, panel.days)
    values = panel.target[:, panel.days - width :].astype(np.float64)
    in_stock = np.where(panel.stockout[:, panel.days - width :] > 0.0, np.nan, values)
    some = np.isfinite(in_stock).any(axis=1, keepdims=True)
    return np.pad(np.where(some, in_stock, values), ((0, 0), (days - width, 0)), constant_values=np.nan)
