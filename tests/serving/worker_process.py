"""Starts a real worker in a process of its own, and tables to ask it about."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bespeak.v1 import compute_pb2 as pb
from bespeak.v1 import compute_pb2_grpc
from serving.worker_ipc import read_table, write_table

REPO = Path(__file__).resolve().parents[2]
START = """
import os, sys
from pathlib import Path, PosixPath
from serving.worker import run_worker
from serving.worker_config import WorkerConfig

def listening(addresses):
    os.write(int(sys.argv[2]), f"{addresses.grpc} {addresses.metrics}".encode())

run_worker(WorkerConfig(**eval(sys.argv[1])), listening)
"""


class Worker:
    """A running worker and a channel to it."""

    def __init__(self, process, address, metrics, settings):
        self.process = process
        self.mode = settings.get("compute", "local")
        self.models = settings.get("models", ())
        self.address = address
        self.metrics = metrics
        limit = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(address, limit)
        self.compute = compute_pb2_grpc.ComputeServiceStub(self.channel)

    def health(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status

    def await_serving(self, seconds):
        """Waits on the health service's stream, which tells of each change."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        for seen in stub.Watch(health_pb2.HealthCheckRequest(), timeout=seconds):
            if seen.status == health_pb2.HealthCheckResponse.SERVING:
                return
        raise AssertionError("the worker closed its health stream before it served")

    def forecast(self, context, horizon, *, future=None, timeout=60, **fields):
        request = pb.ComputeServiceForecastRequest(
            context=as_ipc(context), future=as_ipc(future), horizon=horizon, **fields
        )
        return self.compute.Forecast(request, timeout=timeout)

    def allocate(self, orders, options, stock, *, packages=None, timeout=60, network=None, **fields):
        request = pb.ComputeServiceAllocateRequest(
            orders=as_ipc(orders),
            options=as_ipc(options),
            stock=as_ipc(stock),
            packages=as_ipc(packages),
            network={name: as_ipc(table) for name, table in (network or {}).items()},
            **fields,
        )
        return self.compute.Allocate(request, timeout=timeout)


@contextmanager
def worker(tmp_path, **settings):
    """A worker that is listening, and ended by SIGTERM afterwards."""
    settings = {"address": f"unix:{tmp_path}/worker.sock", **settings}
    log = (tmp_path / "worker.log").open("w")
    told, tell = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", START, repr(settings), str(tell)],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])},
        stdout=log,
        stderr=log,
        pass_fds=[tell],
    )
    os.close(tell)
    try:
        with os.fdopen(told, "rb") as end:
            line = end.read1().decode()  # ends when the worker writes, or when it dies
        assert line, f"the worker ended: {(tmp_path / 'worker.log').read_text()}"
        address, metrics = line.split()
        running = Worker(process, address, metrics, settings)
        yield running
        running.channel.close()
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            log.close()


def as_ipc(table):
    return b"" if table is None else write_table(table).to_pybytes()


def forecast_table(answer):
    return read_table(answer.forecast, "forecast")


def history(items, days=70, seed=1):
    """Weekly patterned sales of several items."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(1, 20, items)[:, None] * (1 + 0.5 * np.sin(2 * np.pi * np.arange(days) / 7))
    return pa.table(
        {
            "item_id": np.repeat([f"sku-{i:04d}" for i in range(items)], days),
            "timestamp": np.tile(np.arange(20_000, 20_000 + days).astype("datetime64[D]"), items),
            "target": rng.poisson(rate).astype(float).ravel(),
        }
    )


def batch_of_orders(count=50, seed=2):
    """Single-line orders, their options and too little stock for all of them."""
    rng = np.random.default_rng(seed)
    order = [f"o{i:03d}" for i in range(count)]
    items = rng.integers(0, 5, count)
    lines = pa.table(
        {
            "order_id": order,
            "line": np.ones(count, np.int32),
            "item": [f"i{k}" for k in items],
            "quantity": rng.integers(1, 5, count),
            "unfilled_penalty_minor": rng.integers(1000, 9000, count),
        }
    )
    options = pa.table(
        {
            "order_id": np.repeat(order, 3),
            "line": np.ones(3 * count, np.int32),
            "location": ["ams", "rtm", "utr"] * count,
            "cost_minor": rng.integers(100, 900, 3 * count),
        }
    )
    stock = pa.table(
        {
            "item": np.repeat([f"i{k}" for k in range(5)], 3),
            "location": ["ams", "rtm", "utr"] * 5,
            "available": rng.integers(2, 9, 15),
        }
    )
    return lines, options, stock


def orders_with_packages(count=40, seed=4):
    """Orders of two lines over three places, with a cost of each package and a limit of one place."""
    rng = np.random.default_rng(seed)
    order = np.repeat([f"o{i:03d}" for i in range(count)], 2)
    number = np.tile(np.array([1, 2], np.int32), count)
    places = np.array(["ams", "rtm", "utr"])
    lines = pa.table(
        {
            "order_id": order,
            "line": number,
            "item": [f"i{k}" for k in rng.integers(0, 6, 2 * count)],
            "quantity": rng.integers(1, 4, 2 * count),
            "unfilled_penalty_minor": rng.integers(1000, 4000, 2 * count),
        }
    )
    options = pa.table(
        {
            "order_id": np.repeat(order, 3),
            "line": np.repeat(number, 3),
            "location": np.tile(places, 2 * count),
            "cost_minor": rng.integers(50, 400, 6 * count),
        }
    )
    stock = pa.table(
        {
            "item": np.repeat([f"i{k}" for k in range(6)], 3),
            "location": np.tile(places, 6),
            "available": rng.integers(3, 10, 18),
        }
    )
    packages = pa.table(
        {
            "order_id": np.repeat(np.unique(order), 3),
            "location": np.tile(places, count),
            "package_minor": rng.integers(300, 900, 3 * count),
        }
    )
    capacity = pa.table({"location": ["ams"], "units": [25]})
    return {"orders": lines, "options": options, "stock": stock, "packages": packages, "capacity": capacity}
