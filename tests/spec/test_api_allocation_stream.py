"""Orders in a stream: planned together, each answered once, whatever happens to the stream."""

import itertools
import json
import threading
from collections import Counter

import grpc
import pytest

from bespeak import AllocationLine, AllocationOrder, Client
from bespeak._core import Server
from bespeak.errors import InvalidArgument, NotFound, Unavailable
from bespeak.v1 import allocation_pb2, allocation_pb2_grpc
from tests.spec.allocation_shop import left, network, stocked, terms

REQUEST_ID = "01936f2e-8c1a-4b3e-9d4f-0123456789ab"


@pytest.fixture
def shop(client):
    shop = stocked(client, {("tea", "ams1"): 500, ("tea", "rtm1"): 500, ("salt", "utr1"): 2})
    shop.put_network("nl", network())
    return shop


def order(name, *lines, **more):
    lines = lines or (("tea", 1),)
    made = (AllocationLine(n, item, quantity, 10_000) for n, (item, quantity) in enumerate(lines, 1))
    return AllocationOrder(name, tuple(made), **({"zone": "north"} | more))


def test_every_order_is_answered_once(shop):
    asked = [order(f"o{n}") for n in range(700)]
    answers = list(shop.submit_orders(asked, terms(network="nl", budget_ms=20), delay_ms=5))
    assert Counter(one.order_id for one in answers) == Counter(one.order_id for one in asked)
    assert {one.error for one in answers} == {""}
    assert all(one.lines[0].location == "ams1" for one in answers[:400])
    sizes = {one.batch: one.batch_orders for one in answers}
    assert sum(sizes.values()) == 700
    # They come faster than batches are planned: many are planned together.
    assert len(sizes) < 100
    assert left(shop)["tea", "ams1"] == 500


def test_orders_are_held_once_also_when_sent_again(shop):
    asked = [order(f"o{n}", ("tea", 2)) for n in range(50)]
    fields = {"hold": True, "request_id": REQUEST_ID}
    first = {one.order_id: one for one in shop.submit_orders(asked, terms(network="nl"), **fields)}
    stock = left(shop)
    assert stock["tea", "ams1"] + stock["tea", "rtm1"] == 1000 - 100
    again = {one.order_id: one for one in shop.submit_orders(asked, terms(network="nl"), **fields)}
    assert left(shop) == stock
    for name, one in again.items():
        assert one.held.replayed
        assert one.held.reservation_id == first[name].held.reservation_id
        assert one.lines == first[name].lines


def test_a_wrong_order_is_told_and_the_others_are_planned(shop):
    asked = [order(f"o{n}") for n in range(20)]
    asked[3] = order("none", ("tea", 0))
    asked[7] = AllocationOrder("empty", ())
    asked[11] = order("ghost", ("ghost", 1))
    asked[12] = order("far", tier=9)
    answers = {one.order_id: one for one in shop.submit_orders(asked, terms(network="nl"), hold=True)}
    assert len(answers) == 20
    wrong = {name: one.error for name, one in answers.items() if one.error}
    assert wrong == {
        "none": "INVALID_ARGUMENT",
        "empty": "INVALID_ARGUMENT",
        "ghost": "UNKNOWN_ITEM",
        "far": "INVALID_ARGUMENT",
    }
    assert "quantity" in answers["none"].message
    held = [one.held.reservation_id for name, one in answers.items() if name not in wrong]
    assert len(set(held)) == 16
    assert left(shop)["tea", "ams1"] == 500 - 16


def test_a_wrong_order_does_not_tear_a_batch_apart(shop):
    """Two orders want the last salt: the one whose loss is dearer gets it, though a wrong one stands between them."""
    asked = [
        AllocationOrder("cheap", (AllocationLine(1, "salt", 2, 2_000),), zone="north"),
        order("none", ("tea", 0)),
        order("more", ("tea", 1)),
        AllocationOrder("dear", (AllocationLine(1, "salt", 2, 90_000),), zone="north"),
    ]
    stream = shop.submit_orders(asked, terms(network="nl"), delay_ms=500, hold=True)
    answers = {one.order_id: one for one in stream}
    assert {one.batch_orders for one in answers.values()} == {4}
    assert answers["none"].error == "INVALID_ARGUMENT"
    assert answers["dear"].lines[0].location == "utr1"
    assert answers["cheap"].lines[0].location == ""


def test_the_same_order_twice_is_planned_twice(shop):
    answers = list(shop.submit_orders([order("a"), order("a"), order("a")], terms(network="nl"), delay_ms=50))
    assert [one.order_id for one in answers] == ["a", "a", "a"]
    assert len({one.batch for one in answers}) == 3


def test_streams_with_the_same_terms_are_planned_together(shop):
    """Two streams that want the same two units of salt in one batch: one of them gets it."""
    ready = threading.Barrier(2)
    answers = []

    def stream(name):
        def feed():
            ready.wait(30)
            yield order(name, ("salt", 2))
            ready.wait(30)

        with Client(shop.address) as mine:
            answers.extend(mine.submit_orders(feed(), terms(network="nl"), delay_ms=1000, hold=True))

    threads = [threading.Thread(target=stream, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.order_id for one in answers) == ["a", "b"]
    assert {one.batch for one in answers} == {1}
    assert {one.batch_orders for one in answers} == {2}
    assert sorted(one.lines[0].location for one in answers) == ["", "utr1"]


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"network": None}, InvalidArgument, "rates"),
        ({"network": "de"}, NotFound, "de"),
        ({"network": "nl", "budget_ms": -1}, InvalidArgument, "budget_ms"),
    ],
)
def test_wrong_terms_end_the_stream(shop, fields, error, said):
    with pytest.raises(error, match=said):
        list(shop.submit_orders([order("a")], terms(**fields)))
    with pytest.raises(InvalidArgument, match="delay_ms"):
        list(shop.submit_orders([order("a")], terms(network="nl"), delay_ms=1001))


def test_what_the_orders_raise_is_raised_where_the_caller_is(shop):
    def feed():
        yield order("a")
        raise LookupError("the shop is shut")

    answers = []
    with pytest.raises(LookupError, match="the shop is shut"):
        answers.extend(shop.submit_orders(feed(), terms(network="nl")))
    with pytest.raises(InvalidArgument, match="lines"):
        list(shop.submit_orders([AllocationOrder("a", ("tea",))], terms(network="nl")))


def test_orders_without_terms_are_refused(shop):
    channel = grpc.insecure_channel(shop.address)
    submit = allocation_pb2_grpc.AllocationServiceStub(channel).SubmitOrders
    first = allocation_pb2.SubmitOrdersRequest(order=allocation_pb2.AllocationOrder(order_id="a"))
    with pytest.raises(grpc.RpcError) as refused:
        list(submit(iter([first])))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    channel.close()


def test_what_was_read_is_answered_when_the_server_drains():
    started = Server(json.dumps({"listen": "127.0.0.1:0"}))
    started.wait_ready(30_000)
    with Client(started.address) as client:
        stocked(client, {("tea", "ams1"): 500})
        client.put_network("nl", network())
        answers = []
        sent, over = itertools.count(), threading.Event()

        def feed():
            for _ in range(10):
                yield order(f"o{next(sent)}")
            started.drain()
            # The stream stays open until the server ends it.
            over.wait(60)

        stream = client.submit_orders(feed(), terms(network="nl"), delay_ms=200, hold=True)
        with pytest.raises(Unavailable):
            answers.extend(stream)
        over.set()
    started.wait()
    # Those that had come are answered, once each; the rest was not read.
    names = [one.order_id for one in answers]
    assert len(set(names)) == len(names)
    assert all(one.held.reservation_id for one in answers)
