"""Models and solvers in Ray Serve replicas, reached through handles."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from bespeak.v1 import compute_pb2 as pb
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
    RefusalKind,
)
from serving.worker_backend import BackendAwayError, WorkerStartError
from serving.worker_config import WorkerConfig
from serving.worker_processes import adopt_orphans, descendants, end_descendants

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

#: Smaller tables travel within the call: a reference costs a trip to the store of its own.
REFERENCE_BYTES_MIN = 256 * 1024
ENVIRONMENT = {
    # Ray's daemons are forked from this process: gRPC's threads must not take part.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # The handle's router gets a loop of its own and does not wait for gRPC's.
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "1",
    "SERVE_LOG_TO_STDERR": "0",
}


log = structlog.get_logger()
#: States that Serve does not leave by itself.
FAILED = ("DEPLOY_FAILED", "UNHEALTHY")


class RayBackend:
    """See `Backend`."""

    source: pb.ComputeSource.ValueType = pb.COMPUTE_SOURCE_RAY

    def __init__(self, config: WorkerConfig):
        # Before gRPC and Ray start, as both read it then.
        os.environ.update(ENVIRONMENT)
        self._config = config
        self._spared: set[int] = set()
        self._owned = False
        self._models: list[Offered] = []
        self._solvers: list[Offered] = []
        self._forecasts: DeploymentHandle[Any] | None = None
        self._allocations: DeploymentHandle[Any] | None = None

    async def start(self) -> None:
        """Starts or joins Ray, deploys, and waits until every replica has answered."""
        await asyncio.to_thread(self._start_cluster)
        if threading.current_thread() is threading.main_thread():
            # Ray replaces the process's handlers with one that prints a stack;
            # setting what Python still knows puts ours back.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.getsignal(number))
        deadline = time.monotonic() + self._config.ray_start_seconds
        handles = await asyncio.to_thread(self._deploy, deadline)
        self._forecasts, self._allocations = handles
        self._models = await self._forecasts.offered.remote()
        self._solvers = await self._allocations.offered.remote()

    def _start_cluster(self) -> None:
        # Ray's processes find our modules where this one did.
        here = [path for path in sys.path if path] or [str(Path.cwd())]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(here))
        if self._config.ray_address is not None:
            self._init(address=self._config.ray_address)
            return
        adopt_orphans()
        self._spared = descendants()
        self._owned = True
        # An address in the environment would make this join a cluster unasked.
        os.environ.pop("RAY_ADDRESS", None)
        deadline = time.monotonic() + self._config.ray_start_seconds
        while True:
            try:
                self._init(
                    address="local",
                    include_dashboard=False,
                    object_store_memory=self._config.ray_object_store_bytes,
                )
            except WorkerStartError as error:
                self._end_own()
                # On a busy machine Ray's agents miss the quarter of a minute that its
                # node gives them; with their files in memory they are quicker.
                if time.monotonic() >= deadline:
                    raise
                log.warning("ray did not start, trying again", reason=str(error))
            else:
                return

    @staticmethod
    def _init(**settings: Any) -> None:
        import ray

        try:
            ray.init(log_to_driver=False, configure_logging=False, namespace="bespeak", **settings)
        except Exception as error:  # Ray raises the base class when its node does not come up
            raise WorkerStartError(
                f"Ray did not start ({error}): free memory or processor time, or run with local compute"
            ) from error

    def _end_own(self) -> None:
        import ray

        # Serve's own shutdown waits up to half a minute for its controller;
        # the whole cluster ends here, so nothing is left to tell it.
        ray.shutdown()
        end_descendants(self._spared, grace_s=3.0)

    def _deploy(self, deadline: float) -> tuple[DeploymentHandle[Any], DeploymentHandle[Any]]:
        from ray import serve
        from ray.serve.config import ProxyLocation

        from serving.deployments.ray_app import APP_ALLOCATE, APP_FORECAST, applications

        # Nothing of Serve listens: the worker's own gRPC server is the only way in.
        serve.start(proxy_location=ProxyLocation.Disabled)
        targets = [
            serve.RunTarget(target=app, name=name, route_prefix=None)
            for name, app in applications(self._config).items()
        ]
        serve.run_many(targets, wait_for_applications_running=False)
        while True:
            apps = serve.status().applications
            states = {target.name: apps[target.name] for target in targets if target.name in apps}
            failed = [f"{name}: {app.message}" for name, app in states.items() if app.status in FAILED]
            if failed:
                raise WorkerStartError(f"Ray Serve could not deploy {'; '.join(failed)}")
            if [app.status for app in states.values()] == ["RUNNING"] * len(targets):
                return serve.get_app_handle(APP_FORECAST), serve.get_app_handle(APP_ALLOCATE)
            if time.monotonic() >= deadline:
                waiting = {name: str(app.status.value) for name, app in states.items()}
                raise WorkerStartError(
                    f"Ray Serve is not running after {self._config.ray_start_seconds:g} s: {waiting}; "
                    "allow more time or look into Ray's logs"
                )
            time.sleep(0.1)

    async def forecast(self, job: ForecastJob) -> ForecastAnswer | Refusal:
        """See `Backend.forecast`."""
        if self._forecasts is None:
            raise RuntimeError("forecast called before start")
        answer: ForecastAnswer | Refusal = await self._call(self._forecasts.forecast, job, ("context", "future"))
        return answer

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """See `Backend.allocate`."""
        if self._allocations is None:
            raise RuntimeError("allocate called before start")
        answer: AllocateAnswer | Refusal = await self._call(
            self._allocations.allocate, job, ("lines", "options", "stock", "packages", "capacity")
        )
        return answer

    async def _call(self, method: Any, job: Any, tables: tuple[str, ...]) -> Any:
        """Calls a replica; large tables go by reference, and only once into the store."""
        import ray
        from ray.exceptions import RayActorError, RayError, RayTaskError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        large = [name for name in tables if len(getattr(job, name)) >= REFERENCE_BYTES_MIN]
        references: dict[str, ray.ObjectRef[Any]] = {}
        for name in large:
            # A pyarrow buffer crosses out of band: replicas read it in shared memory.
            references[name] = await asyncio.to_thread(ray.put, pa.py_buffer(getattr(job, name)))
        job = dataclasses.replace(job, **dict.fromkeys(large, b""))
        for last in (False, True):
            try:
                return await method.remote(job, references)
            except BackPressureError as error:
                return Refusal(RefusalKind.FULL, f"Ray Serve queues too many calls: try again shortly ({error})")
            except RayTaskError:
                raise  # a bug in the replica: the traceback says where
            except (RayActorError, DeploymentUnavailableError) as error:
                # A replica that died took nothing with it: the call is repeated on another.
                if last:
                    raise BackendAwayError(
                        f"no replica answers ({type(error).__name__}): try again in some seconds"
                    ) from error
            except RayError as error:
                raise BackendAwayError(
                    f"Ray failed ({type(error).__name__}: {error}): try again in some seconds"
                ) from error
        raise AssertionError("unreachable")

    def models(self) -> list[Offered]:
        """See `Backend.models`."""
        return self._models

    def solvers(self) -> list[Offered]:
        """See `Backend.solvers`."""
        return self._solvers

    async def stop(self) -> None:
        """Leaves the cluster; ends every process of one that was started here."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        if self._owned:
            self._end_own()
            return
        import ray
        from ray import serve

        from serving.deployments.ray_app import APP_ALLOCATE, APP_FORECAST

        for name in (APP_FORECAST, APP_ALLOCATE):
            serve.delete(name)
        ray.shutdown()
