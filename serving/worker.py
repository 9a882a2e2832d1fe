"""The worker process: one gRPC server in front of models and solvers.

`serve` runs until it is told to stop; `run_worker` adds the signals and is what
the command line calls.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import start_http_server

from bespeak.v1 import compute_pb2_grpc
from serving.rollout.collector import RolloutCollector
from serving.rollout.control import Controller
from serving.worker_backend import Backend
from serving.worker_config import WorkerConfig, WorkerConfigError
from serving.worker_guard import guard
from serving.worker_metrics import WorkerMetrics
from serving.worker_service import ComputeService

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

SERVICE = "bespeak.v1.ComputeService"
STATUS = health_pb2.HealthCheckResponse
log = structlog.get_logger()


@dataclass(frozen=True)
class WorkerAddresses:
    """Where a started worker listens, with the ports that port 0 became."""

    grpc: str
    metrics: str | None


def backend_for(config: WorkerConfig) -> Backend:
    """The backend that the configuration names."""
    if config.compute == "ray":
        from serving.worker_ray import RayBackend

        return RayBackend(config)
    from serving.worker_local import LocalBackend

    return LocalBackend(config)


async def serve(
    config: WorkerConfig,
    stop: asyncio.Event,
    listening: Callable[[WorkerAddresses], None] | None = None,
) -> None:
    """Serves until `stop` is set, then drains and ends all it started.

    Health is NOT_SERVING until every model and solver has answered once, and
    again from the moment a stop is asked for.

    Args:
        listening: called once the port is open, before the models are ready.

    Raises:
        WorkerConfigError: the address cannot be had.
        WorkerStartError, InputError: see `Backend.start`.
    """
    metrics = WorkerMetrics()
    backend = backend_for(config)
    controller = Controller(backend, config)
    metrics.registry.register(RolloutCollector(controller, backend))
    service = ComputeService(backend, controller, config, metrics)
    checks = health.aio.HealthServicer()
    await report_health(checks, STATUS.NOT_SERVING)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", config.message_bytes_max),
            ("grpc.max_send_message_length", config.message_bytes_max),
            ("grpc.so_reuseport", 0),  # a second worker on the port must fail, not share it
        ]
    )
    compute_pb2_grpc.add_ComputeServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    addresses, metrics_server = open_ports(config, server, metrics)
    await server.start()
    log.info("listening", address=addresses.grpc, metrics=addresses.metrics, compute=config.compute)
    if listening is not None:
        listening(addresses)
    try:
        if await started_before(backend, controller, stop):
            service.ready = True
            metrics.ready.set(1)
            await report_health(checks, STATUS.SERVING)
            log.info("serving", models=list(controller.traffic.routes), solvers=[s.name for s in backend.solvers()])
            await stop.wait()
    finally:
        metrics.ready.set(0)
        await report_health(checks, STATUS.NOT_SERVING)
        log.info("draining", seconds=config.drain_seconds)
        await server.stop(config.drain_seconds)
        service.ready = False
        await controller.stop()
        await backend.stop()
        if metrics_server is not None:
            metrics_server.shutdown()
            metrics_server.server_close()
        log.info("stopped")


async def started_before(backend: Backend, controller: Controller, stop: asyncio.Event) -> bool:
    """Starts the backend and loads the models; False when a stop is asked for meanwhile."""

    async def start() -> None:
        await backend.start()
        if not stop.is_set():
            await controller.start()

    starting = asyncio.create_task(start())
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    # A start half-way cannot be undone: it is waited for, then stopped like any other.
    await starting
    return starting in done and not stop.is_set()


def open_ports(
    config: WorkerConfig, server: grpc.aio.Server, metrics: WorkerMetrics
) -> tuple[WorkerAddresses, WSGIServer | None]:
    """Binds both addresses."""
    try:
        port = server.add_insecure_port(config.address)
    except RuntimeError as error:
        raise WorkerConfigError(
            f"cannot listen on {config.address}: another process has it, or it may not be used here"
        ) from error
    unix = config.address.startswith("unix:")
    grpc_address = config.address if unix else f"{config.address.rpartition(':')[0]}:{port}"
    if config.metrics_address is None:
        return WorkerAddresses(grpc_address, None), None
    host, _, wanted = config.metrics_address.rpartition(":")
    try:
        http, _thread = start_http_server(int(wanted), host.strip("[]"), metrics.registry)
    except OSError as error:
        raise WorkerConfigError(f"cannot listen on {config.metrics_address}: {error.strerror}") from error
    return WorkerAddresses(grpc_address, f"{host}:{http.server_port}"), http


async def report_health(checks: health.aio.HealthServicer, status: int) -> None:
    """Sets the status of the process and of its service."""
    for name in ("", SERVICE):
        await checks.set(name, status)


def run_worker(config: WorkerConfig, listening: Callable[[WorkerAddresses], None] | None = None) -> None:
    """Serves until SIGTERM or SIGINT; raises what `serve` raises.

    With a Ray cluster of its own, the worker runs in a child process and this
    one exits when it does: see `serving.worker_guard`.
    """
    if config.compute == "ray" and config.ray_address is None:
        guard()

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(config, stop, listening)

    asyncio.run(main())
