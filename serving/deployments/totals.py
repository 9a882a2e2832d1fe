"""Totals beside a forecast: from the model's own head, else made of its forecasts by day."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc

from models.protocol import DEFAULT_QUANTILES, check_quantiles
from models.totals import approximate_totals, check_horizons
from serving.deployments.jobs import ForecastAnswer, ForecastJob
from serving.worker_ipc import read_table, write_table


def with_totals(model: object, job: ForecastJob, answer: ForecastAnswer) -> ForecastAnswer:
    """Adds the totals that a job asks for to its answer.

    Raises:
        InputError: the horizons do not ascend, or reach beyond the forecast of a model without a head for totals.
    """
    horizons = check_horizons(job.totals)
    levels = check_quantiles(job.quantiles or DEFAULT_QUANTILES)
    predict = getattr(model, "predict_totals", None)
    if predict is not None:
        future = read_table(job.future, "future") if len(job.future) else None
        table = predict(read_table(job.context, "context"), future, levels)
        given = set(pc.unique(table["horizon_days"]).to_pylist())
        if given >= set(horizons):
            wanted = pc.is_in(table["horizon_days"], pa.array(horizons, table.schema.field("horizon_days").type))
            return dataclasses.replace(answer, totals=write_table(table.filter(wanted)))
    table = approximate_totals(read_table(answer.table, "forecast"), horizons, levels)
    return dataclasses.replace(answer, totals=write_table(table), totals_approximate=True)
