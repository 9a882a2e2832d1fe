"""Tables and terms that make no sense: each is refused by name, and nothing is changed by any."""

import random

import grpc
import pyarrow as pa
import pytest

from bespeak import AllocationTerms, Change, CostChange, StockChange, TierFloor
from bespeak.errors import BespeakError, InvalidArgument
from bespeak.requests import CapacityChange
from bespeak.v1 import allocation_pb2
from tests.fuzz.allocation import COLUMNS, sound, table
from tests.fuzz.messages import random_message
from tests.spec.allocation_shop import PLACES, left, network, orders, stocked, terms

GOOD = orders(("a", 1, "tea", 1))


@pytest.fixture
def shop(service):
    return stocked(service, {("tea", "ams1"): 5, ("salt", "utr1"): 2})


def with_column(batch, name, values):
    return batch.set_column(batch.column_names.index(name), name, pa.array(values))


RATES = network().rates


@pytest.mark.parametrize(
    ("batch", "fields", "said"),
    [
        (GOOD.slice(0, 0), {}, "orders is no rows"),
        (orders(("a", 1, "tea", 0)), {}, r"orders\[0\].quantity is 0"),
        (orders(("a", 1, "tea", 10**9 + 1)), {}, r"orders\[0\].quantity is 1000000001"),
        (orders(("a", 1, "tea", 1), ("a", 1, "tea", 2)), {}, "line 1 of order a again"),
        (orders(("a", 1, "tea", 1), tier=[8]), {}, r"orders\[0\].tier is 8"),
        (orders(("a", 1, "tea", 1), ("a", 2, "tea", 1), zone=["north", "south"]), {}, r"orders\[1\].zone"),
        (orders(("", 1, "tea", 1)), {}, "order_id"),
        (GOOD.drop_columns(["item"]), {}, "column item of orders is absent"),
        (GOOD.append_column("colour", pa.array(["red"])), {}, "colour"),
        (with_column(GOOD, "quantity", [1.5]), {}, "type of column quantity of orders"),
        (GOOD, {"network": None}, "rates"),
        (GOOD, {"options": GOOD}, "options is there beside rates"),
        (GOOD, {"network": network(rates=with_column(RATES, "package_minor", [-1] * 6))}, r"rates\[0\].package_minor"),
        (GOOD, {"network": network(rates=pa.concat_tables([RATES, RATES]))}, r"rates\["),
        (GOOD, {"network": network(tier_confidence=(1.5,))}, "tier_confidence"),
        (
            GOOD,
            {"stock": pa.table({"item": ["tea"], "location": ["ams1"], "available": [-1]})},
            r"stock\[0\].available",
        ),
        (
            GOOD,
            {"stock": pa.table({"item": ["tea"] * 2, "location": ["ams1"] * 2, "available": [1, 1]})},
            r"stock\[1\]",
        ),
        (
            GOOD,
            {"capacity": pa.table({"location": ["ams1"], "window": ["noon"], "units": [-1]})},
            r"capacity\[0\].units",
        ),
        (
            orders(("a", 7, "tea", 1), weight_g=[10**12]),
            {"network": network(rates=with_column(RATES, "minor_per_kg", [2**34] * 6))},
            r"cost of serving line 7 of order a is \d+, it may be at most",
        ),
        (
            orders(("a", 7, "tea", 10**9)),
            {
                "network": network(locations=pa.table({"location": PLACES, "handling_minor": [2**34] * 3})),
                "stock": pa.table({"item": ["tea"], "location": ["ams1"], "available": [2**62]}),
            },
            "cost of serving line 7 of order a is",
        ),
        (orders(*[("a", n, "tea", 1) for n in range(1_001)]), {}, r"orders\[1000\] is one of 1001 lines of order a"),
        (GOOD, {"budget_ms": 600_001}, "budget_ms is 600001"),
        (GOOD, {"floors": (TierFloor(0, 1_000_001),)}, r"floors\[0\].fill_ppm"),
        (GOOD, {"floors": (TierFloor(0, 1), TierFloor(0, 2))}, r"floors\[1\].tier"),
    ],
)
def test_refused_by_name(shop, batch, fields, said):
    before = shop.stats(with_digest=True).digest
    for hold in (False, True):
        with pytest.raises(InvalidArgument, match=said):
            shop.allocate(batch, terms(**fields), hold=hold)
    assert shop.stats(with_digest=True).digest == before


def test_huge_products_are_refused_at_once(shop):
    """A million cells are planned, many millions are refused before they are laid out."""
    count = 40_000
    places = [f"p{n}" for n in range(count)]
    rates = pa.table({"location": places, "zone": ["north"] * count, "package_minor": [1] * count})
    locations = pa.table({"location": places})
    wide = terms(network=network(rates=rates, locations=locations))
    with pytest.raises(InvalidArgument, match="lines times ways"):
        shop.allocate(orders(*[("a", n, "tea", 1) for n in range(1_000)]), wide)
    assert shop.allocate(orders(*[("a", n, "tea", 1) for n in range(50)]), wide).lines == 50


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(), r"changes\[0\].change is missing"),
        (Change(close_location="moon"), r"changes\[0\].close_location is moon"),
        (Change(stock=StockChange("moon", "ams1", 1)), "stock.item is moon"),
        (Change(capacity=CapacityChange("ams1", "night", 1)), "capacity.window is night"),
        (Change(capacity=CapacityChange("ams1", "noon", -1)), "capacity.units is -1"),
        (Change(cost=CostChange(10**9 + 1)), "cost.factor_ppm"),
    ],
)
def test_changes_that_make_no_sense(shop, change, said):
    with pytest.raises(InvalidArgument, match=said):
        shop.simulate(GOOD, [change], terms())


def test_numbers_at_their_limits_are_planned(shop):
    most = 2**34
    batch = orders(("a", 1, "tea", 10**9), unfilled_minor=[most], weight_g=[10**12])
    assert shop.allocate(batch, terms()).objective_minor == most
    stock = pa.table({"item": ["tea"], "location": ["rtm1"], "available": [2**62]})
    dear = network(rates=with_column(RATES, "package_minor", [most] * 6))
    batch = orders(("a", 1, "tea", 10**9), unfilled_minor=[most], weight_g=[0])
    plan = shop.allocate(batch, terms(network=dear, stock=stock))
    assert plan.bound_minor <= plan.objective_minor == most
    told = shop.simulate(GOOD, [Change(stock=StockChange("tea", "ams1", 2**63 - 1))] * 3, terms())
    assert told.after.lines_filled == 1


def test_nearly_right_tables_are_planned_or_refused(shop):
    """No table makes the engine fail or hold something without being asked to."""
    seed = 20_261_126
    print(f"seed {seed}")
    dice = random.Random(seed)
    before = shop.stats(with_digest=True).digest
    planned = 0
    for _ in range(150):
        # All of them sound, or one that may not be.
        odd = dice.choice([None, *COLUMNS])
        tables = {name: table(dice, name) if name == odd else sound(dice, name) for name in COLUMNS}
        message = allocation_pb2.AllocateRequest(budget_ms=5, solver="search")
        given = dice.random() < 0.3
        for name in ("orders", "stock", "capacity") + (("options", "packages") if given else ()):
            setattr(message, name, tables.get(name, b""))
        if not given:
            parts = ("locations", "rates", "exclusions", "protection")
            message.network.CopyFrom(allocation_pb2.Network(**{name: tables.get(name, b"") for name in parts}))
        try:
            method = "/bespeak.v1.AllocationService/Allocate"
            planned += bool(_raw(shop, method, message))
        except InvalidArgument:
            pass
    assert planned > 30
    assert shop.stats(with_digest=True).digest == before
    assert left(shop)["tea", "ams1"] == 5


def _raw(service, path, message):
    """Sends a message as it is."""
    if hasattr(service, "call"):
        return service.call(path, message.SerializeToString())
    channel = grpc.insecure_channel(service.address)
    try:
        return channel.unary_unary(path)(message.SerializeToString(), timeout=30)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error.details()
        raise InvalidArgument("INVALID_ARGUMENT", error.details()) from None
    finally:
        channel.close()


@pytest.mark.parametrize("name", ["PutNetwork", "Allocate", "Explain", "Simulate", "Reoptimise"])
def test_random_messages_are_answered_or_refused(engine, name):
    stocked(engine, {("tea", "ams1"): 5})
    kinds = allocation_pb2.DESCRIPTOR.services_by_name["AllocationService"].methods_by_name
    kind = getattr(allocation_pb2, kinds[name].input_type.name)
    dice = random.Random(name)
    for _ in range(60):
        message = random_message(dice, kind, 1_800_000_000_000)
        asked = message if name == "Allocate" else getattr(message, "terms", None)
        if asked is not None:
            asked.budget_ms = 5
        try:
            engine.call(f"/bespeak.v1.AllocationService/{name}", message.SerializeToString())
        except BespeakError as error:
            assert error.code not in {"INTERNAL", "UNKNOWN_METHOD"}, error
    assert engine.reconcile().discrepancies == ()


def test_terms_need_a_network_of_some_kind(shop):
    with pytest.raises(InvalidArgument, match="network is 7"):
        shop.allocate(GOOD, AllocationTerms(network=7))
