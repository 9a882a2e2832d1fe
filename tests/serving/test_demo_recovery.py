"""What looks for losses must find them, and nothing else: reservations of a real server against what was noted."""

import asyncio
from dataclasses import replace

import grpc
import pytest

from bespeak import Client, Item, Location, PromiseLine
from bespeak.v1 import common_pb2, promise_pb2, promise_pb2_grpc
from serving.demo.desk import Booking
from serving.demo.network import DAY_MS, Order
from serving.demo.process import ServerProcess
from serving.demo.recovery import acknowledged, differences
from serving.demo.supply import context
from serving.demo.tally import Part, Stock

HELD, CONFIRMED = common_pb2.RESERVATION_STATE_HELD, common_pb2.RESERVATION_STATE_CONFIRMED
FULFILLED = common_pb2.RESERVATION_STATE_FULFILLED
TEA = ("tea", "shop")


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """A server with a held (1), a confirmed (2) and a finished reservation (3), and ways to look at it."""
    server = ServerProcess(tmp_path_factory.mktemp("demo-recovery"))
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(server.start())
        with Client(server.address) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("shop"))
            client.set_on_hand("tea", "shop", 20)
            ship_ms = client.stats().engine_time_ms + DAY_MS
            for units in (1, 2, 3):
                held = client.promise([PromiseLine("tea", units, "", ship_ms)], locations=["shop"])
                assert held.reservation_id == units
            client.confirm(2)
            client.confirm(3)

        async def run(check):
            async with grpc.aio.insecure_channel(server.address) as channel:
                return await check(channel)

        yield lambda check: loop.run_until_complete(run(check)), ship_ms
    finally:
        loop.run_until_complete(server.stop())
        loop.close()


@pytest.fixture(scope="module")
def handed_over(look):
    """The request that finished reservation 3, and the revision of its answer."""
    request = promise_pb2.FulfilRequest(context=context(), reservation_id=3)

    async def fulfil(channel):
        answer = await promise_pb2_grpc.PromiseServiceStub(channel).Fulfil(request)
        return request, answer.revision

    return look[0](fulfil)


def booking(number, state, ship_ms, **also):
    order = Order(str(number), "c", "shop", 0, 0, (("tea", number),), all_or_none=False, delivered=False)
    return Booking(order, number, state, 0, (Part(0, TEA, number, ship_ms),), **also)


def lost(look, *bookings, revision=0):
    return look[0](lambda channel: acknowledged(channel, list(bookings), revision)).lost


def test_what_is_there_is_found(look, handed_over):
    ship_ms = look[1]
    done = booking(3, FULFILLED, ship_ms, fulfil=handed_over)
    assert lost(look, booking(1, HELD, ship_ms), booking(2, CONFIRMED, ship_ms), done) == []


def test_a_call_on_the_way_may_have_been_done_or_not(look, handed_over):
    ship_ms = look[1]
    assert lost(look, booking(1, HELD, ship_ms, busy=True), booking(2, HELD, ship_ms, busy=True)) == []
    assert lost(look, booking(2, CONFIRMED, ship_ms, busy=True), booking(3, CONFIRMED, ship_ms, busy=True)) == []


@pytest.mark.parametrize(
    ("number", "state", "says"),
    [
        (1, CONFIRMED, "is RESERVATION_STATE_HELD, was acknowledged as RESERVATION_STATE_CONFIRMED"),
        (2, HELD, "is RESERVATION_STATE_CONFIRMED, was acknowledged as RESERVATION_STATE_HELD"),
        (3, CONFIRMED, "has left memory"),
        (9, CONFIRMED, "was never made"),
    ],
)
def test_what_is_not_as_acknowledged_is_lost(look, handed_over, number, state, says):
    (found,) = lost(look, booking(number, state, look[1]))
    assert says in found


def test_other_units_than_acknowledged_are_a_loss(look):
    ship_ms = look[1]
    other = replace(booking(2, CONFIRMED, ship_ms), parts=(Part(0, TEA, 5, ship_ms),))
    assert "holds" in lost(look, other)[0]


def test_a_forgotten_handing_over_is_a_loss(look, handed_over):
    request, revision = handed_over
    known = booking(3, FULFILLED, look[1], fulfil=(request, revision + 1))
    assert "is forgotten" in lost(look, known)[0]


def test_a_journal_that_ends_too_early_is_a_loss(look):
    assert "the journal ends at" in lost(look, revision=1_000_000)[0]


def test_a_position_that_differs_from_the_tally_is_named(look, handed_over):
    ship_ms = look[1]
    same = Stock(on_hand=17, commitments={(1, 0): (ship_ms, 1), (2, 0): (ship_ms, 2)})

    def compare(stock):
        return look[0](lambda channel: differences(channel, {TEA: stock}, lambda: None))

    assert compare(same) == []
    for other in (
        replace(same, on_hand=18),
        replace(same, commitments={(1, 0): (ship_ms, 1)}),
        replace(same, receipts={"po": (ship_ms, 4)}),
    ):
        (found,) = compare(other)
        assert found.startswith("tea at shop: the tally has")
