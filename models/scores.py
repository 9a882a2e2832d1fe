"""Scores of one model, with bootstrap intervals over items.

Every score is a sum over items divided by another, so an interval comes from
weighting the items anew (Efron 1979): an item drawn twice counts twice. All
origins of an item are drawn together, for they are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BOOTSTRAPS = 400
INTERVAL = (0.025, 0.975)
RATIOS = ("wql", "msql", "mase")
Interval = tuple[float, float, float]


class Scores:
    """Sums of a model an item, over all origins."""

    def __init__(self, model: str, version: str, levels: Sequence[float]):
        self.model = model
        self.version = version
        self.levels = tuple(levels)
        self.seconds = 0.0
        self.series = 0
        #: Whether totals come from the model's own `predict_totals`; None without totals.
        self.totals_by: str | None = None
        self._origins: list[tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]] = []
        self._merged: tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]] | None = None

    def add(self, item_ids: Sequence[str], sums: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
        """Adds one origin: by score, what is above and below the line, each (items, ...)."""
        self._origins.append((np.asarray(item_ids, dtype=object), sums))
        self._merged = None

    @property
    def items(self) -> int:
        """Number of items over all origins."""
        return len(self._sums()[0])

    @property
    def item_ids(self) -> list[str]:
        """Items in ascending order."""
        return list(self._sums()[0])

    def names(self) -> list[str]:
        """Names of the scores."""
        return list(self._sums()[1])

    def value(self, name: str) -> np.ndarray:
        """A score over all items; NaN where nothing was scored."""
        above, below = self._sums()[1][name]
        return _over(above.sum(axis=0), below.sum(axis=0))

    def drawn(self, name: str, weights: np.ndarray) -> np.ndarray:
        """A score for each draw, shape (draws, ...).

        Args:
            weights: how often each item is drawn, (draws, items).
        """
        above, below = self._sums()[1][name]
        return _over(np.tensordot(weights, above, axes=1), np.tensordot(weights, below, axes=1))

    def interval(self, name: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % interval of a score, each like `value`."""
        low, high = quantiles_known(self.drawn(name, weights))
        return low, high

    def wql(self) -> float:
        """Weighted quantile loss of all items."""
        return float(self.value("wql"))

    def summary(self, seed: int = 0) -> dict[str, Any]:
        """The scores as plain numbers, each with its interval.

        A score is None where nothing was scored.
        """
        weights = draws(self.items, seed)
        rows = self._sums()[1]["rows"][0]
        out: dict[str, Any] = {
            "model": self.model,
            "version": self.version,
            "items": self.items,
            "rows": int(rows.sum()),
            "series_per_second": round(self.series / self.seconds, 1) if self.seconds else None,
        }
        intervals: dict[str, list[float | None]] = {}
        for name in self.names():
            value = self.value(name)
            if value.ndim == 0 and name != "rows":
                out[name] = plain(value)
                intervals[name] = [plain(bound) for bound in self.interval(name, weights)]
        shares = self.value("calibration")
        low, high = self.interval("calibration", weights)
        out["calibration"] = {
            f"{level:g}": [round(float(share), 4) for share in shares[index]] for index, level in enumerate(self.levels)
        }
        out["calibration_intervals"] = {
            f"{level:g}": [[plain(low[index, side]), plain(high[index, side])] for side in (0, 1)]
            for index, level in enumerate(self.levels)
        }
        out["wql_by_step"] = [plain(step, 4) for step in self.value("wql_by_step")]
        low, high = self.interval("wql_by_step", weights)
        out["wql_by_step_intervals"] = [[plain(a, 4), plain(b, 4)] for a, b in zip(low, high, strict=True)]
        out["intervals"] = intervals
        return out

    def totals(self, days: Sequence[int], levels: Sequence[float], seed: int = 0) -> list[dict[str, Any]]:
        """Scores of the totals, one entry a span of days and level; empty when they were not scored.

        `within` is the share of totals at or below the quantile, `stock_ratio`
        what the quantiles add up to over the demand.
        """
        if self.totals_by is None:
            return []
        weights = draws(self.items, seed)
        names = {"within": "totals_within", "stock_ratio": "totals_stock"}
        values = {key: self.value(name) for key, name in names.items()}
        ends = {key: self.interval(name, weights) for key, name in names.items()}
        found = []
        for row, span in enumerate(days):
            for column, level in enumerate(levels):
                entry: dict[str, Any] = {"days": span, "level": level}
                for key in names:
                    low, high = ends[key]
                    entry[key] = plain(values[key][row, column], 4)
                    entry[f"{key}_interval"] = [plain(low[row, column], 4), plain(high[row, column], 4)]
                found.append(entry)
        return found

    def _sums(self) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
        if self._merged is None:
            ids, at = np.unique(np.concatenate([ids for ids, _ in self._origins]), return_inverse=True)
            merged = {}
            for name in self._origins[0][1]:
                sides = []
                for side in (0, 1):
                    values = np.concatenate([sums[name][side] for _, sums in self._origins]).astype(np.float64)
                    total = np.zeros((len(ids), *values.shape[1:]))
                    np.add.at(total, at, values)
                    sides.append(total)
                merged[name] = (sides[0], sides[1])
            self._merged = ids, merged
        return self._merged


def draws(items: int, seed: int = 0, count: int = BOOTSTRAPS) -> np.ndarray:
    """How often each item is drawn, float64 (count, items)."""
    return np.random.default_rng(seed).multinomial(items, np.full(items, 1.0 / items), size=count).astype(np.float64)


def ratio(scores: Scores, baseline: Scores, name: str = "wql", seed: int = 0) -> Interval:
    """A score over the baseline's, and its 95 % interval: both are drawn together.

    Raises:
        ValueError: they were scored on different items.
    """
    if scores.item_ids != baseline.item_ids:
        raise ValueError(f"{scores.model} and {baseline.model} were scored on different items: score them together")
    weights = draws(scores.items, seed)
    low, high = quantiles_known(_over(scores.drawn(name, weights), baseline.drawn(name, weights)))
    return float(_over(scores.value(name), baseline.value(name))), float(low), float(high)


def quantiles_known(values: np.ndarray) -> np.ndarray:
    """Ends of the interval over the first axis, (2, ...); NaN where any draw is not known."""
    return np.quantile(values, INTERVAL, axis=0)


def plain(value: np.ndarray | float, digits: int | None = None) -> float | None:
    """A number for JSON: None for NaN."""
    number = float(value)
    if not np.isfinite(number):
        return None
    return number if digits is None else round(number, digits)


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0.0)
