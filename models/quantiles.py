"""Quantile functions given at some levels: read at others, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def at_levels(units: np.ndarray, levels: Sequence[float], asked: Sequence[float]) -> np.ndarray:
    """The asked quantiles from those at the network's levels.

    Between two levels the quantile is interpolated linearly; beyond the outer
    levels it stays at the outer one.

    Returns:
        float64 (..., asked).
    """
    own = np.asarray(levels)
    want = np.clip(np.asarray(asked), own[0], own[-1])
    above = np.clip(np.searchsorted(own, want), 1, len(own) - 1)
    share = (want - own[above - 1]) / (own[above] - own[above - 1])
    values = units.astype(np.float64)
    between = values[..., above - 1] * (1.0 - share) + values[..., above] * share
    # The average of two equal floats may differ from them in the last digit.
    return np.maximum.accumulate(between, axis=-1)


def mean_of(units: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Integral of the quantile function, straight between the levels and flat beyond them.

    Args:
        units: shape (..., levels), ascending.

    Returns:
        float64 of shape (...).
    """
    widths = np.diff(np.asarray(levels), prepend=0.0, append=1.0)
    edges = np.concatenate([units[..., :1], units, units[..., -1:]], axis=-1)
    return np.asarray(((edges[..., 1:] + edges[..., :-1]) / 2.0 * widths).sum(axis=-1), np.float64)
