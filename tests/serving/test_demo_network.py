"""The demo's input and the world made from it: pure functions of the order lines."""

import datetime as dt
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

from serving.demo import network, orders

UCI = Path(__file__).resolve().parents[3] / "shared" / "data" / "uci_orders.parquet"


@pytest.fixture(scope="module")
def groceries():
    return orders.complete_journey()


@pytest.fixture(scope="module")
def world(groceries):
    return network.build(orders.first(groceries, 1_500).lines)


def table(path, **columns):
    frame = pl.DataFrame(columns)
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


def times(*minutes):
    return [dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC) + dt.timedelta(minutes=each) for each in minutes]


def test_the_grocery_data_is_taken_whole(groceries):
    assert groceries.lines.schema == orders.SCHEMA
    assert sum(groceries.left_out.values()) + groceries.lines.height == 1_469_307
    assert groceries.left_out["zero quantity"] == 8_869
    # Fuel counts thousands of units a line: nothing of that size is left.
    assert groceries.left_out["bulk units (fuel)"] == 14_697
    assert groceries.lines["quantity"].max() < 200
    assert groceries.lines["store"].n_unique() == 20
    assert groceries.lines.select(pl.struct("order", "item")).is_duplicated().sum() == 0
    assert groceries.lines["at_ms"].is_sorted()


def test_the_first_orders_come_whole_and_in_time_order(groceries):
    few = orders.first(groceries, 100)
    assert few.count == 100
    whole = groceries.lines.filter(pl.col("order").is_in(few.lines["order"].unique().implode()))
    assert few.lines.equals(whole)
    later = groceries.lines.filter(~pl.col("order").is_in(few.lines["order"].unique().implode()))
    assert few.lines["at_ms"].max() <= later["at_ms"].min()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_file_of_ones_own(tmp_path, ending):
    path = table(
        tmp_path / f"own.{ending}",
        order_id=["a", "b", "a", "a", "c", "d", "e"],
        sku=["x", "y", "x", "z", "x", None, "x"],
        qty=[2.0, 1.0, 3.0, 0.0, -4.0, 1.0, 1.5],
        ts=times(5, 0, 6, 5, 7, 8, 9),
        store=["s1", "s2", "s1", "s1", "s1", "s1", "s1"],
    )
    own = orders.from_file(path)
    assert own.lines.select("order", "customer", "store", "item", "quantity").rows() == [
        ("b", "b", "s2", "y", 1),
        ("a", "a", "s1", "x", 5),
    ]
    assert own.left_out == {
        "zero quantity": 1,
        "negative quantity (cancelled, returned or written off)": 1,
        "no order, item, store or time": 1,
        "not a whole number of units": 1,
    }


def test_a_web_shop_is_spread_over_hubs_by_customer(tmp_path):
    path = table(
        tmp_path / "web.parquet",
        order_id=[f"o{n}" for n in range(200)],
        sku=["x"] * 200,
        qty=[1] * 200,
        ts=times(*range(200)),
        customer_id=[n % 50 for n in range(200)],
    )
    lines = orders.from_file(path).lines
    assert set(lines["store"]) == {"hub-1", "hub-2", "hub-3", "hub-4"}
    assert lines.group_by("customer").agg(pl.col("store").n_unique())["store"].to_list() == [1] * 50


def test_an_order_longer_than_a_request_is_sent_in_parts(tmp_path):
    count = orders.LINES_MAX + 10
    path = table(
        tmp_path / "long.parquet",
        order_id=["big"] * count,
        sku=[f"i{n:04}" for n in range(count)],
        qty=[1] * count,
        ts=times(*[0] * count),
    )
    lines = orders.from_file(path).lines
    assert lines.group_by("order", maintain_order=True).len().rows() == [("big", 256), ("big+1", 10)]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"order_id": ["a"], "qty": [1], "ts": times(0)}, "no column for item: name one sku"),
        ({"order_id": ["a"], "sku": ["x"], "qty": [1], "ts": ["soon"]}, "column ts holds String"),
        ({"order_id": ["a"], "sku": ["x"], "qty": [0], "ts": times(0)}, "no line that can be used"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, columns, says):
    with pytest.raises(orders.DataError, match=says):
        orders.from_file(table(tmp_path / "bad.parquet", **columns))


def test_no_file_says_so(tmp_path):
    with pytest.raises(orders.DataError, match=r"cannot be read"):
        orders.from_file(tmp_path / "none.parquet")


def test_the_shared_order_stream_can_be_replayed():
    if UCI.exists():
        web = orders.from_file(UCI)
        assert web.lines.height + sum(web.left_out.values()) <= 541_909
        assert 0.05 <= network.build(orders.first(web, 300).lines).short_expected <= 0.15


def test_the_same_orders_give_the_same_world(groceries, world):
    assert network.build(orders.first(groceries, 1_500).lines) == world


def test_every_order_is_there_in_time_order(groceries, world):
    assert [order.name for order in world.orders] == orders.first(groceries, 1_500).lines["order"].unique(
        maintain_order=True
    ).to_list()
    assert all(earlier.at_ms <= later.at_ms for earlier, later in zip(world.orders, world.orders[1:], strict=False))
    assert all(order.day * network.DAY_MS <= order.at_ms < (order.day + 1) * network.DAY_MS for order in world.orders)
    assert world.days == world.orders[-1].day + 1


def test_two_centres_share_the_stores(world):
    units = defaultdict(int)
    for order in world.orders:
        units[world.dc_of[order.store]] += sum(quantity for _, quantity in order.lines)
    assert set(units) == {"dc-1", "dc-2"}
    assert max(units.values()) < 1.3 * min(units.values())


def replayed(world):
    """Sells from the stores alone, in time order, and returns the share of lines short."""
    stock = defaultdict(int, {key: units for key, units in world.opening.items() if key[1] in world.dc_of})
    day = short = lines = 0
    for order in world.orders:
        while day < order.day:
            day += 1
            for delivery in world.deliveries.get(day, []):
                stock[(delivery.item, delivery.store)] += delivery.quantity
        lacking = [(item, units) for item, units in order.lines if stock[(item, order.store)] < units]
        short += len(lacking)
        lines += len(order.lines)
        if not (lacking and order.all_or_none):
            for item, units in order.lines:
                stock[(item, order.store)] -= min(units, stock[(item, order.store)])
    return short / lines


def test_the_planned_supply_leaves_the_lines_short_that_it_says(world):
    assert replayed(world) == pytest.approx(world.short_expected)
    assert 0.05 <= world.short_expected <= 0.15


def test_a_centre_plans_no_more_deliveries_than_it_gets(world):
    stock = {key: units for key, units in world.opening.items() if key[1] not in world.dc_of}
    flows = defaultdict(lambda: defaultdict(int))
    for day, arriving in world.deliveries.items():
        for delivery in arriving:
            flows[(delivery.item, world.dc_of[delivery.store])][day - 1] += delivery.quantity
    assert set(stock) == set(flows)
    for purchase in world.purchases:
        flows[(purchase.item, purchase.dc)][purchase.day] -= purchase.arrives
    short = 0
    for key, flow in flows.items():
        left = stock[key]
        for day in sorted(flow):
            left -= flow[day]
            short += left < 0
    # Purchases follow the pace, so a centre runs out now and then, but seldom.
    assert short < 0.05 * sum(map(len, flows.values()))


def test_some_purchases_come_late_and_some_come_short(world):
    purchases = world.purchases
    assert len(purchases) > 100
    assert 0 < sum(purchase.late_days > 0 for purchase in purchases) < len(purchases) / 5
    assert 0 < sum(purchase.arrives < purchase.quantity for purchase in purchases) < len(purchases) / 5
    assert len({purchase.receipt for purchase in purchases}) == len(purchases)


def test_positions_are_counted_every_day_and_now_and_then_one_lacks_a_unit(world):
    assert set(world.counts) == set(range(1, world.days))
    losses = [loss for counted in world.counts.values() for _, loss in counted]
    assert set(losses) == {0, 1}
    assert all(key in world.opening for counted in world.counts.values() for key, _ in counted)
