"""Conformal correction of quantiles, fitted on rolling origins.

A model's quantiles are right on the data that it learnt from, and rarely on
others. On origins whose truth is known, each truth has a level: the one at
which the model's own quantile is that truth. If the levels are not uniform,
the model's quantile at level p is replaced by its quantile at the level below
which a share p of the truths lay (recalibration by the probability integral
transform: Dawid 1984; Kuleshov, Fenner and Ermon 2018; with the rank of split
conformal prediction, Vovk, Gammerman and Shafer 2005). The promise is on average over items, for
days like those it was fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.protocol import InputError

#: Days ahead that share one correction: first and last.
STEPS = ((1, 3), (4, 7), (8, 14), (15, 28))
#: Fewer truths than this say too little: the quantiles stay as they are.
TRUTHS_MIN = 100
#: No level is moved beyond these.
LEVEL_MIN, LEVEL_MAX = 0.0005, 0.9995
SEED = 20


@dataclass(frozen=True)
class Calibration:
    """Which of the model's levels to read for each level asked."""

    levels: tuple[float, ...]
    #: float64 (steps, levels).
    days: np.ndarray
    total_levels: tuple[float, ...]
    #: float64 (total days, total levels).
    totals: np.ndarray
    #: What it was fitted on, in words.
    fitted_on: str

    def of_days(self, units: np.ndarray) -> np.ndarray:
        """Corrects quantiles of shape (items, days, levels), units; still ascending and not negative."""
        moved = np.empty_like(units)
        for (first, last), read in zip(STEPS, self.days, strict=True):
            moved[:, first - 1 : last] = quantile_at(units[:, first - 1 : last], self.levels, read)
        moved[:, STEPS[-1][1] :] = quantile_at(units[:, STEPS[-1][1] :], self.levels, self.days[-1])
        return moved

    def of_totals(self, units: np.ndarray) -> np.ndarray:
        """Corrects totals of shape (items, total days, total levels), units."""
        return np.stack(
            [quantile_at(units[:, row], self.total_levels, read) for row, read in enumerate(self.totals)], axis=1
        )

    def save(self, path: Path) -> None:
        """Writes JSON."""
        stored = {
            "fitted_on": self.fitted_on,
            "steps": STEPS,
            "levels": self.levels,
            "days": self.days.round(5).tolist(),
            "total_levels": self.total_levels,
            "totals": self.totals.round(5).tolist(),
        }
        path.write_text(json.dumps(stored, indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> Calibration:
        """Reads what `save` wrote.

        Raises:
            InputError: it is not that.
        """
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            if [tuple(step) for step in stored["steps"]] != list(STEPS):
                raise ValueError(f"its steps are {stored['steps']}")
            days, totals = np.array(stored["days"], float), np.array(stored["totals"], float)
            levels, total_levels = tuple(stored["levels"]), tuple(stored["total_levels"])
            if days.shape != (len(STEPS), len(levels)) or totals.shape[1:] != (len(total_levels),):
                raise ValueError("its corrections do not fit its levels")
            return Calibration(levels, days, total_levels, totals, stored["fitted_on"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no calibration: {error}; fit it again") from error


def fit(
    truth: np.ndarray,
    quantiles: np.ndarray,
    levels: Sequence[float],
    totals: np.ndarray,
    total_days: Sequence[int],
    total_levels: Sequence[float],
    fitted_on: str,
) -> Calibration:
    """Fits the correction.

    Args:
        truth: units, shape (windows, days); NaN where the day's demand is not known.
        quantiles: uncorrected, units, shape (windows, days, levels).
        totals: uncorrected, units, shape (windows, total days, total levels).
    """
    rng = np.random.default_rng(SEED)
    days = np.empty((len(STEPS), len(levels)))
    for row, (first, last) in enumerate(STEPS):
        part = truth[:, first - 1 : last]
        known = np.isfinite(part)
        days[row] = _read(part[known], quantiles[:, first - 1 : last][known], levels, rng)
    read = np.empty((len(total_days), len(total_levels)))
    for row, count in enumerate(total_days):
        sums = truth[:, :count].sum(axis=1)
        known = np.isfinite(sums)
        read[row] = _read(sums[known], totals[known, row], total_levels, rng)
    return Calibration(tuple(levels), days, tuple(total_levels), read, fitted_on)


def _read(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """The level to read for each level asked."""
    if len(truth) < TRUTHS_MIN:
        return np.asarray(levels, float)
    own = level_of(truth, quantiles, levels, rng)
    rank = np.clip(np.asarray(levels) * (len(own) + 1) / len(own), 0.0, 1.0)
    return np.clip(np.quantile(own, rank), LEVEL_MIN, LEVEL_MAX)


def level_of(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """The level at which the quantile function is the truth; drawn at random where it is so over a range.

    Args:
        truth: shape (n,).
        quantiles: shape (n, levels), ascending.
    """
    own = np.asarray(levels, float)
    under = (quantiles < truth[:, None]).sum(axis=1)
    upto = (quantiles <= truth[:, None]).sum(axis=1)
    padded = np.concatenate([np.zeros((len(truth), 1)), quantiles], axis=1)
    edges = np.concatenate([[0.0], own])
    row = np.arange(len(truth))
    last = np.minimum(under, len(own) - 1)
    low, high = padded[row, last], padded[row, last + 1]
    share = np.divide(truth - low, high - low, out=np.zeros(len(truth)), where=high > low)
    between = edges[last] + share.clip(0.0, 1.0) * (edges[last + 1] - edges[last])
    beyond = 1.0 - (1.0 - own[-1]) * 10.0 ** (-(truth - quantiles[:, -1]) / _decade(quantiles, own))
    level = np.where(under == len(own), beyond, between)
    tied = upto > under
    start = np.where(under == 0, 0.0, own[np.minimum(under, len(own) - 1)])
    end = np.where(upto == len(own), 1.0, own[np.maximum(upto, 1) - 1])
    return np.where(tied, start + rng.random(len(truth)) * (end - start), level)


def quantile_at(quantiles: np.ndarray, levels: Sequence[float], asked: np.ndarray) -> np.ndarray:
    """The quantile function at ascending levels: straight between its own, an exponential tail above them.

    Args:
        quantiles: shape (..., levels), not negative.

    Returns:
        shape (..., asked), ascending.
    """
    own = np.asarray(levels, float)
    edges = np.concatenate([[0.0], own])
    padded = np.concatenate([np.zeros_like(quantiles[..., :1]), quantiles], axis=-1)
    above = np.clip(np.searchsorted(edges, asked), 1, len(own))
    share = ((asked - edges[above - 1]) / (edges[above] - edges[above - 1])).clip(0.0, 1.0)
    between = padded[..., above - 1] * (1.0 - share) + padded[..., above] * share
    decades = np.log10((1.0 - own[-1]) / (1.0 - np.maximum(asked, own[-1])))
    tail = quantiles[..., -1:] + _decade(quantiles, own)[..., None] * decades
    return np.maximum.accumulate(np.where(asked > own[-1], tail, between), axis=-1).astype(quantiles.dtype)


def _decade(quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Units by which the tail goes on while the share above it falls to a tenth."""
    at = int(np.argmin(np.abs(levels - (1.0 - 10.0 * (1.0 - levels[-1])))))
    decades = np.log10((1.0 - levels[at]) / (1.0 - levels[-1]))
    return np.maximum((quantiles[..., -1] - quantiles[..., at]) / decades, 1e-9)
