"""Models and solvers in the worker's own process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from bespeak.v1 import compute_pb2 as pb
from serving.deployments.allocate import AllocateUnit
from serving.deployments.forecast import ForecastUnit
from serving.deployments.health import BrokenModelError
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
)
from serving.worker_backend import BackendAwayError
from serving.worker_config import WorkerConfig


class LocalBackend:
    """See `Backend`."""

    source: pb.ComputeSource.ValueType = pb.COMPUTE_SOURCE_LOCAL

    def __init__(self, config: WorkerConfig):
        self._config = config
        self._units: dict[str, ForecastUnit] = {}
        self._computing = ThreadPoolExecutor(1, "forecast-model")
        self._allocations = AllocateUnit()

    async def start(self) -> None:
        """Nothing to wait for: solvers need no files."""

    async def load(self, unit: str) -> Offered:
        """See `Backend.load`. Passes of other units go on meanwhile."""
        loaded = await asyncio.to_thread(ForecastUnit, unit, self._config, computing=self._computing)
        self._units[unit] = loaded
        return loaded.offered

    async def unload(self, unit: str) -> None:
        """See `Backend.unload`."""
        await asyncio.to_thread(self._units.pop(unit).close)

    async def forecast(self, unit: str, job: ForecastJob) -> ForecastAnswer | Refusal:
        """See `Backend.forecast`."""
        try:
            return await self._units[unit].forecast(job)
        except BrokenModelError as error:
            raise BackendAwayError(f"{error}: start the worker again") from error

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """See `Backend.allocate`."""
        return await self._allocations.allocate(job)

    def replicas(self) -> dict[str, int]:
        """See `Backend.replicas`."""
        return dict.fromkeys(self._units, 1)

    def solvers(self) -> list[Offered]:
        """See `Backend.solvers`."""
        return self._allocations.offered()

    async def stop(self) -> None:
        """Waits for the passes under way."""
        for unit in self._units.values():
            await asyncio.to_thread(unit.close)
        await asyncio.to_thread(self._computing.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._allocations.close)
