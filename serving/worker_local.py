"""Models and solvers in the worker's own process."""

from __future__ import annotations

import asyncio

from bespeak.v1 import compute_pb2 as pb
from serving.deployments.allocate import AllocateUnit
from serving.deployments.forecast import ForecastUnit
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
)
from serving.worker_config import WorkerConfig


class LocalBackend:
    """See `Backend`."""

    source: pb.ComputeSource.ValueType = pb.COMPUTE_SOURCE_LOCAL

    def __init__(self, config: WorkerConfig):
        self._config = config
        self._forecasts: ForecastUnit | None = None
        self._allocations = AllocateUnit()

    async def start(self) -> None:
        """Loads every model and runs it once."""

        def load() -> ForecastUnit:
            return ForecastUnit(
                self._config.models,
                batch_items_max=self._config.batch_items_max,
                model_threads=self._config.model_threads,
                registry=self._config.registry,
            )

        forecasts = await asyncio.to_thread(load)
        await forecasts.warm_up()
        self._forecasts = forecasts

    async def forecast(self, job: ForecastJob) -> ForecastAnswer | Refusal:
        """See `Backend.forecast`."""
        if self._forecasts is None:
            raise RuntimeError("forecast called before start")
        return await self._forecasts.forecast(job)

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """See `Backend.allocate`."""
        return await self._allocations.allocate(job)

    def models(self) -> list[Offered]:
        """See `Backend.models`."""
        return self._forecasts.offered() if self._forecasts else []

    def solvers(self) -> list[Offered]:
        """See `Backend.solvers`."""
        return self._allocations.offered()

    async def stop(self) -> None:
        """Waits for the passes under way."""
        if self._forecasts is not None:
            await asyncio.to_thread(self._forecasts.close)
        await asyncio.to_thread(self._allocations.close)
