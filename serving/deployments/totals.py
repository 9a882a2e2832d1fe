"""Totals beside a forecast: from the model's own head, in the same pass; else made of its forecasts by day."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from models import Forecaster, Panel, PanelForecaster
from models.protocol import TotalsForecaster, totals_table
from models.totals import approximate_totals
from serving.deployments.jobs import ForecastAnswer
from serving.worker_ipc import read_table, write_table


def gives_totals(model: Forecaster | PanelForecaster, days: tuple[int, ...]) -> bool:
    """Whether a pass of the model gives all of these totals."""
    return bool(days) and isinstance(model, TotalsForecaster) and set(days) <= set(model.total_days)


def own_totals(
    model: TotalsForecaster, panel: Panel, totals: np.ndarray, days: tuple[int, ...], levels: tuple[float, ...]
) -> pa.Buffer:
    """The totals that are wanted of those that a pass gave, as a table."""
    wanted = [model.total_days.index(each) for each in days]
    return write_table(totals_table(panel, totals[:, wanted], days, levels))


def with_approximate_totals(answer: ForecastAnswer, days: tuple[int, ...], levels: tuple[float, ...]) -> ForecastAnswer:
    """Adds totals made of an answer's forecasts by day.

    Raises:
        InputError: a total reaches beyond the forecast.
    """
    table = approximate_totals(read_table(answer.table, "forecast"), days, levels)
    return dataclasses.replace(answer, totals=write_table(table), totals_approximate=True)
