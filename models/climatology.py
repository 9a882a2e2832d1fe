"""Same-weekday empirical quantiles over the last eight weeks.

The reference that every other model must beat, and the definition that any
other implementation of this forecast must reproduce:

1. The window is the 56 days up to and including the item's last day.
2. A day is a sample when its target is known and it was in stock all day; a
   stocked-out day hides demand, so its sale is not a sample.
3. The samples for a forecast day are those of its weekday. With fewer than
   three, all samples of the window; with none at all, every known day of the
   window, stocked out or not; with none of those, the forecast is null.
4. Quantile p of n sorted samples x[0..n-1]: position h = p (n + 1) - 1,
   clipped to [0, n - 1], interpolated linearly between its neighbours.
   The mean is the arithmetic mean of the samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.panel import Panel
from models.protocol import PanelForecaster

WEEKS = 8
WINDOW_DAYS = 7 * WEEKS
SAMPLES_MIN = 3


class Climatology(PanelForecaster):
    """Empirical quantiles by weekday; see the module's docstring."""

    name = "climatology"
    version = "1"
    context_days = WINDOW_DAYS

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`."""
        window = panel.target[:, -WINDOW_DAYS:].astype(np.float64)
        stockout = panel.stockout[:, -WINDOW_DAYS:]
        short = WINDOW_DAYS - window.shape[1]
        window = np.pad(window, ((0, 0), (short, 0)), constant_values=np.nan)
        stockout = np.pad(stockout, ((0, 0), (short, 0)))
        in_stock = np.where(stockout > 0.0, np.nan, window)

        # Column k of the week is k + 1 days after the last day, and so is
        # column k of every week of the window: the weekday, without a calendar.
        weeks = in_stock.reshape(-1, WEEKS, 7)
        by_weekday = summarise(np.moveaxis(weeks, 1, 2), quantiles)
        pooled = summarise(in_stock, quantiles)
        any_known = summarise(window, quantiles)
        in_stock_days = np.isfinite(in_stock).sum(axis=1, keepdims=True)
        fallback = np.where(in_stock_days > 0, pooled, any_known)
        enough = np.isfinite(weeks).sum(axis=1) >= SAMPLES_MIN
        week = np.where(enough[:, :, None], by_weekday, fallback[:, None, :])
        return week[:, np.arange(horizon) % 7, :]


def summarise(samples: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Mean and quantiles over the last axis, NaN left out.

    Returns:
        shape samples.shape[:-1] + (1 + levels,), NaN where there is no sample.
    """
    ordered = np.sort(samples, axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1)
    out = np.full((*samples.shape[:-1], 1 + len(quantiles)), np.nan)
    some = count > 0
    total = np.where(np.isfinite(ordered), ordered, 0.0).sum(axis=-1)
    out[..., 0] = np.divide(total, count, out=out[..., 0], where=some)
    for index, level in enumerate(quantiles):
        position = np.clip(level * (count + 1) - 1, 0, np.maximum(count - 1, 0))
        below = np.floor(position).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        low = np.take_along_axis(ordered, below[..., None], axis=-1)[..., 0]
        high = np.take_along_axis(ordered, above[..., None], axis=-1)[..., 0]
        out[..., 1 + index] = np.where(some, low + (high - low) * (position - below), np.nan)
    return out
