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
    #: Of the arithmetic; auto takes bfloat16 where the processor or GPU has it.
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    #: Compile models that can be; they are ready later and answer sooner.
    compiled: bool = False
    #: Record passes once a shape and replay them: auto as CUDA graphs on a GPU; always also on the
    #: CPU, which only tries that path; never.
    graphs: Literal["auto", "always", "never"] = "auto"
    #: Where models run; auto takes the GPU that the process sees.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: How far a prepared model may be from eager float32, as a share of a series' total; 0 is
    #: the default of its precision.
    parity_tolerance: float = 0.0
    #: How long a stop waits for calls under way.
    drain_seconds: float = 10.0
    #: An existing cluster ("auto" or "host:port"); None starts one that ends with the worker.
    ray_address: str | None = None
    ray_object_store_bytes: int = 256 * MIB
    #: Replicas of each model version, and of the solvers.
    forecast_replicas: int = 1
    allocate_replicas: int = 1
    #: Above forecast_replicas: Ray adds replicas of a version up to so many under load.
    forecast_replicas_max: int = 0
    #: Calls that one replica should have at a time when it does.
    target_ongoing_requests: float = 4.0
    #: How long load must last before a replica is added, and be gone before one is taken away.
    upscale_delay_seconds: float = 1.0
    downscale_delay_seconds: float = 120.0
    #: Replicas above the wanted number while a version is deployed anew, in percent of it.
    max_surge_percent: int = 100
    #: GPU share of a forecast replica; 0 runs it on the CPU.
    forecast_gpus: float = 0.0
    #: How long Ray may take until its node runs, and again until every replica does.
    ray_start_seconds: float = 180.0

    def __post_init__(self) -> None:
        if self.compute not in ("local", "ray"):
            raise WorkerConfigError(f"compute is {self.compute!r}: choose local or ray")
        if self.precision not in ("float32", "bfloat16", "auto"):
            raise WorkerConfigError(f"precision is {self.precision!r}: choose float32, bfloat16 or auto")
        if self.device not in ("auto", "cpu", "cuda"):
            raise WorkerConfigError(f"device is {self.device!r}: choose auto, cpu or cuda")
        if self.graphs not in ("auto", "always", "never"):
            raise WorkerConfigError(f"graphs is {self.graphs!r}: choose auto, always or never")
        if not 0.0 <= self.parity_tolerance <= 1.0:
            raise WorkerConfigError(f"parity_tolerance is {self.parity_tolerance}: give a share from 0 to 1")
        if self.forecast_replicas < 1 or 0 < self.forecast_replicas_max < self.forecast_replicas:
            raise WorkerConfigError(
                f"forecast_replicas is {self.forecast_replicas} and forecast_replicas_max {self.forecast_replicas_max}: give at least 1, and as maximum 0 or no less"
            )
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
