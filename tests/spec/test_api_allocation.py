"""Plans worked out by hand, asked of an engine in this process and of a server."""

import pyarrow as pa
import pytest

from bespeak import (
    AllocationLine,
    AllocationOrder,
    AllocationTerms,
    CapacityChange,
    Change,
    CostChange,
    PromiseLine,
    StockChange,
    TierFloor,
)
from bespeak.errors import InvalidArgument, NotFound
from tests.spec.allocation_shop import PLACES, left, network, orders, rows, stocked, terms


@pytest.fixture
def shop(service):
    return stocked(service, {("tea", "ams1"): 5, ("tea", "rtm1"): 5, ("rice", "rtm1"): 5, ("salt", "utr1"): 2})


def test_one_order_is_served_where_it_is_cheapest(shop):
    batch = orders(("o1", 1, "tea", 2), weight_g=[3000])
    plan = shop.allocate(batch, terms())
    # ams1: 500 + 30 of freight + 10 of handling; rtm1: 700 + 30.
    assert rows(plan) == {("o1", 1): ("ams1", "road", 2)}
    assert plan.objective_minor == 540
    assert 530 <= plan.bound_minor <= 540
    assert (plan.costs.package_minor, plan.costs.freight_minor, plan.costs.handling_minor) == (500, 30, 10)
    assert (plan.packages, plan.orders, plan.lines, plan.lines_filled) == (1, 1, 1, 1)
    assert (plan.made_by, plan.fallback, plan.held) == ("search@1", False, ())
    assert plan.lowest_customer_fill_ppm == 1_000_000


def test_one_package_is_cheaper_than_two(shop):
    # Apart: 500 + 5 and 700. Together from rtm1: 700.
    plan = shop.allocate(orders(("o1", 1, "tea", 1), ("o1", 2, "rice", 1)), terms())
    assert rows(plan) == {("o1", 1): ("rtm1", "road", 1), ("o1", 2): ("rtm1", "road", 1)}
    assert (plan.objective_minor, plan.packages) == (700, 1)


def test_an_order_without_a_table(shop):
    order = AllocationOrder(
        "o1", (AllocationLine(1, "tea", 2, 10_000), AllocationLine(7, "salt", 3, 400)), zone="south"
    )
    plan = shop.allocate(order, terms())
    # Only two of the salt are there: it stays, at its cost.
    assert rows(plan) == {("o1", 1): ("rtm1", "road", 2)}
    assert plan.objective_minor == 400 + 400
    assert (plan.lines, plan.lines_filled) == (2, 1)


def test_scarce_stock_goes_where_it_saves_most(shop):
    batch = orders(("a", 1, "salt", 2), ("b", 1, "salt", 2), unfilled_minor=[3000, 9000])
    plan = shop.allocate(batch, terms())
    assert rows(plan) == {("b", 1): ("utr1", "road", 2)}
    assert plan.objective_minor == 900 + 3000
    assert plan.bound_minor <= plan.objective_minor


def test_a_dry_run_changes_nothing(shop):
    before = shop.stats(with_digest=True).digest, left(shop)
    shop.allocate(orders(("o1", 1, "tea", 5)), terms())
    shop.explain_allocation(orders(("o1", 1, "tea", 5)), "o1", terms())
    shop.simulate(orders(("o1", 1, "tea", 5)), [Change(close_location="ams1")], terms())
    assert (shop.stats(with_digest=True).digest, left(shop)) == before


def test_stock_of_the_caller_counts_in_the_place_of_the_engines(shop):
    stock = pa.table({"item": ["tea"], "location": ["utr1"], "available": [9]})
    plan = shop.allocate(orders(("o1", 1, "tea", 9)), terms(stock=stock))
    assert rows(plan) == {("o1", 1): ("utr1", "road", 9)}


def test_costs_said_one_by_one(shop):
    options = pa.table(
        {
            "order_id": ["a", "a", "b"],
            "line": pa.array([1, 1, 1], pa.int32()),
            "location": ["ams1", "rtm1", "ams1"],
            "cost_minor": [10, 20, 10],
        }
    )
    batch = orders(("a", 1, "tea", 5), ("b", 1, "tea", 5))
    plan = shop.allocate(batch, AllocationTerms(options=options))
    assert rows(plan) == {("a", 1): ("rtm1", "", 5), ("b", 1): ("ams1", "", 5)}
    assert (plan.objective_minor, plan.costs.lines_minor) == (150, 150)


def test_capacity_and_protection_bind(shop):
    batch = orders(("a", 1, "tea", 3), ("b", 1, "tea", 2), **{"class": [1, 0]})
    capacity = pa.table({"location": ["ams1"], "window": ["noon"], "units": [3]})
    plan = shop.allocate(batch, terms(capacity=capacity))
    # One of them from ams1: b saves five of handling more.
    assert rows(plan) == {("a", 1): ("rtm1", "road", 3), ("b", 1): ("ams1", "road", 2)}
    protection = pa.table({"class": [1], "keep_ppm": [500_000]})
    plan = shop.allocate(batch, terms(network=network(protection=protection)))
    # Of 5 units 2 are kept back: class 1 may take 3 of them.
    assert rows(plan) == {("a", 1): ("ams1", "road", 3), ("b", 1): ("ams1", "road", 2)}
    protection = pa.table({"class": [1], "keep_ppm": [600_000]})
    plan = shop.allocate(batch, terms(network=network(protection=protection)))
    assert rows(plan) == {("b", 1): ("ams1", "road", 2)}


def test_tiers_come_first_and_floors_are_told(shop):
    batch = orders(("a", 1, "salt", 2), ("b", 1, "salt", 2), unfilled_minor=[9000, 3000], tier=[1, 0])
    plan = shop.allocate(batch, terms(shortage="TIERS"))
    assert rows(plan) == {("b", 1): ("utr1", "road", 2)}
    fill = {one.tier: one for one in plan.fill_by_tier}
    assert (fill[0].lines, fill[0].lines_filled, fill[0].floor_ppm, fill[0].floor_met) == (1, 1, 0, True)
    assert (fill[1].lines, fill[1].lines_filled) == (1, 0)
    # By cost tier 1 would get it; a floor of tier 0 turns that.
    # A floor is searched for: time enough for a machine that does much else.
    plan = shop.allocate(batch, terms(floors=(TierFloor(0, 1_000_000),), budget_ms=1_000))
    assert rows(plan) == {("b", 1): ("utr1", "road", 2)}
    assert plan.fill_by_tier[0].floor_met
    none = shop.allocate(orders(("c", 1, "salt", 3)), terms(floors=(TierFloor(0, 500_000),)))
    assert (none.fill_by_tier[0].floor_ppm, none.fill_by_tier[0].floor_met) == (500_000, False)


def test_late_lines_are_counted(shop):
    batch = orders(("a", 1, "tea", 1), ("b", 1, "rice", 1), due_days=[1, 2], late_minor=[7, 7])
    plan = shop.allocate(batch, terms())
    assert (plan.lines_late, plan.costs.late_minor) == (1, 7)


def test_a_network_is_kept_by_name(shop):
    answer = shop.put_network("nl", network())
    assert (answer.locations, answer.lanes) == (3, 6)
    assert shop.put_network("nl", network()).version == answer.version
    changed = network(locations=pa.table({"location": PLACES, "handling_minor": [300, 0, 0]}))
    assert shop.put_network("nl", changed).version > answer.version
    plan = shop.allocate(orders(("o1", 1, "tea", 1)), terms(network="nl"))
    assert rows(plan) == {("o1", 1): ("rtm1", "road", 1)}
    with pytest.raises(NotFound) as missing:
        shop.allocate(orders(("o1", 1, "tea", 1)), terms(network="de"))
    assert missing.value.code == "UNKNOWN_NETWORK"


def test_explain_adds_up_to_the_plan(shop):
    batch = orders(("a", 1, "tea", 4), ("b", 1, "tea", 4), ("b", 2, "rice", 1))
    plan = shop.allocate(batch, terms())
    told = [shop.explain_allocation(batch, order, terms(), alternatives=20) for order in ("a", "b")]
    assert sum(one.chosen.total_minor for one in told) == plan.objective_minor
    for one in told:
        parts = one.chosen.costs
        assert one.chosen.total_minor == sum(getattr(parts, name) for name in parts.__slots__)
        assert one.chosen.possible
        for other in one.alternatives:
            assert other.lines != one.chosen.lines
            # What is possible and cheaper would have been taken.
            assert not other.possible or other.total_minor >= one.chosen.total_minor
        ranked = [other.total_minor + other.scarcity_minor for other in one.alternatives]
        assert ranked == sorted(ranked)
    # b takes the tea of rtm1 with its rice, so that a has that of ams1.
    assert {line.location for line in told[1].chosen.lines} == {"rtm1"}
    assert told[0].summary.startswith("Served from ams1 at a cost of 520.")


def test_explain_names_the_limit_that_binds(shop):
    batch = orders(("a", 1, "salt", 2), ("b", 1, "salt", 2), unfilled_minor=[3000, 9000])
    told = shop.explain_allocation(batch, "a", terms())
    assert told.chosen.total_minor == 3000
    limit, *others = told.binding
    assert {(other.limit, other.used) for other in others} == {(0, 0)}
    assert (limit.kind, limit.item, limit.location, limit.limit, limit.used) == ("stock", "salt", "utr1", 2, 2)
    (served,) = [one for one in told.alternatives if one.lines[0].location == "utr1"]
    assert (served.total_minor, served.possible) == (900, False)
    with pytest.raises(InvalidArgument, match="order_id"):
        shop.explain_allocation(batch, "c", terms())


@pytest.mark.parametrize(
    ("change", "after", "changed"),
    [
        (Change(close_location="ams1"), 700, ("o1",)),
        (Change(stock=StockChange("tea", "ams1", -5)), 700, ("o1",)),
        (Change(stock=StockChange("tea", "utr1", 50)), 510, ()),
        (Change(capacity=CapacityChange("ams1", "noon", 1)), 700, ("o1",)),
        (Change(capacity=CapacityChange("ams1", "noon", 2)), 510, ()),
        (Change(cost=CostChange(2_000_000, location="ams1")), 700, ("o1",)),
        (Change(cost=CostChange(500_000, service="road")), 260, ()),
    ],
)
def test_simulate(shop, change, after, changed):
    told = shop.simulate(orders(("o1", 1, "tea", 2)), [change], terms())
    assert (told.before.objective_minor, told.after.objective_minor) == (510, after)
    assert told.orders_changed == changed


def test_a_promise_may_go_by_the_prices_of_a_plan(shop):
    # Salt and the tea of ams1 are short for this batch, so they have a price, and rtm1's tea has none.
    batch = orders(*[(f"o{n}", 1, "tea", 1) for n in range(5)], ("x", 1, "tea", 1), unfilled_minor=[10_000] * 6)
    from_ams = terms(network=network(exclusions=pa.table({"item": ["tea"], "location": ["rtm1"]})), publish_prices=True)
    plan = shop.allocate(batch, from_ams)
    priced = {(row["item"], row["location"]): row["price_minor"] for row in plan.prices.to_pylist()}
    assert priced["tea", "ams1"] > 0
    asked = {"locations": ["ams1", "rtm1"], "sourcing": "SCARCITY"}
    told = shop.explain([PromiseLine("tea", 1)], **asked)
    assert "Locations are tried by the scarcity price of the order there: rtm1 0.00, ams1" in told.lines[0].summary
    request_id = "01936f2e-8c1a-4b3e-9d4f-0123456789ab"
    held = shop.promise([PromiseLine("tea", 1)], **asked, request_id=request_id)
    assert held.lines[0].parts[0].location == "rtm1"
    shop.allocate(orders(("o1", 1, "rice", 1)), terms(publish_prices=True))
    again = shop.promise([PromiseLine("tea", 1)], **asked, request_id=request_id)
    assert (again.replayed, again.reservation_id) == (True, held.reservation_id)
    other = shop.promise([PromiseLine("tea", 1)], **asked)
    assert other.lines[0].parts[0].location == "ams1"
