"""What the compute worker is told when it starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MIB = 1 << 20


class WorkerConfigError(ValueError):
    """The worker cannot start with this configuration; the message says what to change."""


@dataclass(frozen=True)
class WorkerConfig:
    """Every setting, with the defaults of one small machine."""

    #: "127.0.0.1:7430", "[::1]:7430" or "unix:/path/worker.sock"; port 0 takes a free one.
    address: str = "127.0.0.1:7430"
    #: Where models and solvers run: this process, or replicas on Ray.
    compute: Literal["local", "ray"] = "local"
    #: Models to load; the first answers requests that name none.
    models: tuple[str, ...] = ("patch-nano", "climatology")
    #: Directory of a model registry, for models named as NAME@VERSION or NAME@ALIAS.
    registry: Path | None = None
    #: Prometheus text over HTTP, loopback only; None for none. Port 0 takes a free one.
    metrics_address: str | None = None
    #: Calls taken up and not yet answered; one more is refused at once.
    calls_max: int = 64
    #: Largest request and answer.
    message_bytes_max: int = 256 * MIB
    #: Series that share one pass through a model.
    batch_items_max: int = 4096
    #: Threads of the model's arithmetic; 0 means one a core.
    model_threads: int = 0
    #: How long a stop waits for calls under way.
    drain_seconds: float = 10.0
    #: An existing cluster ("auto" or "host:port"); None starts one that ends with the worker.
    ray_address: str | None = None
    ray_object_store_bytes: int = 256 * MIB
    #: Replicas of each deployment.
    forecast_replicas: int = 1
    allocate_replicas: int = 1
    #: GPU share of a forecast replica; 0 runs it on the CPU.
    forecast_gpus: float = 0.0
    #: How long Ray may take until its node runs, and again until every replica does.
    ray_start_seconds: float = 180.0

    def __post_init__(self) -> None:
        if self.compute not in ("local", "ray"):
            raise WorkerConfigError(f"compute is {self.compute!r}: choose local or ray")
        if not self.models:
            raise WorkerConfigError("no model is named: name at least one, such as climatology")
        check_address(self.address)
        if self.metrics_address is not None:
            check_address(self.metrics_address, sockets=False)


def check_address(address: str, *, sockets: bool = True) -> None:
    """Refuses an address that another machine could reach.

    Raises:
        WorkerConfigError: it is neither loopback nor a unix socket, or cannot be read.
    """
    if address.startswith("unix:"):
        parent = Path(address.removeprefix("unix:")).parent
        if not sockets:
            raise WorkerConfigError(f"address {address!r} is a unix socket: give 127.0.0.1 and a port")
        if not parent.is_dir():
            raise WorkerConfigError(f"directory {parent} of address {address!r} is not there: make it first")
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise WorkerConfigError(f"address {address!r} has no port: write it as 127.0.0.1:7430")
    host = host.removeprefix("[").removesuffix("]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise WorkerConfigError(
            f"address {address!r} has no IP address before the port: write it as 127.0.0.1:7430"
        ) from error
    if not loopback:
        raise WorkerConfigError(
            f"address {address!r} can be reached from other machines: the worker has no authentication, so give it 127.0.0.1 or a unix socket"
        )
