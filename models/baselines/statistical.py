"""AutoETS and AutoARIMA of the statsforecast package, one fit a series.

Hyndman et al. 2002, "A state space framework for automatic forecasting using
exponential smoothing methods"; Hyndman and Khandakar 2008, "Automatic time
series forecasting: the forecast package for R". Their intervals give the
quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.baselines.naive import SeasonalNaive, usable
from models.baselines.packages import challenger
from models.climatology import WINDOW_DAYS
from models.panel import Panel
from models.protocol import PanelForecaster

SEASON_DAYS = 7
#: Fewer days since the first known one than this are left to the seasonal naive forecast.
DAYS_MIN = 3 * SEASON_DAYS
#: A forecast beyond this many times the largest value seen is one that ran away.
RUNAWAY = 1e3


class Statistical(PanelForecaster):
    """A model of statsforecast fitted to each series.

    Those models need every day: a day not known or stocked out takes the mean
    of its weekday around it. Series too short for a fit, always the same, or
    that the package cannot fit, are forecast by `SeasonalNaive`.
    """

    context_days = 364
    #: Class in statsforecast.models.
    kind: str

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`.

        Raises:
            InputError: statsforecast is not installed.
        """
        models = challenger("statsforecast.models")
        out = SeasonalNaive().predict_panel(panel, horizon, quantiles)
        history = usable(panel, max(panel.days, WINDOW_DAYS))
        for item in range(panel.items):
            series = filled(history[item])
            if len(series) < DAYS_MIN or np.ptp(series) == 0.0:
                continue
            # In units of the series, so that neither huge nor tiny ones meet the optimiser's tolerances.
            scale = float(np.abs(series).mean())
            got = self._fit(models, series / scale, horizon, quantiles)
            if got is not None:
                out[item] = got * scale
        return out

    def _fit(self, models: Any, series: np.ndarray, horizon: int, quantiles: Sequence[float]) -> np.ndarray | None:
        widths = sorted({width(level) for level in quantiles} - {0.0})
        model = getattr(models, self.kind)(season_length=SEASON_DAYS)
        try:
            fit = model.forecast(y=series, h=horizon, level=widths or None)
        except Exception:  # noqa: BLE001 - the package raises plain Exception for a series it cannot fit
            return None
        columns = [fit["mean"]]
        for level in quantiles:
            side = "hi" if level > 0.5 else "lo"
            columns.append(fit["mean"] if width(level) == 0.0 else named(fit, side, width(level)))
        values = np.maximum(np.stack(columns, axis=1), 0.0)
        if not np.isfinite(values).all() or values.max() > RUNAWAY * series.max():
            return None
        values[:, 1:] = np.sort(values[:, 1:], axis=1)
        return values


class AutoETS(Statistical):
    """Exponential smoothing, the form chosen by AICc."""

    name = "autoets"
    version = "1"
    kind = "AutoETS"


class AutoARIMA(Statistical):
    """Seasonal ARIMA, the order chosen by AICc. Slow: about a second a series."""

    name = "autoarima"
    version = "1"
    kind = "AutoARIMA"


def width(level: float) -> float:
    """Per cent of the central interval that ends at a quantile."""
    return round(abs(2.0 * level - 1.0) * 100.0, 6)


def named(fit: dict[str, np.ndarray], side: str, wide: float) -> np.ndarray:
    """An interval's end: statsforecast names it by the width as it was given."""
    return fit[f"{side}-{wide}"]


def filled(series: np.ndarray) -> np.ndarray:
    """A series from its first known day on, unknown days replaced.

    Each takes the mean of the known days of its weekday among the eight weeks
    before and after it, or of the whole series.
    """
    known = np.flatnonzero(np.isfinite(series))
    if not len(known):
        return np.empty(0)
    series = series[known[0] :]
    out = series.copy()
    overall = float(np.nanmean(series))
    for day in np.flatnonzero(~np.isfinite(series)):
        first = day % SEASON_DAYS if day < WINDOW_DAYS else day - WINDOW_DAYS
        near = series[first : day + WINDOW_DAYS + 1 : SEASON_DAYS]
        near = near[np.isfinite(near)]
        out[day] = near.mean() if len(near) else overall
    return out
