"""Holds of plans: exactly the plan, once for a request, and never more than there is."""

import json
import random
import threading

import pyarrow as pa
import pytest

from bespeak import Client, PromiseLine
from bespeak._core import Server
from bespeak.errors import BespeakError, InvalidArgument, NotFound, Overloaded, RequestIdReused
from tests.spec.allocation_shop import ITEMS, PLACES, left, network, orders, rows, stocked, terms

REQUEST_ID = "01936f2e-8c1a-4b3e-9d4f-0123456789ab"
MESSAGE_BYTES = 16_384


@pytest.fixture
def shop(service):
    return stocked(service, {("tea", "ams1"): 5, ("tea", "rtm1"): 5, ("rice", "rtm1"): 5, ("salt", "utr1"): 2})


def test_what_is_planned_is_held(shop):
    before = left(shop)
    batch = orders(
        ("a", 1, "tea", 2),
        ("b", 1, "tea", 1),
        ("b", 2, "rice", 3),
        ("c", 1, "salt", 3),
        customer=["c1", "c2", "c2", "c3"],
        segment=["web"] * 4,
        tier=[2, 0, 0, 0],
    )
    plan = shop.allocate(batch, terms(), hold=True, expires_in_ms=60_000)
    assert [(one.order_id, one.state, one.replayed, one.replanned, one.refusal) for one in plan.held] == [
        ("a", "HELD", False, 0, None),
        ("b", "HELD", False, 0, None),
    ]
    after = left(shop)
    for item in ITEMS:
        for place in PLACES:
            taken = sum(
                quantity
                for (order, line), (location, _, quantity) in rows(plan).items()
                if location == place and (order, line) in {("a", 1), ("b", 1)} and item == "tea"
            )
            taken += 3 if (item, place) == ("rice", "rtm1") else 0
            assert before[item, place] - after[item, place] == taken
    held = {one.order_id: shop.get_reservation(one.reservation_id) for one in plan.held}
    assert (held["a"].order_ref, held["a"].customer, held["a"].segment, held["a"].tier) == ("a", "c1", "web", 2)
    assert [(line.item, line.location, line.open_quantity) for line in held["b"].lines] == [
        ("tea", "rtm1", 1),
        ("rice", "rtm1", 3),
    ]
    assert plan.objective_minor == plan.costs.package_minor + plan.costs.handling_minor + plan.costs.unfilled_minor
    assert plan.costs.unfilled_minor == 10_000
    assert shop.unmet_demand() == ()


def test_confirmed_in_the_same_step(shop):
    plan = shop.allocate(orders(("a", 1, "tea", 2)), terms(), hold=True, confirm=True)
    (held,) = plan.held
    assert (held.state, held.expires_at_ms) == ("CONFIRMED", 0)
    assert shop.fulfil(held.reservation_id).refusal is None


def test_sent_again_orders_are_answered_as_they_were(shop):
    batch = orders(("a", 1, "tea", 2), ("b", 1, "tea", 3))
    first = shop.allocate(batch, terms(), hold=True, request_id=REQUEST_ID)
    stock = left(shop)
    again = shop.allocate(batch, terms(), hold=True, request_id=REQUEST_ID)
    assert left(shop) == stock
    assert [one.reservation_id for one in again.held] == [one.reservation_id for one in first.held]
    assert all(one.replayed for one in again.held)
    assert again.plan == first.plan
    assert again.objective_minor == first.objective_minor
    # With one order more, only that is planned and held.
    more = shop.allocate(
        orders(("a", 1, "tea", 2), ("b", 1, "tea", 3), ("c", 1, "rice", 1)), terms(), hold=True, request_id=REQUEST_ID
    )
    assert [one.replayed for one in more.held] == [True, True, False]
    assert rows(more) == rows(first) | {("c", 1): ("rtm1", "road", 1)}
    assert more.objective_minor == first.objective_minor + 700
    assert more.bound_minor <= more.objective_minor


def test_nothing_is_held_whose_answer_would_be_too_large():
    """The error says that nothing was changed: the caller sends smaller parts, and nothing is held twice."""
    count = 400
    names = [f"o{n:03d}" for n in range(count)]
    batch = pa.table(
        {
            "order_id": names,
            "line": pa.array([1] * count, pa.int32()),
            "item": pa.array(["tea"] * count).dictionary_encode(),
            "quantity": pa.array([1] * count, pa.int32()),
            "unfilled_minor": pa.array([10_000] * count, pa.int32()),
            "zone": pa.array(["north"] * count).dictionary_encode(),
        }
    )
    server = Server(json.dumps({"listen": "127.0.0.1:0", "limits": {"message_bytes": MESSAGE_BYTES}}))
    server.wait_ready(30_000)
    with Client(server.address) as client:
        stocked(client, {("tea", "ams1"): 2 * count})
        client.put_network("nl", network())
        named = terms(network="nl")
        with pytest.raises(Overloaded) as large:
            client.allocate(batch, named, hold=True, confirm=True)
        assert large.value.code == "MESSAGE_TOO_LARGE"
        assert left(client)["tea", "ams1"] == 2 * count
        for first in range(0, count, count // 4):
            plan = client.allocate(batch.slice(first, count // 4), named, hold=True, confirm=True)
            assert {one.state for one in plan.held} == {"CONFIRMED"}
        assert left(client)["tea", "ams1"] == count
    server.drain()
    server.wait()


@pytest.mark.parametrize(
    "other",
    [{"zone": ["south"]}, {"class": [1]}, {"ship_complete": [True]}, {"max_packages": [1]}, {"tier": [1]}],
    ids=lambda other: next(iter(other)),
)
def test_the_same_lines_asked_for_otherwise_are_another_order(shop, other):
    shop.allocate(orders(("a", 1, "tea", 2)), terms(), hold=True, request_id=REQUEST_ID)
    with pytest.raises(RequestIdReused):
        shop.allocate(orders(("a", 1, "tea", 2), **other), terms(), hold=True, request_id=REQUEST_ID)


def test_what_was_held_before_has_its_part_of_the_capacity(shop):
    """Three units leave ams1 at noon: those of the first call, and none of the second."""
    noon = pa.table({"location": ["ams1"], "window": ["noon"], "units": [3]})
    limited = terms(network=network(capacity=noon))
    first = shop.allocate(orders(("a", 1, "tea", 2)), limited, hold=True, request_id=REQUEST_ID)
    both = orders(("a", 1, "tea", 2), ("b", 1, "tea", 2))
    again = shop.allocate(both, limited, hold=True, request_id=REQUEST_ID)
    assert rows(first)["a", 1][0] == "ams1"
    assert {key: place for key, (place, *_) in rows(again).items()} == {("a", 1): "ams1", ("b", 1): "rtm1"}


def test_stock_of_the_caller_that_was_held_before_is_not_planned_again(shop):
    """Of four units that the caller has at rtm1 two are held; one order more is planned again, and gets what is left."""
    stock = pa.table({"item": ["tea", "tea"], "location": ["ams1", "rtm1"], "available": [2, 4]})
    first = orders(("a", 1, "tea", 2), ("b", 1, "tea", 2))
    shop.allocate(first, terms(stock=stock), hold=True, request_id=REQUEST_ID)
    # What the caller has at ams1 is gone in the engine.
    shop.set_on_hand("tea", "ams1", 2)
    all_three = orders(("a", 1, "tea", 2), ("b", 1, "tea", 2), ("c", 1, "tea", 3))
    more = pa.table({"item": ["tea", "tea"], "location": ["ams1", "rtm1"], "available": [5, 4]})
    plan = shop.allocate(all_three, terms(stock=more), hold=True, request_id=REQUEST_ID)
    held = [quantity for place, _, quantity in rows(plan).values() if place == "rtm1"]
    assert sum(held) <= 4


def test_the_same_request_twice_at_once_holds_one_plan(client):
    """Two calls under one id that would plan otherwise: whoever comes second is told what the first one holds."""
    stocked(client, {("tea", "ams1"): 100, ("tea", "rtm1"): 100})
    batch = orders(*[(f"o{n}", 1, "tea", 1 + n % 3) for n in range(120)])
    dear = network(locations=pa.table({"location": PLACES, "handling_minor": [9000, 0, 0]}))
    ready, plans = threading.Barrier(2), []

    def allocate(net):
        with Client(client.address) as mine:
            ready.wait(30)
            while True:
                try:
                    plans.append(mine.allocate(batch, terms(network=net), hold=True, request_id=REQUEST_ID))
                    return
                except Overloaded:
                    continue

    threads = [threading.Thread(target=allocate, args=(net,)) for net in (network(), dear)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = plans
    assert len(rows(one)) >= 50
    for plan in (one, other):
        held = {hold.order_id: client.get_reservation(hold.reservation_id) for hold in plan.held if hold.reservation_id}
        told = {order: place for (order, _), (place, *_) in rows(plan).items()}
        assert told == {name: hold.lines[0].location for name, hold in held.items()}


def test_another_order_under_the_same_id_is_refused(shop):
    shop.allocate(orders(("a", 1, "tea", 2)), terms(), hold=True, request_id=REQUEST_ID)
    stock = left(shop)
    with pytest.raises(RequestIdReused):
        shop.allocate(orders(("z", 1, "rice", 1), ("a", 1, "tea", 3)), terms(), hold=True, request_id=REQUEST_ID)
    assert left(shop) == stock


def test_what_no_longer_fits_is_planned_again(shop):
    # The caller believes in more tea at ams1 than there is.
    stock = pa.table({"item": ["tea", "tea"], "location": ["ams1", "rtm1"], "available": [100, 100]})
    batch = orders(("a", 1, "tea", 4), ("b", 1, "tea", 4), ("c", 1, "tea", 4))
    plan = shop.allocate(batch, terms(stock=stock), hold=True)
    held = {one.order_id: one for one in plan.held}
    assert sum(one.reservation_id != 0 for one in held.values()) == 2
    assert sorted(one.replanned for one in held.values())[-1] >= 1
    (none,) = [one for one in held.values() if one.reservation_id == 0]
    assert none.refusal == "INSUFFICIENT_STOCK"
    assert {location for location, _, _ in rows(plan).values()} == {"ams1", "rtm1"}
    assert left(shop)["tea", "ams1"] == left(shop)["tea", "rtm1"] == 1
    assert plan.lines_filled == 2
    assert plan.objective_minor == 500 + 20 + 700 + 10_000


def test_a_limit_of_the_customer_is_an_answer(service):
    """A customer may hold 1,000,000,000 units: one more is refused, and no demand that was not met."""
    stocked(service, {("tea", "rtm1"): 2 * 10**9})
    batch = orders(("a", 1, "tea", 10**9), ("b", 1, "tea", 1), ("c", 1, "tea", 1), customer=["c1", "c1", "c2"])
    plan = service.allocate(batch, terms(), hold=True)
    assert {one.order_id: one.refusal for one in plan.held} == {"a": None, "b": "CUSTOMER_LIMIT", "c": None}
    assert {order for order, _ in rows(plan)} == {"a", "c"}
    assert (plan.lines_filled, plan.costs.unfilled_minor) == (2, 10_000)
    assert service.unmet_demand() == ()


def test_a_life_that_cannot_be_holds_nothing(client):
    stocked(client, {("tea", "ams1"): 5})
    with pytest.raises(InvalidArgument, match="expires_in_ms"):
        client.allocate(orders(("a", 1, "tea", 1)), terms(), hold=True, expires_in_ms=10**12)
    assert left(client)["tea", "ams1"] == 5


@pytest.mark.parametrize(
    ("table", "fields", "error", "said"),
    [
        (orders(("a", 1, "tea", 1), ("b", 1, "ghost", 1)), {}, NotFound, "ghost"),
        (
            orders(("a", 1, "tea", 1)),
            {"stock": pa.table({"item": ["tea"], "location": ["moon"], "available": [1]})},
            NotFound,
            "moon",
        ),
        (orders(*[("a", n, "tea", 1) for n in range(257)]), {}, InvalidArgument, "256"),
    ],
)
def test_nothing_is_held_of_a_batch_that_makes_no_sense(shop, table, fields, error, said):
    stock = left(shop)
    if said == "moon":
        options = pa.table({"order_id": ["a"], "line": pa.array([1], pa.int32()), "location": ["moon"]})
        fields = fields | {"network": None, "options": options}
    with pytest.raises(error, match=said):
        shop.allocate(table, terms(**fields), hold=True)
    assert left(shop) == stock


def test_two_allocators_and_promises_on_the_same_stock(server):
    """Many threads want the same little stock: what is held in the end is what there was, and everything once."""
    with Client(server.address) as client:
        units = {("tea", "ams1"): 40, ("tea", "rtm1"): 40, ("rice", "ams1"): 30, ("salt", "utr1"): 20}
        stocked(client, units)
        for item in ITEMS:
            for place in PLACES:
                client.set_on_hand(item, place, units.get((item, place), 0))
    held = []
    failed = []

    def allocator(name):
        rng = random.Random(name)
        try:
            with Client(server.address, timeout_ms=60_000) as mine:
                for n in range(12):
                    lines = [(f"{name}{n}-{k}", 1, rng.choice(ITEMS), rng.randint(1, 3)) for k in range(6)]
                    plan = mine.allocate(orders(*lines), terms(budget_ms=20), hold=True)
                    held.extend(one.reservation_id for one in plan.held if one.reservation_id)
        except BespeakError as error:
            failed.append(error)

    def promiser(name):
        rng = random.Random(name)
        try:
            with Client(server.address, timeout_ms=60_000) as mine:
                for _ in range(60):
                    line = PromiseLine(rng.choice(ITEMS), rng.randint(1, 2))
                    answer = mine.promise([line], locations=PLACES)
                    if answer.reservation_id:
                        held.append(answer.reservation_id)
        except BespeakError as error:
            failed.append(error)

    threads = [threading.Thread(target=allocator, args=(name,)) for name in ("a", "b")]
    threads += [threading.Thread(target=promiser, args=(f"p{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(set(held)) == len(held)
    with Client(server.address) as client:
        taken = dict.fromkeys(units, 0)
        for reservation in held:
            for line in client.get_reservation(reservation).lines:
                taken[line.item, line.location] += line.open_quantity
        rest = left(client)
        assert {place: taken[place] + rest[place] for place in units} == units
        assert min(rest.values()) >= 0
        assert not client.list_shocks()
        assert client.reconcile().discrepancies == ()
        # All of it was wanted, several times over.
        assert sum(rest.values()) <= 10
