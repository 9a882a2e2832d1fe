"""Few plans at once; who leaves gives the place back."""

import threading
import time

import grpc

from bespeak import AllocationLine, AllocationOrder, Client
from bespeak._methods.allocation import _request, order_message, terms_message
from bespeak.errors import Overloaded
from bespeak.v1 import allocation_pb2, allocation_pb2_grpc
from tests.spec.allocation_shop import left, orders, stocked, terms

MANY = orders(*[(f"o{n}", 1, "tea", 1 + n % 3) for n in range(300)])


def test_a_place_is_free_again_when_the_caller_leaves(client):
    stocked(client, {("tea", "ams1"): 100, ("tea", "rtm1"): 100})
    long = _request(MANY, terms(budget_ms=600_000, solver="search"))
    channel = grpc.insecure_channel(client.address)
    stub = allocation_pb2_grpc.AllocationServiceStub(channel)
    calls = []
    with Client(client.address) as other:
        end = time.monotonic() + 30
        # Each takes a place when it has arrived: until then others get in.
        while True:
            calls.append(stub.Allocate.future(long, timeout=120))
            try:
                other.allocate(MANY, terms(budget_ms=1))
            except Overloaded as full:
                assert full.retry_after_ms == 50
                break
            assert time.monotonic() < end, "nobody is told that it is full"
        # Promises go on beside them.
        assert other.check("tea", "ams1").available == 100
        for call in calls:
            call.cancel()
        end = time.monotonic() + 30
        while True:
            try:
                assert other.allocate(MANY, terms(budget_ms=1)).lines == 300
                break
            except Overloaded:
                assert time.monotonic() < end, "the place of who left stays taken"
    channel.close()


def test_streams_that_leave_give_their_places_back(client):
    stocked(client, {("tea", "ams1"): 100, ("tea", "rtm1"): 100})
    channel = grpc.insecure_channel(client.address)
    submit = allocation_pb2_grpc.AllocationServiceStub(channel).SubmitOrders
    over = threading.Event()

    def feed(number):
        # Of different budgets, so that each stream is a group of its own.
        asked = terms_message(terms(budget_ms=600_000 - number, solver="search"))
        yield allocation_pb2.SubmitOrdersRequest(terms=asked, delay_ms=1_000)
        for n in range(300):
            line = AllocationLine(1, "tea", 1 + n % 3, 10_000)
            yield allocation_pb2.SubmitOrdersRequest(
                order=order_message(AllocationOrder(f"o{n}", (line,), zone="north"))
            )
        over.wait(60)

    with Client(client.address) as other:
        # More than have a place: a search that is soon done is followed by another.
        streams = [submit(feed(number), timeout=120) for number in range(12)]
        _until(lambda: _is_full(other), "the streams never plan")
        for stream in streams:
            stream.cancel()
        over.set()
        _until(lambda: not _is_full(other), "the places of streams that left stay taken")
    channel.close()


def _is_full(client):
    try:
        client.allocate(MANY, terms(budget_ms=1))
    except Overloaded:
        return True
    return False


def _until(holds, otherwise):
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, otherwise


def test_a_deadline_in_mid_search_is_met(client):
    stocked(client, {("tea", "ams1"): 100, ("tea", "rtm1"): 100})
    with Client(client.address, timeout_ms=3_000) as hurried:
        plan = hurried.allocate(MANY, terms(budget_ms=600_000, solver="search"), hold=True)
    assert plan.lines == 300
    stock = left(client)
    held = sum(row["quantity"] for row in plan.plan.to_pylist())
    assert stock["tea", "ams1"] + stock["tea", "rtm1"] == 200 - held
