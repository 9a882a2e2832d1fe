"""Loads forecasters and answers forecast jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from models import Forecaster, InputError, Panel, PanelForecaster, panel_from_tables
from models.catalogue import UnknownModelError, open_model
from models.panel import concat_panels
from models.protocol import DEFAULT_QUANTILES, check_horizon, check_quantiles, forecast_table
from serving.deployments.batcher import Batcher
from serving.deployments.jobs import (
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
    RefusalKind,
    Refused,
    process_name,
)
from serving.deployments.totals import with_totals
from serving.worker_ipc import TableError, read_table, write_table

QUEUE_MAX = 256
PARSING_THREADS = 2


class ForecastUnit:
    """Holds the loaded models of one process."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        batch_items_max: int,
        model_threads: int,
        registry: Path | None = None,
        replica: str | None = None,
    ):
        if model_threads:
            import torch

            torch.set_num_threads(model_threads)
        self._models: dict[str, Forecaster | PanelForecaster] = {name: open_model(name, registry) for name in names}
        self._default = names[0]
        self._replica = replica or process_name()
        self._parsing = ThreadPoolExecutor(PARSING_THREADS, "forecast-tables")
        # One pass at a time: the arithmetic itself uses all threads it is given.
        self._computing = ThreadPoolExecutor(1, "forecast-model")
        self._batcher: Batcher[Panel, np.ndarray] = Batcher(
            self._pass, self._computing, size_max=batch_items_max, queue_max=QUEUE_MAX
        )

    def offered(self) -> list[Offered]:
        """Models by the names that requests use, and their versions; the default first."""
        return [Offered(name, model.version) for name, model in self._models.items()]

    async def warm_up(self) -> None:
        """Runs every model once, so that the first caller does not pay for its start."""
        day = np.arange(20_000, 20_056).astype("datetime64[D]")
        context = pa.table({"item_id": ["warm"] * 56, "timestamp": day, "target": np.arange(56.0)})
        loop = asyncio.get_running_loop()
        for model in self._models.values():
            await loop.run_in_executor(self._computing, model.predict, context, None, 7, DEFAULT_QUANTILES)

    async def forecast(self, job: ForecastJob) -> ForecastAnswer | Refusal:
        """Answers one job."""
        arrived = time.monotonic()
        expires = None if job.patience_s is None else arrived + job.patience_s
        try:
            answer = await self._forecast(job, arrived, expires)
            if not job.totals:
                return answer
            model = self._models[job.model or self._default]
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._computing, with_totals, model, job, answer)
        except Refused as refused:
            return refused.refusal
        except (InputError, TableError) as error:
            return Refusal(RefusalKind.INVALID, str(error))

    async def _forecast(self, job: ForecastJob, arrived: float, expires: float | None) -> ForecastAnswer:
        name = job.model or self._default
        model = self._models.get(name)
        if model is None:
            raise Refused(
                RefusalKind.NOT_FOUND, f"no model {name!r} here, only {sorted(self._models)}: name one of them"
            )
        levels = check_quantiles(job.quantiles or DEFAULT_QUANTILES)
        horizon = check_horizon(job.horizon)
        loop = asyncio.get_running_loop()
        if not isinstance(model, PanelForecaster):
            return await self._whole(job, model, horizon, levels, arrived)
        panel = await loop.run_in_executor(self._parsing, parse, job, model, horizon)
        started = time.monotonic()
        values, queued, batch = await self._batcher.submit((name, horizon, levels), panel, panel.items, expires)
        computed = time.monotonic() - started - queued
        table = await loop.run_in_executor(self._parsing, lambda: write_table(forecast_table(panel, values, levels)))
        return ForecastAnswer(
            table, panel.items, model.name, model.version, self._replica, batch, started - arrived + queued, computed
        )

    async def _whole(
        self, job: ForecastJob, model: Forecaster, horizon: int, levels: tuple[float, ...], arrived: float
    ) -> ForecastAnswer:
        """A model that takes only whole tables: its calls are not batched."""

        def compute() -> tuple[pa.Table, float]:
            begun = time.monotonic()
            future = read_table(job.future, "future") if len(job.future) else None
            return model.predict(read_table(job.context, "context"), future, horizon, levels), begun

        table, begun = await asyncio.get_running_loop().run_in_executor(self._computing, compute)
        series = table.num_rows // horizon
        return ForecastAnswer(
            write_table(table),
            series,
            model.name,
            model.version,
            self._replica,
            series,
            begun - arrived,
            time.monotonic() - begun,
        )

    def _pass(self, key: Hashable, panels: Sequence[Panel]) -> list[np.ndarray]:
        """One pass of a model over the panels of several callers."""
        name, horizon, levels = cast(tuple[str, int, tuple[float, ...]], key)
        model = self._models[name]
        if not isinstance(model, PanelForecaster):
            raise TypeError(f"model {name} takes no panels")
        values = model.predict_panel(concat_panels(panels), horizon, levels)
        ends = np.cumsum([panel.items for panel in panels])
        return np.split(values, ends[:-1])

    def close(self) -> None:
        """Waits for the pass under way and starts no other."""
        self._parsing.shutdown(cancel_futures=True)
        self._computing.shutdown(cancel_futures=True)


def parse(job: ForecastJob, model: PanelForecaster, horizon: int) -> Panel:
    """Reads and checks the tables of a job."""
    context = read_table(job.context, "context")
    future = read_table(job.future, "future") if len(job.future) else None
    return panel_from_tables(context, future, horizon, model.context_days, model.covariates)


__all__ = ["ForecastUnit", "UnknownModelError"]
