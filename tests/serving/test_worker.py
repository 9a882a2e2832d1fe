"""Limits, deadlines, refusals and the life of a local worker."""

import struct
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import pyarrow as pa
import pytest
from grpc_health.v1 import health_pb2

from bespeak.v1 import compute_pb2 as pb
from models import Climatology
from models.catalogue import CHECKPOINTS
from models.registry import Registry
from serving.worker_config import WorkerConfig, WorkerConfigError
from tests.serving.worker_process import as_ipc, batch_of_orders, forecast_table, history, worker

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    settings = {"models": ("climatology",), "metrics_address": "127.0.0.1:0", "calls_max": 8}
    with worker(tmp_path_factory.mktemp("worker"), **settings) as one:
        one.await_serving(seconds=60)
        yield one


def refusal(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as refused:
        call(*args, **kwargs)
    return refused.value.code().name, refused.value.details()


ONE = history(1)
REFUSED_FORECASTS = {
    "no model of that name": ({"model": "oracle"}, "NOT_FOUND", "no model 'oracle' here"),
    "no horizon": ({"horizon": 0}, "INVALID_ARGUMENT", "horizon is 0"),
    "a horizon of years": ({"horizon": 4000}, "INVALID_ARGUMENT", "horizon is 4000"),
    "a level of one": ({"quantiles": [0.5, 1.0]}, "INVALID_ARGUMENT", "level 1.0"),
    "levels out of order": ({"quantiles": [0.5, 0.4]}, "INVALID_ARGUMENT", "0.4 follows 0.5"),
    "no bytes": ({"context": b""}, "INVALID_ARGUMENT", "context is no sound Arrow IPC stream"),
    "bytes of something else": ({"context": b"hello" * 50}, "INVALID_ARGUMENT", "context is no sound Arrow IPC stream"),
    "half a stream": ({"context": as_ipc(ONE)[:300]}, "INVALID_ARGUMENT", "context is no sound Arrow IPC stream"),
    "half a future": ({"future": as_ipc(ONE)[:300]}, "INVALID_ARGUMENT", "future is no sound Arrow IPC stream"),
    "no rows": ({"context": as_ipc(ONE.slice(0, 0))}, "INVALID_ARGUMENT", "context has no rows"),
}


@pytest.mark.parametrize(("change", "code", "message"), REFUSED_FORECASTS.values(), ids=REFUSED_FORECASTS)
def test_a_refused_forecast_says_why(local, change, code, message):
    fields = {"context": as_ipc(ONE), "horizon": 7, **change}
    got, details = refusal(local.compute.Forecast, pb.ComputeServiceForecastRequest(**fields), timeout=10)
    assert got == code
    assert message in details


def test_a_refused_plan_says_why(local):
    lines, options, stock = batch_of_orders(3)
    assert refusal(local.allocate, lines, options, stock, solver="dice") == (
        "NOT_FOUND",
        "no solver 'dice' here, only ['auto', 'column-generation', 'min-cost-flow', 'search']: name one of them",
    )
    code, details = refusal(local.allocate, lines, options, stock.drop_columns(["available"]))
    assert (code, "column available of stock is absent" in details) == ("INVALID_ARGUMENT", True)


def test_offsets_that_lie_are_refused(local):
    # A string column whose offsets point beyond its bytes reads out of bounds if trusted.
    table = pa.table({"item_id": ["x" * 77], "timestamp": ONE["timestamp"][:1], "target": [1.0]})
    before, honest, after = as_ipc(table).rpartition(struct.pack("<ii", 0, 77))
    assert honest
    lying = before + struct.pack("<ii", 0, 77_777) + after
    request = pb.ComputeServiceForecastRequest(context=lying, horizon=7)
    code, details = refusal(local.compute.Forecast, request, timeout=10)
    assert (code, "no sound Arrow IPC stream" in details) == ("INVALID_ARGUMENT", True)


def test_a_deadline_is_obeyed(local):
    code, _ = refusal(local.forecast, history(2000), 28, timeout=0.005)
    assert code == "DEADLINE_EXCEEDED"
    assert local.forecast(ONE, 7).series == 1


def test_calls_at_once_are_answered_each_with_its_own(local):
    contexts = [history(3, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda context: local.forecast(context, 7), contexts))
    for context, answer in zip(contexts, answers, strict=True):
        assert forecast_table(answer).equals(Climatology().predict(context, None, 7))


def test_more_calls_than_the_limit_are_refused_at_once(local):
    big = as_ipc(history(4000))
    request = pb.ComputeServiceForecastRequest(context=big, horizon=28)
    calls = [local.compute.Forecast.future(request, timeout=60) for _ in range(40)]
    codes = {call.code() for call in calls}
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert local.forecast(ONE, 7).series == 1


def test_metrics_count_the_answers(local):
    before = scrape(local)
    local.forecast(history(5), 7)
    plan = local.allocate(*batch_of_orders(4)).origin.name
    after = scrape(local)
    labels = '{name="climatology",source="COMPUTE_SOURCE_LOCAL",version="1"}'
    series = f"bespeak_compute_forecast_series_total{labels}"
    assert after[series] - before.get(series, 0) == 5
    calls = 'bespeak_compute_call_seconds_count{code="OK",method="Allocate"}'
    assert after[calls] - before.get(calls, 0) == 1
    for metric in ("plan_gap_ratio", "plan_first_seconds"):
        count = f'bespeak_compute_{metric}_count{{solver="{plan}"}}'
        assert after[count] - before.get(count, 0) == 1
    assert after["bespeak_compute_ready"] == 1
    assert after["bespeak_compute_calls_in_flight"] == 0


def scrape(running):
    with urllib.request.urlopen(f"http://{running.metrics}/metrics", timeout=10) as page:
        rows = [row for row in page.read().decode().splitlines() if row and not row.startswith("#")]
    return {name: float(value) for name, _, value in (row.rpartition(" ") for row in rows)}


def test_a_registry_model_answers_under_its_reference(tmp_path):
    registry = Registry(tmp_path / "registry")
    stored = registry.push(CHECKPOINTS / "patch-nano", name="tuned")
    registry.promote(stored.reference, "canary")
    context = history(3)
    with worker(tmp_path, models=("climatology", "tuned@canary"), registry=tmp_path / "registry") as one:
        one.await_serving(seconds=60)
        answer = one.forecast(context, 7, model="tuned@canary")
        assert (answer.origin.name, answer.origin.version) == ("tuned", stored.version)
        assert one.forecast(context, 7).origin.name == "climatology"


def test_sigterm_finishes_the_calls_under_way(tmp_path):
    with worker(tmp_path, models=("climatology",)) as one:
        one.await_serving(seconds=60)
        context = history(3000)
        call = one.compute.Forecast.future(
            pb.ComputeServiceForecastRequest(context=as_ipc(context), horizon=28), timeout=60
        )
        # Once the worker counts it, the call is taken up.
        while one.compute.Status(pb.ComputeServiceStatusRequest()).calls_in_flight == 0:
            if call.done():
                break
        one.process.terminate()
        assert forecast_table(call.result()).num_rows == 3000 * 28
        assert one.process.wait(timeout=30) == 0


def test_a_taken_address_is_refused(local, tmp_path):
    with (
        worker(tmp_path, address="127.0.0.1:0", models=("climatology",)) as first,
        pytest.raises(AssertionError, match="cannot listen on"),
        worker(tmp_path, address=first.address, models=("climatology",)),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": "0.0.0.0:7430"}, "can be reached from other machines"),
        ({"address": "10.0.0.1:7430"}, "can be reached from other machines"),
        ({"address": "[::]:7430"}, "can be reached from other machines"),
        ({"address": "example.com:7430"}, "has no IP address"),
        ({"address": "127.0.0.1"}, "has no port"),
        ({"address": "unix:/no/such/place/w.sock"}, "make it first"),
        ({"metrics_address": "0.0.0.0:9100"}, "can be reached from other machines"),
        ({"compute": "gpu"}, "choose local or ray"),
        ({"graphs": "often"}, "choose auto, always or never"),
        ({"models": ()}, "no model is named"),
    ],
)
def test_a_wrong_configuration_says_what_to_change(settings, message):
    with pytest.raises(WorkerConfigError, match=message):
        WorkerConfig(**settings)
