"""`up`, `server` and `worker`: what runs until it is told to stop."""

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from serving import logs
from serving.cli.output import Failure, errors
from serving.config import Config, Loaded, load

Data = Annotated[Path | None, typer.Option("--data", "-d", help="Directory of the journal.")]
Listen = Annotated[str | None, typer.Option("--listen", "-l", help="Address to serve on; port 0 takes a free one.")]
Memory = Annotated[bool, typer.Option("--memory", help="Keep everything in memory: a stop loses it.")]
Metrics = Annotated[str | None, typer.Option("--metrics", help="Loopback address of the Prometheus page.")]
Compute = Annotated[str | None, typer.Option(help="Where models and solvers run: local, in the worker, or ray.")]
# A journal of this size is replayed in minutes; longer than this is a fault.
READY_MS_MAX = 24 * 3_600_000
Supervised = Annotated[bool, typer.Option("--supervised", hidden=True)]
ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]


def server(
    context: typer.Context,
    listen: Listen = None,
    data: Data = None,
    memory: Memory = False,
    worker: Annotated[str | None, typer.Option(help="Address of the compute worker.")] = None,
    metrics: Metrics = None,
    supervised: Supervised = False,
    ready_fd: ReadyFd = None,
) -> None:
    """Serve promises until SIGTERM or ^C; then finish what is in progress and stop."""
    loaded = load(
        context.obj, _server_options(listen, data, metrics, memory=memory) | {"server.compute.address": worker}
    )
    logs.set_up(loaded.config.log, "server")
    _end_with_parent(supervised=supervised)
    raise typer.Exit(serve(loaded.config, ready_fd))


def serve(config: Config, ready_fd: int | None = None) -> int:
    """Runs a server in this process until a signal, and returns the status to leave with.

    Args:
        config: its configuration.
        ready_fd: end of a pipe that gets a byte once it serves, see `serving.supervisor.Readiness`; None for none.
    """
    from bespeak import BespeakError
    from bespeak._core import Server

    log = structlog.get_logger()
    stop = _StopSignals()
    running = Server(json.dumps(config.server.model_dump(mode="json")), log_filter=config.log.level)
    log.info("listening", address=running.address, metrics=running.metrics_address)
    failed: list[BespeakError] = []

    def watch() -> None:
        try:
            running.wait_ready(READY_MS_MAX)
            log.info("serving", address=running.address)
            if ready_fd is not None:
                _tell_ready(ready_fd)
            running.wait()
        except BespeakError as error:
            failed.append(error)
            stop.now()

    watcher = threading.Thread(target=watch, name="server-watch", daemon=True)
    watcher.start()
    stop.wait()
    log.info("draining")
    running.drain()
    watcher.join()
    if failed:
        raise failed[0]
    log.info("stopped")
    return 0


def _tell_ready(ready_fd: int) -> None:
    # A parent that is gone reads nothing, and the signal of its end is on its way.
    with suppress(BrokenPipeError):
        os.write(ready_fd, b"\n")
    os.close(ready_fd)


class _StopSignals:
    """SIGTERM and SIGINT from here on.

    Other threads may be the ones that get a signal, and Python's handlers run only when the main thread
    wakes up: a byte in a socket wakes it.
    """

    def __init__(self) -> None:
        self._woken, self._bell = socket.socketpair()
        self._bell.setblocking(False)
        signal.set_wakeup_fd(self._bell.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def now(self) -> None:
        """Ends the wait without a signal."""
        self._bell.send(b"\0")

    def wait(self) -> None:
        """Returns when one has come."""
        self._woken.recv(1)


def worker(
    context: typer.Context,
    address: Annotated[str | None, typer.Option("--address", "-a", help="Loopback address or unix:/path.")] = None,
    compute: Compute = None,
    model: Annotated[list[str] | None, typer.Option(help="Model to load; the first is the default.")] = None,
    registry: Annotated[Path | None, typer.Option(help="Directory of the model registry.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of the models' arithmetic: float32, bfloat16 or auto.")] = None,
    metrics: Metrics = None,
    supervised: Supervised = False,
) -> None:
    """Serve forecasts and allocation plans to the server until SIGTERM or ^C."""
    options: dict[str, Any] = {
        "worker.address": address,
        "worker.compute": compute,
        "worker.models": tuple(model) if model else None,
        "worker.registry": None if registry is None else str(registry),
        "worker.precision": precision,
        "worker.metrics_address": metrics,
    }
    loaded = load(context.obj, options)
    logs.set_up(loaded.config.log, "worker")
    _end_with_parent(supervised=supervised)
    from serving.worker import run_worker

    run_worker(loaded.config.worker)


def up(
    context: typer.Context,
    listen: Listen = None,
    data: Data = None,
    memory: Memory = False,
    compute: Compute = None,
    no_worker: Annotated[bool, typer.Option("--no-worker", help="Run the server alone; its fallbacks answer.")] = False,
    metrics: Metrics = None,
) -> None:
    """Start server and worker on this machine and keep them running until ^C."""
    from serving import supervisor

    options = _server_options(listen, data, metrics, memory=memory) | {"worker.compute": compute}
    loaded = load(context.obj, options)
    config = loaded.config
    if config.server.listen.endswith(":0"):
        raise Failure("server.listen has port 0: give up a fixed port, so that others can find it", 2)
    logs.set_up(config.log, "supervisor")
    common = ["--config", str(loaded.file)] if loaded.file else []
    serve_with = [*_passed("--listen", listen), *_passed("--data", data), *_passed("--metrics", metrics)]
    if memory:
        serve_with.append("--memory")
    worker_command = None
    if not no_worker:
        worker_command = supervisor.command(*common, "worker", "--supervised", *_passed("--compute", compute))
        if config.server.compute is None:
            serve_with += ["--worker", _compute_address(config)]
    plan = supervisor.Plan(
        server=supervisor.command(*common, "server", "--supervised", *serve_with),
        worker=worker_command,
        address=config.server.listen,
        stop_s=config.server.drain_ms / 1000 + 5,
    )
    status = supervisor.run(plan, lambda: _announce(loaded, worker=not no_worker))
    raise typer.Exit(status)


def _announce(loaded: Loaded, *, worker: bool) -> None:
    config = loaded.config
    journal = config.server.journal
    kept = "in memory, lost at a stop" if journal.mode == "memory" else f"{journal.path}"
    errors.print(f"[bold green]serving[/] on [bold]{config.server.listen}[/] · promises kept in {kept}")
    if config.server.metrics_listen:
        errors.print(f"metrics on http://{config.server.metrics_listen}/metrics")
    if worker:
        errors.print(f"worker on {config.worker.address}, compute {config.worker.compute}")
    errors.print("stop with ^C")


def _server_options(listen: str | None, data: Path | None, metrics: str | None, *, memory: bool) -> dict[str, Any]:
    if memory and data is not None:
        raise typer.BadParameter("--memory and --data exclude each other")
    return {
        "server.listen": listen,
        "server.journal.path": None if data is None else str(data),
        "server.journal.mode": "memory" if memory else None if data is None else "group",
        "server.metrics_listen": metrics,
    }


def _compute_address(config: Config) -> str:
    address = config.worker.address
    return address if address.startswith("unix:") else f"http://{address}"


def _passed(option: str, value: object) -> list[str]:
    return [] if value is None else [option, str(value)]


def _end_with_parent(*, supervised: bool) -> None:
    if supervised:
        from serving.supervisor import end_with_parent

        end_with_parent()
