"""One loaded model version: reads tables, shares passes, answers forecast jobs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa

from models import Forecaster, InputError, Panel, PanelForecaster, panel_from_tables
from models.catalogue import open_model
from models.panel import concat_panels
from models.protocol import DEFAULT_QUANTILES, TotalsForecaster, check_horizon, check_quantiles, forecast_table
from models.totals import check_horizons
from serving.deployments.batcher import Batcher
from serving.deployments.health import HealthProbe, gaps, has_nulls
from serving.deployments.jobs import (
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
    RefusalKind,
    Refused,
    process_name,
)
from serving.deployments.preparation import Settings, gpu_bytes, prepare
from serving.deployments.probes import UnfitModelError
from serving.deployments.totals import gives_totals, own_totals, with_approximate_totals
from serving.worker_config import WorkerConfig
from serving.worker_ipc import TableError, read_table, write_table

QUEUE_MAX = 256
PARSING_THREADS = 2
#: Far below the half minute that Ray Serve gives a check.
HEALTH_WAIT_S = 10.0


class Values(NamedTuple):
    """What a pass gave for one caller: float64 (items, horizon, 1 + levels), and (items, total days, 1 + levels)."""

    days: np.ndarray
    totals: np.ndarray | None


class ForecastUnit:
    """One version of a model in this process, ready to be asked once constructed.

    Args:
        name: what `open_model` takes.
        computing: one thread that asks the model; units that share it take turns,
            as the arithmetic itself uses all threads it is given.

    Raises:
        InputError: the model cannot be loaded, or is not fit; see `preparation`.
    """

    def __init__(
        self,
        name: str,
        config: WorkerConfig,
        *,
        computing: ThreadPoolExecutor | None = None,
        replica: str | None = None,
    ):
        settings = Settings(config.precision, config.compiled, config.device, config.parity_tolerance, config.graphs)
        try:
            self._model: Forecaster | PanelForecaster = open_model(name, config.registry)
            torch = sys.modules.get("torch")
            if config.model_threads and torch is not None:  # else the model does without it
                torch.set_num_threads(config.model_threads)
            prepared = prepare(self._model, settings)
            self._health = HealthProbe(self._model)
        except InputError:
            raise
        except Exception as error:
            raise UnfitModelError(
                f"model {name} cannot be loaded and asked: {type(error).__name__}: {error}"
            ) from error
        self._checking: asyncio.Future[None] | None = None
        self.offered = Offered(self._model.name, self._model.version, str(prepared), prepared.declined)
        self._replica = replica or process_name()
        self._parsing = ThreadPoolExecutor(PARSING_THREADS, "forecast-tables")
        self._own = None if computing else ThreadPoolExecutor(1, "forecast-model")
        self._computing = computing or cast(ThreadPoolExecutor, self._own)
        self._batcher: Batcher[Panel, Values] = Batcher(
            self._pass, self._computing, size_max=config.batch_items_max, queue_max=QUEUE_MAX
        )

    async def forecast(self, job: ForecastJob) -> ForecastAnswer | Refusal:
        """Answers one job, whichever model it names.

        Raises:
            BrokenModelError: the model cannot answer this nor what it could when it was loaded.
        """
        arrived = time.monotonic()
        expires = None if job.patience_s is None else arrived + job.patience_s
        try:
            levels = check_quantiles(job.quantiles or DEFAULT_QUANTILES)
            horizon = check_horizon(job.horizon)
            days = check_horizons(job.totals) if job.totals else ()
            if isinstance(self._model, PanelForecaster):
                answer = await self._shared(job, self._model, horizon, levels, expires)
            else:
                answer = await self._whole(job, self._model, horizon, levels, expires)
            if not days or answer.totals is not None:
                return answer
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._parsing, with_approximate_totals, answer, days, levels)
        except Refused as refused:
            return refused.refusal
        except (InputError, TableError) as error:
            return Refusal(RefusalKind.INVALID, str(error))

    async def _shared(
        self, job: ForecastJob, model: PanelForecaster, horizon: int, levels: tuple[float, ...], expires: float | None
    ) -> ForecastAnswer:
        """A model of panels: calls that wait together share a pass."""
        loop = asyncio.get_running_loop()
        begun = time.monotonic()
        both = gives_totals(model, job.totals)
        ahead = cast(TotalsForecaster, model).horizon_days if both else horizon
        panel = await loop.run_in_executor(self._parsing, parse, job, model, max(ahead, horizon))
        decoded = time.monotonic()
        done, queued_s, batch = await self._batcher.submit((horizon, levels, both), panel, panel.items, expires)
        computed = time.monotonic()

        def written() -> tuple[pa.Buffer, pa.Buffer | None]:
            table = write_table(forecast_table(panel, done.days, levels))
            if done.totals is None:
                return table, None
            return table, own_totals(cast(TotalsForecaster, model), panel, done.totals, job.totals, levels)

        table, totals = await loop.run_in_executor(self._parsing, written)
        return ForecastAnswer(
            table,
            panel.items,
            self.offered.name,
            self.offered.version,
            self._replica,
            batch,
            queued_s,
            computed - decoded - queued_s,
            decoded - begun,
            time.monotonic() - computed,
            gpu_bytes(),
            totals,
        )

    async def _whole(
        self, job: ForecastJob, model: Forecaster, horizon: int, levels: tuple[float, ...], expires: float | None
    ) -> ForecastAnswer:
        """A model that takes only whole tables: its calls are not batched."""
        arrived = time.monotonic()

        def compute() -> ForecastAnswer:
            begun = time.monotonic()
            if expires is not None and begun >= expires:
                raise Refused(RefusalKind.LATE, f"the deadline passed after {begun - arrived:.3f} s in the queue")
            future = read_table(job.future, "future") if len(job.future) else None
            context = read_table(job.context, "context")
            decoded = time.monotonic()
            try:
                table = model.predict(context, future, horizon, levels)
            except InputError:
                raise
            except Exception:
                self._health()
                raise
            if has_nulls(table):
                self._health()
            computed = time.monotonic()
            series = table.num_rows // horizon
            written = write_table(table)
            return ForecastAnswer(
                written,
                series,
                self.offered.name,
                self.offered.version,
                self._replica,
                series,
                begun - arrived,
                computed - decoded,
                decoded - begun,
                time.monotonic() - computed,
                gpu_bytes(),
            )

        return await asyncio.get_running_loop().run_in_executor(self._computing, compute)

    def _pass(self, key: Hashable, panels: Sequence[Panel]) -> list[Values]:
        """One pass of the model over the panels of several callers."""
        horizon, levels, both = cast(tuple[int, tuple[float, ...], bool], key)
        panel = panels[0] if len(panels) == 1 else concat_panels(panels)
        try:
            if both:
                days, totals = cast(TotalsForecaster, self._model).predict_panel_with_totals(panel, horizon, levels)
            else:
                days, totals = cast(PanelForecaster, self._model).predict_panel(panel, horizon, levels), None
        except InputError:
            raise
        except Exception:
            self._health()  # raises when the fault is the model's and not this panel's
            raise
        if gaps(panel, days):
            self._health()
        ends = np.cumsum([panel.items for panel in panels])[:-1]
        parts = [None] * len(panels) if totals is None else np.split(totals, ends)
        return [Values(*each) for each in zip(np.split(days, ends), parts, strict=True)]

    async def check_health(self) -> None:
        """Asks the model a small question, between two passes.

        Raises:
            BrokenModelError: it fails a question that it answered when it was loaded.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().run_in_executor(self._computing, self._health)
        # A long pass is no illness: the question waits for its turn, and the next check for the question.
        done, _ = await asyncio.wait([self._checking], timeout=HEALTH_WAIT_S)
        for one in done:
            one.result()

    def close(self) -> None:
        """Waits for the pass under way and starts no other."""
        self._parsing.shutdown(cancel_futures=True)
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)


def parse(job: ForecastJob, model: PanelForecaster, horizon: int) -> Panel:
    """Reads and checks the tables of a job."""
    context = read_table(job.context, "context")
    future = read_table(job.future, "future") if len(job.future) else None
    return panel_from_tables(context, future, horizon, model.context_days, model.covariates, model.static_columns)
