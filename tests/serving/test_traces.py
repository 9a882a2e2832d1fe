"""A caller's trace goes through the server: to an OpenTelemetry collector, to the worker, into the journal."""

import json
import queue
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bespeak import Client, Item, Location
from bespeak.v1 import common_pb2, forecast_pb2, forecast_pb2_grpc, promise_pb2, promise_pb2_grpc
from tests.serving.cli_process import process, run, server
from tests.serving.worker_process import as_ipc, history

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
PROMISE = "bespeak.v1.PromiseService/Promise"
FORECAST = "bespeak.v1.ForecastService/Forecast"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OTLP receiver that keeps every span with the name of its service."""

    def __init__(self):
        self.spans = queue.SimpleQueue()

    def Export(self, request, _context):  # noqa: N802 - named by the protocol
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put((names["service.name"], span))
        return trace_service_pb2.ExportTraceServiceResponse()

    def received(self):
        found = []
        while not self.spans.empty():
            found.append(self.spans.get())
        return found


@contextmanager
def collector():
    """A collector on a free loopback port, and its address."""
    receiver = Collector()
    listening = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        yield receiver, f"http://127.0.0.1:{port}"
    finally:
        listening.stop(None).wait()


def traceparent(sampled):
    return [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-{sampled:02x}")]


def promise_request(quantity):
    return promise_pb2.PromiseRequest(
        context=common_pb2.RequestContext(request_id=str(uuid.uuid4())),
        lines=[promise_pb2.PromiseLine(item="tea", quantity=quantity)],
        locations=["ams1"],
    )


def configure(place, text):
    (place / "bespeak.toml").write_text(text)


def test_calls_are_spans_below_the_caller(tmp_path):
    with collector() as (received, endpoint):
        sockets = tmp_path / "worker.sock"
        configure(tmp_path, f'[server.traces]\nendpoint = "{endpoint}"\n[server.compute]\naddress = "unix:{sockets}"\n')
        worker_arguments = ["--address", f"unix:{sockets}", "--model", "climatology"]
        with (
            process("worker", *worker_arguments, cwd=tmp_path) as worker,
            server("--data", tmp_path / "journal", cwd=tmp_path) as (running, address),
            grpc.insecure_channel(address) as channel,
        ):
            worker.line("serving")
            with Client(address) as client:
                client.put_item(Item("tea"))
                client.put_location(Location("ams1"))
                client.set_on_hand("tea", "ams1", 5)
            promise = promise_pb2_grpc.PromiseServiceStub(channel).Promise
            promise(promise_request(2), timeout=30, metadata=traceparent(sampled=1))
            with pytest.raises(grpc.RpcError):
                promise(promise_request(0), timeout=30, metadata=traceparent(sampled=1))
            # Neither of these was sampled by its caller, and the share of the others is 0.
            promise(promise_request(1), timeout=30, metadata=traceparent(sampled=0))
            promise(promise_request(1), timeout=30)
            forecast = forecast_pb2_grpc.ForecastServiceStub(channel).Forecast
            asked = forecast_pb2.ForecastRequest(context=as_ipc(history(2)), horizon=7)
            assert not forecast(asked, timeout=30, metadata=traceparent(sampled=1)).fallback
            told = worker.line("answered", method="Forecast")
            assert running.stop() == 0, "a stop sends what is left"
            assert worker.stop() == 0
        spans = received.received()
    assert {service for service, _ in spans} == {"bespeak"}
    done, refused, computed = sorted((span for _, span in spans), key=lambda span: span.start_time_unix_nano)
    for span, name in ((done, PROMISE), (refused, PROMISE), (computed, FORECAST)):
        assert (span.name, span.kind) == (name, Span.SPAN_KIND_SERVER)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
        (executed,) = (event for event in span.events if event.name == "executed")
        assert span.start_time_unix_nano <= executed.time_unix_nano <= span.end_time_unix_nano
    codes = [
        {each.key: each.value.int_value for each in span.attributes}["rpc.grpc.status_code"] for span in (done, refused)
    ]
    assert codes == [grpc.StatusCode.OK.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]]
    assert (done.status.code, refused.status.code) == (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR)
    # What the worker does is below the server's own span.
    assert (told["trace_id"], told["parent_span_id"]) == (TRACE_ID, computed.span_id.hex())


def test_the_journal_keeps_the_trace_of_a_write(tmp_path):
    with (
        server("--data", tmp_path / "journal", cwd=tmp_path) as (running, address),
        grpc.insecure_channel(address) as channel,
    ):
        with Client(address) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("ams1"))
            client.set_on_hand("tea", "ams1", 5)
        promise_pb2_grpc.PromiseServiceStub(channel).Promise(
            promise_request(2), timeout=30, metadata=traceparent(sampled=0)
        )
        assert running.stop() == 0
    dumped = run("journal", "dump", tmp_path / "journal", cwd=tmp_path).stdout.splitlines()
    metas = [json.loads(line)["meta"] for line in dumped]
    assert [meta["trace_id"] for meta in metas if meta["trace_id"]] == [TRACE_ID]


def test_a_collector_that_is_away_costs_no_answer(tmp_path):
    with collector() as (_, endpoint):
        pass  # It is gone, and its port is free.
    configure(tmp_path, f'[server.traces]\nendpoint = "{endpoint}"\nsample_ratio = 1.0\n')
    with server("--memory", cwd=tmp_path) as (running, address):
        with Client(address) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("ams1"))
            client.set_on_hand("tea", "ams1", 5)
            assert client.check("tea", "ams1").available == 5
        assert running.stop() == 0
