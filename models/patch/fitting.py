"""Calibration of a trained network on origins whose truth is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.calibration import Calibration, fit
from models.panel import Panel, panel_from_tables
from models.patch.config import PatchConfig
from models.patch.forecaster import PatchForecaster, totals_of, units_of
from models.simulated import held_out

SIMULATED_ITEMS = 3000
#: A seed of its own: neither of training nor of the test.
SIMULATED_SEED = 2**63 + 2
ORIGINS = 3
ORIGIN_STRIDE_DAYS = 9
ITEMS_MAX = 5000


def read_history(table: pa.Table, config: PatchConfig) -> Panel:
    """All days of all items as a panel of horizon 0."""
    return panel_from_tables(table, None, 0, 10**6, config.covariates, tuple(config.static))


def calibrate_on_simulated(model: PatchForecaster) -> Calibration:
    """On simulated items of many lengths, whose demand is known."""
    parts = [
        predictions(model, *held_out(SIMULATED_ITEMS // 3, days, SIMULATED_SEED + index))
        for index, days in enumerate((91, 182, 364))
    ]
    return fitted(model, parts, "simulated demand")


def calibrate_on_panel(model: PatchForecaster, history: Panel, origins: int = ORIGINS) -> Calibration:
    """On the last origins of a history that leave a whole horizon; days with a stock-out are left out."""
    rng = np.random.default_rng(0)
    if history.items > ITEMS_MAX:
        history = history.rows(np.sort(rng.choice(history.items, ITEMS_MAX, replace=False)))
    ahead = model.config.horizon_days
    parts = []
    for index in range(origins):
        days = history.days - ahead - index * ORIGIN_STRIDE_DAYS
        if days < 1:
            break
        truth = np.where(history.stockout > 0.0, np.nan, history.target)[:, days : days + ahead]
        covariates = {name: values[:, : days + ahead] for name, values in history.covariates.items()}
        past = Panel(
            history.item_ids,
            history.last_day - (history.days - days),
            history.target[:, :days],
            history.stockout[:, :days],
            covariates,
            None if history.unmet is None else history.unmet[:, :days],
            history.group,
            history.static,
        )
        parts.append(predictions(model, past, truth))
    if not parts:
        return calibrate_on_simulated(model)
    return fitted(model, parts, f"{history.items} series, {len(parts)} origins, days in stock")


def predictions(model: PatchForecaster, panel: Panel, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, daily quantiles and totals, uncorrected, of the items that can be forecast."""
    rows, units, totals = [], [], []
    for chosen, output in model.passes(panel):
        rows.append(chosen)
        units.append(units_of(output, model.config))
        totals.append(totals_of(output))
    return truth[np.concatenate(rows)], np.concatenate(units), np.concatenate(totals)


def fitted(
    model: PatchForecaster, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]], fitted_on: str
) -> Calibration:
    """One calibration over all parts."""
    truth, units, totals = (np.concatenate(column) for column in zip(*parts, strict=True))
    config = model.config
    return fit(truth, units, config.levels, totals, config.total_days, config.total_levels, fitted_on)
