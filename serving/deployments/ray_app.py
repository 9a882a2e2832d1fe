"""The units as Ray Serve deployments: wiring only. Importing this imports Ray.

Each deployment is reached through its handle. Tables above a size arrive as
references to Ray's object store, so that they are copied once and not pickled.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from typing import Any, cast

import ray
import structlog
from ray import serve

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
    process_name,
)
from serving.worker_config import WorkerConfig

log = structlog.get_logger()
APP_ALLOCATE = "bespeak-allocate"
FORECAST_PREFIX = "bespeak-forecast-"
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
    """`ForecastUnit` in a replica, which takes calls once its model is ready."""

    def __init__(self, unit: str, config: WorkerConfig):
        replica = f"{serve.get_replica_context().replica_id.unique_id}/{process_name()}"
        config = dataclasses.replace(config, model_threads=config.model_threads or cores())
        self._unit = ForecastUnit(unit, config, replica=replica)

    async def offered(self) -> Offered:
        """See `ForecastUnit.offered`."""
        return self._unit.offered

    async def forecast(self, job: ForecastJob, references: dict[str, ray.ObjectRef[Any]]) -> ForecastAnswer | Refusal:
        """See `ForecastUnit.forecast`; where the model is broken, the replica ends at once."""
        try:
            return await self._unit.forecast(await with_tables(job, references))
        except BrokenModelError:
            # Its calls are then repeated on another replica, and Serve starts a new one, which it would do only after
            # three failed checks otherwise.
            log.exception("replica ends")
            os._exit(1)

    async def check_health(self) -> None:
        """Fails when the model is broken; Serve then replaces the replica. See `ForecastUnit.check_health`."""
        await self._unit.check_health()


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


def app_of(unit: str) -> str:
    """Name of the application that serves a unit."""
    return FORECAST_PREFIX + unit.replace("@", "-at-")


def forecast_app(unit: str, config: WorkerConfig) -> serve.Application:
    """One version of a model, with replicas of its own."""
    scaling: dict[str, Any] = {"num_replicas": config.forecast_replicas}
    if config.forecast_replicas_max > config.forecast_replicas:
        scaling = {
            "autoscaling_config": {
                "min_replicas": config.forecast_replicas,
                "max_replicas": config.forecast_replicas_max,
                "target_ongoing_requests": config.target_ongoing_requests,
                # Ray's own 30 s, looked at every 10 s, is longer than a rush lasts.
                "upscale_delay_s": config.upscale_delay_seconds,
                "downscale_delay_s": config.downscale_delay_seconds,
                "metrics_interval_s": min(1.0, max(0.1, config.upscale_delay_seconds)),
                "look_back_period_s": max(1.0, 2 * config.upscale_delay_seconds),
            }
        }
    # Replicas share the machine's cores with the worker; Ray's CPU counting
    # would only keep a second replica from starting on a small machine.
    app = cast(serve.Deployment, ForecastReplica).options(
        **scaling,
        max_ongoing_requests=ONGOING_MAX,
        # Otherwise replicas stop before those that take their place have started.
        max_surge_percent=config.max_surge_percent,
        # What cannot be loaded twice will not be the third time.
        max_constructor_retry_count=2,
        health_check_period_s=2.0,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=config.drain_seconds,
        ray_actor_options={"num_cpus": 0, "num_gpus": config.forecast_gpus},
    )
    return app.bind(unit, plain(config))


def allocate_app(config: WorkerConfig) -> serve.Application:
    """The solvers."""
    app = cast(serve.Deployment, AllocateReplica).options(
        num_replicas=config.allocate_replicas,
        max_ongoing_requests=ONGOING_MAX,
        max_surge_percent=config.max_surge_percent,
        graceful_shutdown_wait_loop_s=0.1,
        ray_actor_options={"num_cpus": 0},
    )
    return app.bind()


def plain(config: WorkerConfig) -> WorkerConfig:
    """A plain copy: a subclass of the caller's need not be importable over there."""
    return WorkerConfig(**{one.name: getattr(config, one.name) for one in dataclasses.fields(WorkerConfig)})
