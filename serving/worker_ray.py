"""Models and solvers in Ray Serve replicas, reached through handles."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog

from bespeak.v1 import compute_pb2 as pb
from models import InputError
from serving.deployments.jobs import (
    ALLOCATE_TABLES,
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
    from ray.serve import Application
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
ERROR_LINE = re.compile(r"[\w.]*(Error|Exception)\b.*:")


class DeployError(InputError):
    """Serve does not run an application; the message has what its replica said."""


def last_line(text: str) -> str:
    """The error at the end of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Serve adds its own advice behind the replica's traceback.
    errors = [line for line in lines if ERROR_LINE.match(line)]
    return (errors or lines or ["no reason given"])[-1]


class RayBackend:
    """See `Backend`."""

    source: pb.ComputeSource.ValueType = pb.COMPUTE_SOURCE_RAY

    def __init__(self, config: WorkerConfig):
        # Before gRPC and Ray start, as both read it then.
        os.environ.update(ENVIRONMENT)
        self._config = config
        self._spared: set[int] = set()
        self._owned = False
        self._solvers: list[Offered] = []
        self._forecasts: dict[str, DeploymentHandle[Any]] = {}
        self._allocations: DeploymentHandle[Any] | None = None

    async def start(self) -> None:
        """Starts or joins Ray, and waits until the solvers have answered."""
        await asyncio.to_thread(self._start_cluster)
        if threading.current_thread() is threading.main_thread():
            # Ray replaces the process's handlers with one that prints a stack;
            # setting what Python still knows puts ours back.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.getsignal(number))
        from ray import serve
        from ray.serve.config import ProxyLocation

        from serving.deployments.ray_app import APP_ALLOCATE, allocate_app

        # Nothing of Serve listens: the worker's own gRPC server is the only way in.
        await asyncio.to_thread(serve.start, proxy_location=ProxyLocation.Disabled)
        try:
            self._allocations = await asyncio.to_thread(self._deploy, APP_ALLOCATE, allocate_app(self._config))
        except DeployError as error:
            raise WorkerStartError(str(error)) from error
        self._solvers = await self._allocations.offered.remote()

    async def load(self, unit: str) -> Offered:
        """See `Backend.load`: a Serve application of its own, beside the others."""
        from serving.deployments.ray_app import app_of, forecast_app

        handle = await asyncio.to_thread(self._deploy, app_of(unit), forecast_app(unit, self._config))
        # Running is what Serve says; an answer is what shows it.
        offered: Offered = await handle.offered.remote()
        self._forecasts[unit] = handle
        return offered

    async def unload(self, unit: str) -> None:
        """See `Backend.unload`."""
        from ray import serve

        from serving.deployments.ray_app import app_of

        self._forecasts.pop(unit, None)
        await asyncio.to_thread(serve.delete, app_of(unit))

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

    def _deploy(self, name: str, app: Application) -> DeploymentHandle[Any]:
        """Deploys an application and waits until it runs; what fails is taken away again."""
        from ray import serve

        deadline = time.monotonic() + self._config.ray_start_seconds
        target = serve.RunTarget(target=app, name=name, route_prefix=None)
        serve.run_many([target], wait_for_applications_running=False)
        while True:
            # The status is what counts: Serve's calls return before a deployment fails.
            state = serve.status().applications.get(name)
            if state is not None and state.status == "RUNNING":
                return serve.get_app_handle(name)
            failed = state is not None and state.status in FAILED
            if failed or time.monotonic() >= deadline:
                reasons = [one.message for one in state.deployments.values() if one.message] if state else []
                reason = reasons[0] if reasons else state.message if state else "Serve does not know it"
                serve.delete(name)
                if failed:
                    raise DeployError(f"Ray Serve could not deploy {name}: {last_line(reason)}")
                raise DeployError(
                    f"{name} is not running on Ray Serve after {self._config.ray_start_seconds:g} s ({last_line(reason)}): "
                    "allow more time or look into Ray's logs"
                )
            time.sleep(0.1)

    async def forecast(self, unit: str, job: ForecastJob) -> ForecastAnswer | Refusal:
        """See `Backend.forecast`."""
        handle = self._forecasts[unit]
        answer: ForecastAnswer | Refusal = await self._call(handle.forecast, job, ("context", "future"))
        return answer

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """See `Backend.allocate`."""
        if self._allocations is None:
            raise RuntimeError("allocate called before start")
        answer: AllocateAnswer | Refusal = await self._call(self._allocations.allocate, job, ALLOCATE_TABLES)
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

    def replicas(self) -> dict[str, int]:
        """See `Backend.replicas`."""
        from ray import serve

        from serving.deployments.ray_app import app_of

        apps = serve.status().applications
        running = {}
        for unit in tuple(self._forecasts):
            app = apps.get(app_of(unit))
            deployments = app.deployments.values() if app else ()
            running[unit] = sum(
                count for one in deployments for state, count in one.replica_states.items() if state == "RUNNING"
            )
        return running

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

        from serving.deployments.ray_app import APP_ALLOCATE, app_of

        for name in (*map(app_of, self._forecasts), APP_ALLOCATE):
            serve.delete(name)
        ray.shutdown()
