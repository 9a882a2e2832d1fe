"""Transfers and fair shares: by hand, against all plans of tiny networks, at random, and against a live server."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bespeak import Client, Item, Location
from serving.allocation.cover import RebalancingError, cover_of
from serving.allocation.fair_share import equal_cover, share
from serving.allocation.rebalancing import RebalancingPolicy, rebalance
from tests.serving.cli_process import call, run, server


def positions(*rows):
    """Rows of (item, location, free units)."""
    return pa.table(
        {
            "item": [row[0] for row in rows],
            "location": [row[1] for row in rows],
            "unrestricted": pa.array([row[2] for row in rows], pa.int64()),
            "buffer": pa.array([0] * len(rows), pa.uint64()),
            "available": pa.array([row[2] for row in rows], pa.uint64()),
        }
    )


def totals(*rows, levels=("0.5", "0.9")):
    """Rows of (item, location, days, mean, quantiles…)."""
    names = ["item", "location", "horizon_days", "mean", *levels]
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})


def lanes(*rows):
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(("from", "to", "cost_minor", "days"))})


def moves(table):
    return [(row["item"], row["from"], row["to"], row["quantity"]) for row in table.to_pylist()]


STOCK = positions(("tea", "a", 20), ("tea", "b", 0))
WANTED = totals(("tea", "a", 7, 5.0, 5.0, 8.0), ("tea", "b", 7, 5.0, 5.0, 8.0))


@pytest.mark.parametrize(
    ("cost", "days", "quantity", "saved"),
    [
        # b: units 1 to 5 are sold with chance 1 - 0.25, 6 to 8 with 1 - 0.7; beyond the 0.9 of a it is 1 - 0.95.
        (10, 1, 8, 5 * 0.75 + 3 * 0.3 - 8 * 0.05),
        # A unit is worth 100: 30 - 5 is less than the lane, 75 - 5 is not.
        (30, 1, 5, 5 * 0.75 - 5 * 0.05),
        (70, 1, 0, 0.0),
        # Too late to be of use.
        (10, 7, 0, 0.0),
    ],
)
def test_units_move_while_their_chance_is_worth_the_lane(cost, days, quantity, saved):
    found = rebalance(STOCK, WANTED, lanes(("a", "b", cost, days)), RebalancingPolicy(value_minor=100))
    assert moves(found) == ([("tea", "a", "b", quantity)] if quantity else [])
    assert sum(found["saved_units"].to_pylist()) == pytest.approx(saved)
    assert sum(found["cost_minor"].to_pylist()) == cost * quantity


def test_the_cheap_lane_and_the_needy_receiver_come_first():
    stock = positions(("tea", "a", 11), ("tea", "b", 10), ("tea", "c", 0), ("tea", "d", 5))
    wanted = totals(*(("tea", place, 7, 5.0, 5.0, 8.0) for place in "abcd"))
    ways = lanes(("a", "c", 20, 1), ("b", "c", 5, 1), ("a", "d", 5, 1), ("b", "d", 5, 1))
    found = rebalance(stock, wanted, ways, RebalancingPolicy(value_minor=100))
    # c wants 5 at 75 and 3 at 30, d 3 at 30. b has 2 for c; a's 3 go to c too: 75 - 5 - 20 is more than 30 - 5 - 5.
    assert moves(found) == [("tea", "a", "c", 3), ("tea", "b", "c", 2)]


def test_what_may_not_be_given_away():
    asked = RebalancingPolicy(value_minor=100)
    ways = lanes(("a", "b", 1, 1))
    held = STOCK.set_column(4, "available", pa.array([9, 0], pa.uint64()))
    assert moves(rebalance(held, WANTED, ways, asked)) == [("tea", "a", "b", 1)]
    lying = STOCK.set_column(2, "unrestricted", pa.array([10, 0], pa.int64()))
    assert moves(rebalance(lying, WANTED, ways, asked)) == [("tea", "a", "b", 2)]
    # Of the buffer a position may give, as long as it keeps its quantile.
    buffered = held.set_column(3, "buffer", pa.array([4, 0], pa.uint64()))
    assert moves(rebalance(buffered, WANTED, ways, asked)) == [("tea", "a", "b", 5)]
    assert moves(rebalance(STOCK, WANTED.slice(0, 1), ways, asked)) == []
    assert moves(rebalance(STOCK, WANTED, ways, RebalancingPolicy(value_minor=100, least_units=9))) == []
    dear = pa.table({"item": ["tea"], "value_minor": [1]})
    assert moves(rebalance(STOCK, WANTED, ways, asked, dear)) == []


def test_totals_between_horizons_and_levels():
    """The distance of a quantile from the mean grows with the root of the days; between levels by normal scores."""
    wanted = totals(("tea", "a", 9, 18.0, 18.0, 27.0), ("tea", "a", 1, 2.0, 2.0, 5.0))
    for days, mean, high in ((4, 8.0, 8 + 6.0), (1, 2.0, 5.0), (9, 18.0, 27.0), (16, 32.0, 32 + 12.0)):
        cover = cover_of(STOCK, wanted, days)
        assert cover.mean.tolist() == pytest.approx([mean])
        assert cover.quantiles.tolist() == [pytest.approx([mean, high])]
        assert cover.unknown == 1
    assert cover.at(0.9).tolist() == pytest.approx([44.0])
    # The 0.8 quantile of a normal lies at 0.8416 of its deviations, the 0.9 at 1.2816.
    assert cover.at(0.8).tolist() == pytest.approx([32 + 12 * 0.841621 / 1.281552], rel=1e-5)
    one = cover_of(STOCK, totals(("tea", "a", 9, 18.0, None, 27.0)), 9)
    assert one.quantiles.tolist() == [[18.0, 27.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given | {"lanes": lanes(("a", "b", -1, 1))}, "lanes has cost_minor -1: give 0 to"),
        (lambda given: given | {"lanes": lanes(("a", "b", 1, 1), ("a", "b", 2, 1))}, "a way twice"),
        (lambda given: given | {"lanes": pa.table({"from": ["a"]})}, "lanes has no column to"),
        (lambda given: given | {"positions": STOCK.drop_columns(["buffer"])}, "positions has no column buffer"),
        (lambda given: given | {"positions": pa.concat_tables([STOCK, STOCK])}, "a position twice"),
        (lambda given: given | {"totals": WANTED.drop_columns(["0.5", "0.9"])}, "no column of a quantile"),
        (
            lambda given: given | {"values": pa.table({"item": ["tea"], "value_minor": [-5]})},
            "values has value_minor -5",
        ),
    ],
)
def test_tables_that_cannot_be_used_are_refused(change, message):
    given = {"positions": STOCK, "totals": WANTED, "lanes": lanes(("a", "b", 1, 1)), "values": None}
    with pytest.raises(RebalancingError, match=message):
        rebalance(**change(given))


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"level": 0.2}, {"value_minor": -1}, {"least_units": 0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(RebalancingError):
        RebalancingPolicy(**wrong)


def chance(quantiles, levels, unit):
    """That unit number so much of a position is sold, with demand spread evenly between two levels."""
    below = 0.0
    for level, quantile in zip(levels, quantiles, strict=True):
        if unit <= np.ceil(quantile - 1e-9):
            return 1 - (below + level) / 2
        below = level
    return (1 - below) / 2


def random_network(seed, places, items, most):
    rng = np.random.default_rng(seed)
    names = [(f"i{item}", f"l{place}") for item in range(items) for place in range(places)]
    levels = (0.5, 0.7, 0.9)
    quantiles = {pair: np.sort(rng.uniform(0, most, 3)).round(1) for pair in names}
    have = {pair: int(rng.integers(0, 2 * most)) for pair in names}
    wanted = totals(
        *((*pair, 7, float(q[0]), *map(float, q)) for pair, q in quantiles.items()), levels=map(str, levels)
    )
    ways = [(f"l{one}", f"l{other}") for one in range(places) for other in range(places) if one != other]
    ways = [way for way in ways if rng.random() < 0.8]
    cost = {way: int(rng.integers(0, 60)) for way in ways}
    return names, levels, quantiles, have, wanted, cost


def value_of(moved, have, quantiles, levels, cost, worth):
    """What transfers are worth, unit by unit."""
    total = 0.0
    for pair, units in have.items():
        change = sum(q * ((target == pair) - (origin == pair)) for (origin, target), q in moved.items())
        low, high = sorted((units, units + change))
        gain = sum(chance(quantiles[pair], levels, unit) for unit in range(low + 1, high + 1))
        total += worth * (gain if change > 0 else -gain)
    return total - sum(q * cost[origin[1], target[1]] for (origin, target), q in moved.items())


@pytest.mark.parametrize("seed", range(15))
def test_no_plan_is_worth_more(seed):
    print("seed", seed)
    names, levels, quantiles, have, wanted, cost = random_network(seed, places=3, items=1, most=4)
    found = rebalance(
        positions(*((*pair, units) for pair, units in have.items())),
        wanted,
        lanes(*((*way, minor, 1) for way, minor in cost.items())),
        RebalancingPolicy(level=0.7, value_minor=100),
    )
    need = {pair: int(np.ceil(q[1] - 1e-9)) for pair, q in quantiles.items()}
    ways = [(("i0", one), ("i0", other)) for one, other in cost]
    ways = [way for way in ways if have[way[0]] > need[way[0]] and have[way[1]] < need[way[1]]]
    best = 0.0
    for units in itertools.product(*(range(have[way[0]] - need[way[0]] + 1) for way in ways)):
        moved = dict(zip(ways, units, strict=True))
        out = {pair: sum(q for way, q in moved.items() if way[0] == pair) for pair in names}
        into = {pair: sum(q for way, q in moved.items() if way[1] == pair) for pair in names}
        if all(out[p] <= max(0, have[p] - need[p]) and into[p] <= max(0, need[p] - have[p]) for p in names):
            best = max(best, value_of(moved, have, quantiles, levels, cost, 100))
    ours = {(("i0", a), ("i0", b)): q for _, a, b, q in moves(found)}
    assert value_of(ours, have, quantiles, levels, cost, 100) == pytest.approx(best, abs=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_what_holds_of_every_proposal(seed):
    print("seed", seed)
    names, levels, quantiles, have, wanted, cost = random_network(seed, places=9, items=12, most=30)
    found = rebalance(
        positions(*((*pair, units) for pair, units in have.items())),
        wanted,
        lanes(*((*way, minor, 1) for way, minor in cost.items())),
        RebalancingPolicy(level=0.7, value_minor=100),
    )
    need = {pair: int(np.ceil(q[1] - 1e-9)) for pair, q in quantiles.items()}
    out, into = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    saved = 0.0
    for item, origin, target, units in moves(found):
        assert units > 0
        assert (origin, target) in cost
        out[item, origin] += units
        into[item, target] += units
    assert found.num_rows > 20
    for pair in names:
        assert out[pair] <= max(0, have[pair] - need[pair]), pair
        assert into[pair] <= max(0, need[pair] - have[pair]), pair
        first, last = have[pair] - out[pair], have[pair] + into[pair]
        saved += sum(chance(quantiles[pair], levels, unit) for unit in range(have[pair] + 1, last + 1))
        saved -= sum(chance(quantiles[pair], levels, unit) for unit in range(first + 1, have[pair] + 1))
    assert sum(found["saved_units"].to_pylist()) == pytest.approx(saved)
    assert 100 * saved > sum(found["cost_minor"].to_pylist())
    assert found["cost_minor"].to_pylist() == [cost[a, b] * q for _, a, b, q in moves(found)]


@pytest.mark.parametrize(
    ("quantity", "stock", "demand", "shares"),
    [
        (10, [0, 0], [1.0, 1.0], [5, 5]),
        (10, [0, 0], [3.0, 1.0], [8, 2]),  # 7.5 and 2.5: equal remainders, the earlier one first
        (6, [8, 0], [2.0, 1.0], [1, 5]),  # cover 14 / 3 of both: 4/3 and 14/3
        (3, [9, 0], [1.0, 1.0], [0, 3]),
        (4, [0, 0, 5], [1.0, 0.0, 0.0], [4, 0, 0]),
        (5, [7, 0, 0], [0.0, 0.0, 0.0], [2, 2, 1]),
        (0, [1, 2], [1.0, 1.0], [0, 0]),
    ],
)
def test_shares_by_hand(quantity, stock, demand, shares):
    group = np.zeros(len(stock), np.int64)
    assert equal_cover(np.array([quantity]), group, np.array(stock), np.array(demand)).tolist() == shares


@pytest.mark.parametrize("seed", range(10))
def test_shares_add_up_and_level_the_cover(seed):
    print("seed", seed)
    rng = np.random.default_rng(seed)
    group = np.sort(rng.integers(0, 20, 90))
    quantity, stock = rng.integers(0, 200, 20), rng.integers(0, 60, 90)
    demand = rng.gamma(1.0, 3.0, 90) * (rng.random(90) < 0.9)
    shares = equal_cover(quantity, group, stock, demand)
    assert (shares >= 0).all()
    for number in range(20):
        own = group == number
        assert shares[own].sum() == (quantity[number] if own.any() else 0)
        if demand[own].sum() <= 0:
            continue
        # The level by bisection, and no share further than a unit from what it says.
        low, high = 0.0, 1e9
        for _ in range(200):
            level = (low + high) / 2
            over = np.maximum(0, level * demand[own] - stock[own]).sum() > quantity[number]
            low, high = (low, level) if over else (level, high)
        assert (np.abs(shares[own] - np.maximum(0, low * demand[own] - stock[own])) < 1.001).all()


def test_a_replenishment_is_shared_along_the_lanes():
    stock = positions(("tea", "dc", 0), ("tea", "a", 4), ("tea", "b", 0), ("tea", "far", 0))
    wanted = totals(*(("tea", place, 7, 7.0, 7.0, 9.0) for place in ("dc", "a", "b", "far")))
    coming = pa.table({"item": ["tea", "rum"], "location": ["dc", "dc"], "quantity": [11, 3]})
    found = share(coming, stock, wanted, lanes(("dc", "a", 3, 2), ("dc", "b", 4, 1)))
    assert moves(found) == [
        ("rum", "dc", "dc", 3),
        ("tea", "dc", "a", 1),
        ("tea", "dc", "b", 5),
        ("tea", "dc", "dc", 5),
    ]
    assert found["cost_minor"].to_pylist() == [0, 3, 20, 0]
    with pytest.raises(RebalancingError, match="quantity 0"):
        share(coming.set_column(2, "quantity", pa.array([1, 0])), stock, wanted, lanes(("dc", "a", 3, 2)))


def test_proposals_of_a_live_server(tmp_path):
    pq.write_table(lanes(("ams", "rtm", 20, 1)), tmp_path / "lanes.parquet")
    (tmp_path / "inbound.csv").write_text("item,location,quantity\ntea,ams,12\n")
    with server(cwd=tmp_path) as (_, address), Client(address) as client:
        for place in ("ams", "rtm"):
            client.put_location(Location(place))
        client.put_item(Item("tea"))
        client.set_on_hand("tea", "ams", 30)
        client.set_on_hand("tea", "rtm", 2)
        pushed = totals(("tea", "ams", 7, 10.0, 10.0, 14.0), ("tea", "rtm", 7, 8.0, 8.0, 11.0))
        client.push_forecast_totals(pushed, "by-hand@1")
        before = client.positions_table().drop_columns(["revision"])
        asked = ("rebalance", "--lanes", tmp_path / "lanes.parquet", "--address", address)
        done = run(*asked, "--value", 100, "--out", tmp_path / "out.parquet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        # rtm lacks 9 to its 0.9: 6 at a chance of 0.75, and 3 at 0.3, of which ams would sell 0.05.
        said = done.stdout.replace("\n", " ")
        assert "proposals: 1, of 9 units for 180 minor, 5.0 units expected to be sold more" in said
        assert moves(pq.read_table(tmp_path / "out.parquet")) == [("tea", "ams", "rtm", 9)]
        shared = call(*asked, "--inbound", tmp_path / "inbound.csv", "--json", cwd=tmp_path)
        assert shared.returncode == 0, shared.stderr
        assert [(row["to"], row["quantity"]) for row in json.loads(shared.stdout)] == [("rtm", 12)]
        assert client.positions_table().drop_columns(["revision"]) == before
        failed = call("rebalance", "--lanes", tmp_path / "none.parquet", "--address", address, cwd=tmp_path)
        assert failed.returncode == 1
        assert "name a Parquet or CSV file" in failed.stderr
