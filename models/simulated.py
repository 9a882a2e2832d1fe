"""A held-out test on simulated demand, whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.metrics import coverage, weighted_quantile_loss
from models.panel import Panel
from models.protocol import DEFAULT_QUANTILES, InputError, PanelForecaster, TotalsForecaster
from models.simulator import simulate

#: Seeds from here on are never drawn in training.
HELD_OUT_SEED = 2**63 + 1
HORIZON_DAYS = 28
#: What the simulator tells of past and coming days, and what of it a caller is taken to know.
COVARIATES = ("price", "price_ratio", "promotion", "holiday", "temperature", "precipitation")
USUALLY_KNOWN = ("price", "promotion", "holiday")
#: The total that is scored, and the level of its stock.
TOTAL_DAYS = 7
TOTAL_LEVEL = 0.9


def held_out(
    items: int, days: int, seed: int = HELD_OUT_SEED, covariates: Sequence[str] = USUALLY_KNOWN
) -> tuple[Panel, np.ndarray]:
    """A panel of simulated sales, and the true demand of the 28 days after it.

    Args:
        covariates: which are known, ahead too.

    Returns:
        the panel; the demand, float32 (items, 28), NaN for items that had not been launched.

    Raises:
        InputError: the simulator has no such covariate.
    """
    unknown = [name for name in covariates if name not in COVARIATES]
    if unknown:
        raise InputError(f"the simulator has no covariate {unknown[0]!r}: give some of {list(COVARIATES)}")
    made = simulate(items, days + HORIZON_DAYS, seed)
    names = pa.array([f"item-{index:06d}" for index in range(items)])
    sales = made.sales[:, :days]
    known = {name: getattr(made, name) for name in covariates}
    panel = Panel(names, made.first_day + days - 1, sales, made.stockout[:, :days], known)
    launched = np.isfinite(sales).any(axis=1)
    return panel, np.where(launched[:, None], made.demand[:, days:], np.nan)


def score(
    model: PanelForecaster, items: int = 2000, days: int = 364, covariates: Sequence[str] = USUALLY_KNOWN
) -> dict[str, float]:
    """Weighted quantile loss and coverage of a model on held-out simulated demand.

    Returns:
        wql, coverage_80, below_q90 and bias_mean; of a model with totals also week_in_q90, the share of items whose
        demand of 7 days is within its quantile at .9, and week_stock, these quantiles' sum over the demand's.

    Raises:
        InputError: see `held_out`.
    """
    panel, truth = held_out(items, days, covariates=covariates)
    totals: dict[str, float] = {}
    if isinstance(model, TotalsForecaster):
        values, sums = model.predict_panel_with_totals(panel, HORIZON_DAYS, DEFAULT_QUANTILES)
        level = 1 + DEFAULT_QUANTILES.index(TOTAL_LEVEL)
        stock, demand = sums[:, model.total_days.index(TOTAL_DAYS), level], truth[:, :TOTAL_DAYS].sum(axis=1)
        known = np.isfinite(stock) & np.isfinite(demand)
        totals["week_in_q90"] = float((demand <= stock)[known].mean())
        totals["week_stock"] = float(stock[known].sum() / demand[known].sum())
    else:
        values = model.predict_panel(panel, HORIZON_DAYS, DEFAULT_QUANTILES)
    truth = np.where(np.isfinite(values[..., 0]), truth, np.nan)
    return {
        "wql": weighted_quantile_loss(truth, values[..., 1:], DEFAULT_QUANTILES),
        "coverage_80": coverage(truth, values[..., 1], values[..., -1]),
        "below_q90": coverage(truth, np.zeros_like(truth), values[..., -1]),
        "bias_mean": float(np.nansum(values[..., 0] - truth) / np.nansum(truth)),
        **totals,
    }
