"""What the boosted trees see: one row a (item, origin, day ahead).

All sales are divided by the item's scale at the origin, so that one model
serves all items. A stocked-out day is not known, here as elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.climatology import summarise
from models.panel import Panel

#: Days before the origin that features look back; older days count only in the long mean.
WINDOW_DAYS = 56
WEEKS = WINDOW_DAYS // 7
LAGS = 14
MEANS_DAYS = (7, 14, 28, 56)
SPREAD_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
YEAR_DAYS = 364


@dataclass
class Rows:
    """Features and targets; `features` is float32 (rows, columns), the rest (rows,)."""

    features: np.ndarray
    #: Units sold over the item's scale; NaN where not known.
    target: np.ndarray
    scale: np.ndarray
    item: np.ndarray
    step: np.ndarray


class FeatureMaker:
    """Builds rows for any origin of a panel.

    Args:
        categories: static categories as codes, float32 (items, columns); NaN where not known.
    """

    def __init__(self, panel: Panel, categories: np.ndarray):
        pad = WINDOW_DAYS
        self.panel = panel
        self.raw = np.pad(panel.target, ((0, 0), (pad, 0)), constant_values=np.nan)
        self.out = np.pad(panel.stockout, ((0, 0), (pad, 0)))
        self.clean = np.where(self.out > 0.0, np.nan, self.raw).astype(np.float32)
        self.pad = pad
        self.categories = categories
        known = np.isfinite(self.clean)
        self.sums = np.cumsum(np.where(known, self.clean, 0.0), axis=1, dtype=np.float64)
        self.counts = np.cumsum(known, axis=1)
        self.names = self._names()

    def _names(self) -> list[str]:
        names = ["log_scale", "history_days", "days_since_sale", "zero_share_28", "zero_share_56", "stockout_7"]
        names += ["stockout_28", "raw_mean_28", "long_mean", "deviation_28"]
        names += [f"mean_{days}" for days in MEANS_DAYS] + [f"spread_{level:g}" for level in SPREAD_LEVELS]
        names += [f"lag_{lag + 1}" for lag in range(LAGS)]
        names += ["step", "weekday", "month_day", "weekday_mean", "weekday_mean_4", "weekday_low", "weekday_high"]
        names += ["weekday_last", "weekday_before", "last_year"]
        for name in self.panel.covariates:
            names += [name, f"{name}_change"]
        return names + [f"category_{index}" for index in range(self.categories.shape[1])]

    @property
    def category_columns(self) -> list[int]:
        """Which columns hold categories."""
        count = self.categories.shape[1]
        return list(range(len(self.names) - count, len(self.names)))

    def rows(self, back: int, steps: np.ndarray, items: np.ndarray | None = None) -> Rows:
        """Rows of the origin `back` days before each item's last day, for the given days ahead.

        Items without a known day up to the origin are left out.
        """
        chosen = np.arange(self.panel.items) if items is None else items
        end = self.raw.shape[1] - back
        chosen = chosen[np.isfinite(self.raw[chosen, :end]).any(axis=1)]
        fixed, scale = self._at_origin(chosen, end)
        count = len(steps)
        blocks = [np.repeat(fixed, count, axis=0), self._ahead(chosen, end, steps, scale)]
        blocks.append(np.repeat(self.categories[chosen], count, axis=0))
        at = end - 1 + steps
        inside = at < self.raw.shape[1]
        target = np.full((len(chosen), count), np.nan, np.float32)
        target[:, inside] = self.raw[chosen][:, at[inside]] / scale[:, None]
        return Rows(
            np.concatenate(blocks, axis=1).astype(np.float32),
            target.ravel(),
            np.repeat(scale, count),
            np.repeat(chosen, count),
            np.tile(steps, len(chosen)),
        )

    def stocked_out(self, rows: Rows, back: int) -> np.ndarray:
        """Whether each row's day had a stock-out, bool (rows,)."""
        at = np.minimum(self.raw.shape[1] - back - 1 + rows.step, self.raw.shape[1] - 1)
        return self.out[rows.item, at] > 0.0

    def _at_origin(self, chosen: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
        window = self.clean[chosen, end - WINDOW_DAYS : end]
        raw = self.raw[chosen, end - WINDOW_DAYS : end]
        out = self.out[chosen, end - WINDOW_DAYS : end]
        total, count = self.sums[chosen, end - 1], self.counts[chosen, end - 1]
        long_mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        means = [mean_known(window[:, -days:]) for days in MEANS_DAYS]
        raw_mean = mean_known(self.raw[chosen, :end])
        scale = item_scale(means[-1], long_mean, raw_mean)
        ordered = summarise(window[:, -28:].astype(np.float64), SPREAD_LEVELS)[..., 1:]
        history = end - np.isfinite(self.raw[chosen, :end]).argmax(axis=1)
        sold = np.nan_to_num(self.raw[chosen, :end]) > 0.0
        since = np.where(sold.any(axis=1), np.argmax(sold[:, ::-1], axis=1), history)
        known28, known56 = np.isfinite(window[:, -28:]), np.isfinite(window)
        deviation = np.sqrt(np.maximum(mean_known(window[:, -28:] ** 2) - means[2] ** 2, 0.0))
        columns = [
            np.log(scale),
            history,
            since,
            share(window[:, -28:] == 0.0, known28),
            share(window == 0.0, known56),
            out[:, -7:].mean(axis=1),
            out[:, -28:].mean(axis=1),
            mean_known(raw[:, -28:]) / scale,
            long_mean / scale,
            deviation / scale,
            *(mean / scale for mean in means),
            *(ordered / scale[:, None]).T,
            *(window[:, ::-1][:, :LAGS] / scale[:, None]).T,
        ]
        return np.stack(columns, axis=1).astype(np.float32), scale

    def _ahead(self, chosen: np.ndarray, end: int, steps: np.ndarray, scale: np.ndarray) -> np.ndarray:
        items, count = len(chosen), len(steps)
        weeks = self.clean[chosen, end - WINDOW_DAYS : end].reshape(items, WEEKS, 7) / scale[:, None, None]
        known = np.isfinite(weeks)
        low = np.where(known, weeks, np.inf).min(axis=1)
        high = np.where(known, weeks, -np.inf).max(axis=1)
        by_weekday = [
            mean_known(np.moveaxis(weeks, 1, 2)),
            mean_known(np.moveaxis(weeks[:, -4:], 1, 2)),
            np.where(np.isfinite(low), low, np.nan),
            np.where(np.isfinite(high), high, np.nan),
            weeks[:, -1],
            weeks[:, -2],
        ]
        column = (steps - 1) % 7
        origin_day = self.panel.last_day[chosen] - (self.raw.shape[1] - end)
        day = origin_day[:, None] + steps[None, :]
        date = day.astype("datetime64[D]")
        month_day = (date - date.astype("datetime64[M]")).astype(np.int64)
        year = np.full((items, count), np.nan, np.float32)
        at = end - 1 + steps - YEAR_DAYS
        inside = at >= 0
        year[:, inside] = self.clean[chosen][:, at[inside]] / scale[:, None]
        columns = [np.broadcast_to(steps, (items, count)), day % 7, month_day]
        columns += [values[:, column] for values in by_weekday] + [year]
        for values in self.panel.covariates.values():
            first = end - self.pad - WINDOW_DAYS
            usual = mean_known(values[chosen, max(0, first) : max(1, end - self.pad)])
            at = end - self.pad - 1 + steps
            inside = at < values.shape[1]
            ahead = np.full((items, count), np.nan, np.float32)
            ahead[:, inside] = values[chosen][:, at[inside]]
            columns += [ahead, ahead - usual[:, None]]
        return np.stack(columns, axis=2).reshape(items * count, -1).astype(np.float32)


def item_scale(recent: np.ndarray, long_mean: np.ndarray, raw_mean: np.ndarray) -> np.ndarray:
    """Mean sale a day: half of recent days, half of all; of stocked-out days, or 1, where that is 0."""
    scale = 0.5 * np.where(np.isfinite(recent), recent, long_mean) + 0.5 * long_mean
    scale = np.where(np.isfinite(scale) & (scale > 0.0), scale, raw_mean)
    return np.where(np.isfinite(scale) & (scale > 0.0), scale, 1.0).astype(np.float32)


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def share(what: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of the known where `what` holds; NaN where nothing is known."""
    count = known.sum(axis=1)
    return np.where(count > 0, (what & known).sum(axis=1) / np.maximum(count, 1), np.nan)
