"""A held-out test on simulated demand, whose truth is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.metrics import coverage, weighted_quantile_loss
from models.panel import Panel
from models.protocol import DEFAULT_QUANTILES, PanelForecaster
from models.simulator import simulate

#: Seeds from here on are never drawn in training.
HELD_OUT_SEED = 2**63 + 1
HORIZON_DAYS = 28


def held_out(items: int, days: int, seed: int = HELD_OUT_SEED) -> tuple[Panel, np.ndarray]:
    """A panel of simulated sales, and the true demand of the 28 days after it.

    Returns:
        the panel with price, promotion and holiday known ahead; the demand,
        float32 (items, 28), NaN for items that had not been launched.
    """
    made = simulate(items, days + HORIZON_DAYS, seed)
    names = pa.array([f"item-{index:06d}" for index in range(items)])
    sales = made.sales[:, :days]
    covariates = {"price": made.price, "promotion": made.promotion, "holiday": made.holiday}
    panel = Panel(names, made.first_day + days - 1, sales, made.stockout[:, :days], covariates)
    launched = np.isfinite(sales).any(axis=1)
    return panel, np.where(launched[:, None], made.demand[:, days:], np.nan)


def score(model: PanelForecaster, items: int = 2000, days: int = 364) -> dict[str, float]:
    """Weighted quantile loss and coverage of a model on held-out simulated demand."""
    panel, truth = held_out(items, days)
    values = model.predict_panel(panel, HORIZON_DAYS, DEFAULT_QUANTILES)
    truth = np.where(np.isfinite(values[..., 0]), truth, np.nan)
    return {
        "wql": weighted_quantile_loss(truth, values[..., 1:], DEFAULT_QUANTILES),
        "coverage_80": coverage(truth, values[..., 1], values[..., -1]),
        "below_q90": coverage(truth, np.zeros_like(truth), values[..., -1]),
        "bias_mean": float(np.nansum(values[..., 0] - truth) / np.nansum(truth)),
    }
