"""Scores of quantile forecasts; lower is better unless said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pinball(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Twice the pinball loss.

    Args:
        truth: shape (...,), units; NaN where not to be scored.
        quantiles: shape (..., levels), units.
        levels: of the last axis.

    Returns:
        shape (..., levels); NaN where truth is.
    """
    error = truth[..., None] - quantiles
    level = np.asarray(levels)
    return 2.0 * np.maximum(level * error, (level - 1.0) * error)


def weighted_quantile_loss(truth: np.ndarray, quantiles: np.ndarray, levels: Sequence[float]) -> float:
    """Sum of twice the pinball loss over all rows, mean over levels, over the sum of |truth|."""
    loss = np.nansum(pinball(truth, quantiles, levels)) / len(levels)
    return float(loss / np.nansum(np.abs(truth)))


def coverage(truth: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Share of the known truths within [low, high]."""
    known = np.isfinite(truth)
    return float(((truth >= low) & (truth <= high))[known].mean())
