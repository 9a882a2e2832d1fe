"""Series that a model is asked about before it serves, and how far apart two of its answers are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models import Forecaster, InputError, PanelForecaster
from models.protocol import DEFAULT_QUANTILES, PassShape

PROBE_LENGTHS = 16
PROBE_SHORT_DAYS = 14
PROBE_GROUP = 4
PROBE_DAYS = 56
PROBE_HORIZON = 28
PROBE_SEED = 7


class UnfitModelError(InputError):
    """A model is not fit to be put into service; the message says why."""


class Probes:
    """What a model says eagerly, and how far from it it is later.

    Args:
        shapes: of passes that it shall be tried on too; all of one length and
            kind are of the same series, repeated.
    """

    def __init__(self, model: Forecaster | PanelForecaster, shapes: Sequence[PassShape]):
        self._model = model
        self._horizon = min(
            PROBE_HORIZON, getattr(getattr(model, "config", model), "horizon_days", None) or PROBE_HORIZON
        )
        self._context = probe(getattr(model, "context_days", None) or PROBE_DAYS)
        self._eager = answers(model, self._context, self._horizon)
        self._shapes = {shape: uniform(shape) for shape in shapes}
        self._expected = {
            (shape.days, shape.grouped): answers(model, uniform(shape._replace(series=PROBE_LENGTHS)), self._horizon)
            for shape in shapes
        }

    def difference(self, *, shapes: bool = False) -> float:
        """Largest difference of a series' forecasts from the eager ones as a share of their sum.

        Args:
            shapes: try every shape too.
        """
        model, horizon = self._model, self._horizon
        off = [difference(self._eager, answers(model, self._context, horizon))]
        # Single series take the smallest batch bucket.
        alone = self._context.filter(pa.compute.equal(self._context["item_id"], "probe-00"))
        off.append(difference(self._eager[:1], answers(model, alone, horizon)))
        for shape, context in self._shapes.items() if shapes else ():
            row = np.arange(shape.series) % PROBE_LENGTHS
            off.append(difference(self._expected[shape.days, shape.grouped][row], answers(model, context, horizon)))
        return max(off)


def uniform(shape: PassShape) -> pa.Table:
    """A context that fills a shape: `PROBE_LENGTHS` series, in fours where grouped, again and again."""
    rng = np.random.default_rng(PROBE_SEED)
    day = np.arange(20_000 - shape.days, 20_000)
    rate = np.linspace(0.5, 40.0, PROBE_LENGTHS)[:, None] * (1.0 + 0.5 * np.sin(2.0 * np.pi * day / 7.0))
    sold = rng.poisson(rate).astype(np.float64)
    row = np.arange(shape.series)
    columns = {
        "item_id": np.repeat([f"probe-{index:06d}" for index in row], shape.days),
        "timestamp": np.tile(day, shape.series).astype("datetime64[D]"),
        "target": sold[row % PROBE_LENGTHS].ravel(),
    }
    if shape.grouped:
        columns["group"] = np.repeat(row // PROBE_GROUP, shape.days)
    return pa.table(columns)


def probe(context_days: int) -> pa.Table:
    """A context of weekly demand, one series for each sixteenth of the context, and a short one."""
    rng = np.random.default_rng(PROBE_SEED)
    items, days, sold = [], [], []
    for index in range(PROBE_LENGTHS + 1):
        length = max(1, (index + 1) * context_days // PROBE_LENGTHS) if index < PROBE_LENGTHS else PROBE_SHORT_DAYS
        day = np.arange(20_000 - length, 20_000)
        items.append(np.full(length, f"probe-{index:02d}"))
        days.append(day)
        sold.append(rng.poisson((2.0 + 3.0 * index) * (1.0 + 0.5 * np.sin(2.0 * np.pi * day / 7.0))))
    return pa.table(
        {
            "item_id": np.concatenate(items),
            "timestamp": np.concatenate(days).astype("datetime64[D]"),
            "target": np.concatenate(sold).astype(np.float64),
        }
    )


def answers(model: Forecaster | PanelForecaster, context: pa.Table, horizon: int, *, known: bool = True) -> np.ndarray:
    """Forecasts of the probe, float64 (items, horizon x columns); with `known`, 0 for what the model does not know.

    Raises:
        UnfitModelError: the table is not a forecast table of these items.
    """
    table = model.predict(context, None, horizon, DEFAULT_QUANTILES)
    items = sorted(context["item_id"].unique().to_pylist())
    if table.num_rows != len(items) * horizon or table["item_id"].to_pylist()[::horizon] != items:
        raise UnfitModelError(
            f"model {model.name}@{model.version} answers {len(items)} items over {horizon} days with {table.num_rows} rows: see the tables in models/protocol.py"
        )
    values = np.stack([column.to_numpy().astype(np.float64) for column in table.columns[2:]], axis=1)
    if np.isinf(values).any() or (values < 0.0).any():
        raise UnfitModelError(f"model {model.name}@{model.version} forecasts negative or infinite demand on the probe")
    by_item = values.reshape(len(items), -1)
    return np.nan_to_num(by_item) if known else by_item


def difference(eager: np.ndarray, after: np.ndarray) -> float:
    """Largest difference of a series' forecasts as a share of their sum."""
    apart = np.abs(eager - after).sum(axis=1)
    total = np.abs(eager).sum(axis=1)
    return float((apart / np.maximum(total, 1e-6)).max())
