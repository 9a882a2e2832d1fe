"""Forecasts and plans asked at the public port: from the worker while it lives, from the server when it is gone."""

import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bespeak import Client, Item, Location, ReserveLine
from bespeak.v1 import allocation_pb2, allocation_pb2_grpc, forecast_pb2, forecast_pb2_grpc
from models.catalogue import open_model
from serving.allocation import ColumnGeneration
from serving.worker_ipc import read_table
from serving.worker_processes import descendants
from tests.serving.cli_process import process, server
from tests.serving.worker_process import as_ipc, batch_of_orders, history

LEVELS = [0.1, 0.5, 0.9]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
# A worker that is away is noticed at the first call and asked again soon.
SETTINGS = """
[server.compute]
address = "unix:{sockets}"
breaker_failures = 1
breaker_open_ms = 50
"""


class Public:
    """Stubs of a server's public port, and the worker behind it."""

    def __init__(self, address, worker):
        self.address = address
        self.worker = worker
        self.channel = grpc.insecure_channel(address)
        self._forecast = forecast_pb2_grpc.ForecastServiceStub(self.channel).Forecast
        self._allocate = allocation_pb2_grpc.AllocationServiceStub(self.channel).Allocate

    def forecast(self, context, horizon, *, metadata=None, timeout=60, **fields):
        request = forecast_pb2.ForecastRequest(context=as_ipc(context), horizon=horizon, quantiles=LEVELS, **fields)
        return self._forecast(request, timeout=timeout, metadata=metadata)

    def allocate(self, orders, options, stock=None, *, metadata=None, **fields):
        request = allocation_pb2.AllocateRequest(
            orders=as_ipc(orders), options=as_ipc(options), stock=as_ipc(stock), **fields
        )
        return self._allocate(request, timeout=60, metadata=metadata)


@contextmanager
def public(place: Path, compute: str, *models: str):
    """A server in front of a worker, both as an operator starts them. To load torch takes longer than most tests."""
    sockets = place / "worker.sock"
    (place / "bespeak.toml").write_text(SETTINGS.format(sockets=sockets))
    arguments = [
        "--address",
        f"unix:{sockets}",
        "--compute",
        compute,
        *(text for model in (*models, "climatology") for text in ("--model", model)),
    ]
    with process("worker", *arguments, cwd=place) as worker, server("--memory", cwd=place) as (_, address):
        worker.line("serving")
        asked = Public(address, worker)
        yield asked
        asked.channel.close()
        if worker.process.poll() is None:
            assert worker.stop() == 0


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with public(tmp_path_factory.mktemp("public"), "local") as asked:
        yield asked


def assert_plausible_forecast(answer, context, horizon):
    table = read_table(answer.forecast, "forecast")
    items = context["item_id"].unique().to_pylist()
    assert table["item_id"].to_pylist() == [item for item in sorted(items) for _ in range(horizon)]
    last = pc.max(context["timestamp"]).as_py()
    assert pc.min(table["timestamp"]).as_py() == last.__class__.fromordinal(last.toordinal() + 1)
    values = np.array([table[str(level)] for level in LEVELS])
    assert (values >= 0).all()
    assert (np.diff(values, axis=0) >= 0).all()
    # Sales never seen within a factor of three are no forecast of this history.
    assert values.max() <= 3 * pc.max(context["target"]).as_py()
    sold, foreseen = pc.mean(context["target"]).as_py(), np.mean(table["mean"])
    assert sold / 2 < foreseen < 2 * sold


def assert_feasible_plan(answer, orders, options, stock):
    """Nothing above stock, nothing above what was asked, only from where it may come, at the cost that is told."""
    plan = read_table(answer.plan, "plan").to_pylist()
    wanted = {(row["order_id"], row["line"]): row for row in orders.to_pylist()}
    cost = {(row["order_id"], row["line"], row["location"]): row["cost_minor"] for row in options.to_pylist()}
    left = {(row["item"], row["location"]): row["available"] for row in stock.to_pylist()}
    open_units = {line: row["quantity"] for line, row in wanted.items()}
    spent = 0
    for row in plan:
        line = (row["order_id"], row["line"])
        assert row["quantity"] > 0
        open_units[line] -= row["quantity"]
        left[wanted[line]["item"], row["location"]] -= row["quantity"]
        spent += row["quantity"] * cost[*line, row["location"]]
    assert min(left.values()) >= 0, "units above stock"
    assert min(open_units.values()) >= 0, "units above what was asked"
    spent += sum(units * wanted[line]["unfilled_penalty_minor"] for line, units in open_units.items())
    assert answer.objective_minor == spent
    assert answer.bound_minor <= answer.objective_minor
    return sum(row["quantity"] for row in plan)


@pytest.mark.parametrize(
    ("compute", "models"),
    [("local", ["patch-nano"]), pytest.param("ray", [], marks=[pytest.mark.ray, pytest.mark.timeout(300)])],
    ids=["local", "ray"],
)
def test_the_worker_answers_until_it_is_killed_and_then_the_server_does(tmp_path, compute, models):
    context = history(30)
    orders, options, stock = batch_of_orders(60)
    first = (*models, "climatology")[0]
    with public(tmp_path, compute, *models) as asked:
        forecast = asked.forecast(context, 14)
        assert (forecast.made_by, forecast.fallback) == (f"{first}@{open_model(first).version}", False)
        assert_plausible_forecast(forecast, context, 14)
        plan = asked.allocate(orders, options, stock, solver=ColumnGeneration.name, budget_ms=2_000)
        assert (plan.made_by, plan.fallback) == (f"{ColumnGeneration.name}@{ColumnGeneration.version}", False)
        assert 0 < assert_feasible_plan(plan, orders, options, stock) < pc.sum(orders["quantity"]).as_py()
        source = f"COMPUTE_SOURCE_{compute.upper()}"
        for method in ("Forecast", "Allocate"):
            asked.worker.line("answered", method=method, code="OK", source=source)

        if compute == "ray":
            # First all of Ray, with the worker still there to be asked.
            kill_ray(asked.worker.process)
            forecast = asked.forecast(context, 14)
            assert (forecast.made_by, forecast.fallback) == ("climatology@1", True)
        kill(asked.worker.process)
        forecast = asked.forecast(context, 14)
        assert (forecast.made_by, forecast.fallback) == ("climatology@1", True)
        assert_plausible_forecast(forecast, context, 14)
        fallback = asked.allocate(orders, options, stock, solver=ColumnGeneration.name, budget_ms=2_000)
        assert (fallback.made_by, fallback.fallback) == ("search@1", True)
        assert assert_feasible_plan(fallback, orders, options, stock) > 0
        assert fallback.objective_minor >= plan.bound_minor, "the bound holds for every plan"


def kill_ray(started) -> None:
    """Kills the daemons and the replicas: all below the worker's own process."""
    (worker,) = (int(child) for child in Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split())
    below = descendants(worker)
    assert any(b"raylet/raylet" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in below)
    for pid in below:
        os.kill(pid, signal.SIGKILL)


def kill(started) -> None:
    """Kills the process that answers: on Ray it is the only child of the one that was started."""
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    ray = [int(child) for child in children if b"serving" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(ray[0] if ray else started.pid, signal.SIGKILL)
    started.wait(60)


def test_a_worker_that_comes_back_is_asked_again(tmp_path):
    context = history(3)
    with public(tmp_path, "local") as asked:
        kill(asked.worker.process)
        assert asked.forecast(context, 7).fallback
        sockets = tmp_path / "worker.sock"
        arguments = ["--address", f"unix:{sockets}", "--compute", "local", "--model", "climatology"]
        with process("worker", *arguments, cwd=tmp_path) as again:
            again.line("serving")
            end = time.monotonic() + 30
            while (answer := asked.forecast(context, 7)).fallback:
                assert time.monotonic() < end, "the worker is back and nobody asks it"
            assert answer.made_by.startswith("climatology@")
            again.line("answered", method="Forecast", code="OK")


def test_up_joins_the_two(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "bespeak.toml").write_text(
        f"""
        [server]
        listen = "127.0.0.1:{port}"
        [worker]
        address = "unix:{tmp_path / "worker.sock"}"
        models = ["climatology"]
        """
    )
    with process("up", "--memory", cwd=tmp_path) as up:
        up.line("serving", process="worker")
        asked = Public(f"127.0.0.1:{port}", up)
        lines, options, stock = batch_of_orders(5)
        assert not asked.forecast(history(2), 7).fallback
        assert not asked.allocate(lines, options, stock, budget_ms=1_000).fallback
        asked.channel.close()
        assert up.stop() == 0


def test_the_fallback_answers_before_the_deadline_of_the_caller(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (tmp_path / "bespeak.toml").write_text(f'[server.compute]\naddress = "{address}"\ntimeout_ms = 60000\n')
        with server("--memory", cwd=tmp_path) as (_, public_address):
            asked = Public(public_address, None)
            # Late would be DEADLINE_EXCEEDED: the server leaves itself a quarter of this time.
            answer = asked.forecast(history(2), 7, timeout=4)
            assert (answer.made_by, answer.fallback) == ("climatology@1", True)
            asked.channel.close()


def test_a_plan_takes_what_can_be_promised_now(local):
    with Client(local.address) as client:
        for name in ("ams1", "rtm1"):
            client.put_location(Location(name))
        client.put_item(Item("tea"))
        client.set_on_hand("tea", "ams1", 9)
        client.set_on_hand("tea", "rtm1", 4)
        held = client.reserve([ReserveLine("tea", "ams1", 6)])
    orders = pa.table(
        {
            "order_id": ["a", "b", "c"],
            "line": pa.array([1, 1, 1], pa.int32()),
            "item": ["tea", "tea", "coffee"],
            "quantity": [5, 4, 1],
            "unfilled_penalty_minor": [1000, 900, 800],
        }
    )
    options = pa.table(
        {
            "order_id": ["a", "a", "b", "b", "c"],
            "line": pa.array([1] * 5, pa.int32()),
            "location": ["ams1", "rtm1", "ams1", "rtm1", "ams1"],
            "cost_minor": [10, 20, 10, 20, 10],
        }
    )
    promisable = pa.table(
        {"item": ["tea", "tea", "coffee"], "location": ["ams1", "rtm1", "ams1"], "available": [3, 4, 0]}
    )
    answer = local.allocate(orders, options)
    assert not answer.fallback
    assert answer.revision >= held.revision
    # Three and four are left, and a line ships whole.
    assert assert_feasible_plan(answer, orders, options, promisable) == 4
    assert read_table(answer.plan, "plan").to_pylist() == [
        {"order_id": "b", "line": 1, "location": "rtm1", "service": "", "quantity": 4}
    ]


def test_a_plan_may_serve_nothing(local):
    lines, options, stock = batch_of_orders(5)
    none = stock.set_column(2, "available", pa.array(np.zeros(stock.num_rows, np.int64)))
    answer = local.allocate(lines, options, none)
    assert not answer.fallback
    assert assert_feasible_plan(answer, lines, options, none) == 0
    assert read_table(answer.plan, "plan").column_names == ["order_id", "line", "location", "service", "quantity"]


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"model": "oracle"}, grpc.StatusCode.INVALID_ARGUMENT, "oracle"),
        ({"horizon": 0}, grpc.StatusCode.INVALID_ARGUMENT, "horizon is 0"),
    ],
)
def test_a_wrong_request_is_refused_and_not_answered_by_the_fallback(local, fields, code, said):
    fields = {"horizon": 7} | fields
    with pytest.raises(grpc.RpcError) as refused:
        local.forecast(history(2), **fields)
    assert refused.value.code() == code
    assert said in refused.value.details()
    assert not local.forecast(history(2), 7).fallback


def packed(table, codec):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_a_table_with_compressed_buffers_is_refused_before_the_worker_sees_it(local):
    context, (lines, options, stock) = history(2), batch_of_orders(3)
    plain, small = as_ipc(context), packed(context, "zstd")
    forecasts = forecast_pb2_grpc.ForecastServiceStub(local.channel)
    allocate = allocation_pb2_grpc.AllocationServiceStub(local.channel).Allocate
    orders = {"orders": packed(lines, "lz4"), "options": as_ipc(options), "stock": as_ipc(stock)}
    for call, request in [
        (forecasts.Forecast, forecast_pb2.ForecastRequest(context=small, horizon=7)),
        (forecasts.Forecast, forecast_pb2.ForecastRequest(context=plain, future=small, horizon=7)),
        (forecasts.Explain, forecast_pb2.ForecastServiceExplainRequest(context=small, horizon=7)),
        (allocate, allocation_pb2.AllocateRequest(**orders)),
    ]:
        with pytest.raises(grpc.RpcError) as refused:
            call(request, timeout=60)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert "send them uncompressed" in refused.value.details()


def test_the_trace_of_a_caller_goes_on_to_the_worker(local):
    metadata = [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01")]
    local.forecast(history(2), 7, metadata=metadata)
    local.worker.line("answered", method="Forecast", trace_id=TRACE_ID, parent_span_id=SPAN_ID)
    lines, options, stock = batch_of_orders(3)
    local.allocate(lines, options, stock, metadata=metadata, budget_ms=1_000)
    local.worker.line("answered", method="Allocate", trace_id=TRACE_ID, parent_span_id=SPAN_ID)
