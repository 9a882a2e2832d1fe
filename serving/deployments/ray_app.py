"""The units as Ray Serve deployments: wiring only. Importing this imports Ray.

Each deployment is reached through its handle. Tables above a size arrive as
references to Ray's object store, so that they are copied once and not pickled.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import ray
from ray import serve

from serving.deployments.allocate import AllocateUnit
from serving.deployments.forecast import ForecastUnit
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
    process_name,
)
from serving.worker_config import WorkerConfig

APP_FORECAST = "bespeak-forecast"
APP_ALLOCATE = "bespeak-allocate"
#: Far above Ray's default of 5, which would also cap every batch at 5 calls;
#: the units' own queues are what bounds the work.
ONGOING_MAX = 512


async def with_tables(job: Any, references: dict[str, ray.ObjectRef[Any]]) -> Any:
    """The job with the tables that came as references put in their fields."""
    if not references:
        return job
    tables = await asyncio.gather(*references.values())
    return dataclasses.replace(job, **dict(zip(references, tables, strict=True)))


def cores() -> int:
    """Cores of this node, as Ray counts them."""
    return int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]


@serve.deployment
class ForecastReplica:
    """`ForecastUnit` in a replica."""

    def __init__(self, config: WorkerConfig):
        replica = f"{serve.get_replica_context().replica_id.unique_id}/{process_name()}"
        self._unit = ForecastUnit(
            config.models,
            batch_items_max=config.batch_items_max,
            model_threads=config.model_threads or cores(),
            registry=config.registry,
            replica=replica,
        )
        self._warm = False

    async def check_health(self) -> None:
        """A replica takes calls once its models have run."""
        if not self._warm:
            await self._unit.warm_up()
            self._warm = True

    async def offered(self) -> list[Offered]:
        """See `ForecastUnit.offered`."""
        return self._unit.offered()

    async def forecast(self, job: ForecastJob, references: dict[str, ray.ObjectRef[Any]]) -> ForecastAnswer | Refusal:
        """See `ForecastUnit.forecast`."""
        return await self._unit.forecast(await with_tables(job, references))


@serve.deployment
class AllocateReplica:
    """`AllocateUnit` in a replica."""

    def __init__(self) -> None:
        replica = f"{serve.get_replica_context().replica_id.unique_id}/{process_name()}"
        self._unit = AllocateUnit(replica)

    async def offered(self) -> list[Offered]:
        """See `AllocateUnit.offered`."""
        return self._unit.offered()

    async def allocate(self, job: AllocateJob, references: dict[str, ray.ObjectRef[Any]]) -> AllocateAnswer | Refusal:
        """See `AllocateUnit.allocate`."""
        return await self._unit.allocate(await with_tables(job, references))


def applications(config: WorkerConfig) -> dict[str, serve.Application]:
    """The applications of this configuration, by name."""
    # A plain copy: a subclass of the caller's need not be importable over there.
    config = WorkerConfig(**{one.name: getattr(config, one.name) for one in dataclasses.fields(WorkerConfig)})
    # Replicas share the machine's cores with the worker; Ray's CPU counting
    # would only keep a second replica from starting on a small machine.
    forecast = cast(serve.Deployment, ForecastReplica).options(
        num_replicas=config.forecast_replicas,
        max_ongoing_requests=ONGOING_MAX,
        ray_actor_options={"num_cpus": 0, "num_gpus": config.forecast_gpus},
    )
    allocate = cast(serve.Deployment, AllocateReplica).options(
        num_replicas=config.allocate_replicas,
        max_ongoing_requests=ONGOING_MAX,
        ray_actor_options={"num_cpus": 0},
    )
    return {APP_FORECAST: forecast.bind(config), APP_ALLOCATE: allocate.bind()}
