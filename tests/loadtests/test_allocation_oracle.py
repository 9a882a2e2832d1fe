"""The judge of plans: costs by hand, every limit broken once, and the study's own evaluation."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from loadtests.allocation.evaluate import Broken, Judge, evaluate, transit_days
from loadtests.allocation.instances import SUITE, Shape, make
from loadtests.allocation.tables import Tables, from_study, load_study, same

STUDY = Path(__file__).resolve().parents[3] / "shared/tools/allocation_instances.py"


def table(columns, *rows):
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns.split())})


def world():
    """Two orders; ams and rtm; parcels by road, with a break at 1 kg, and by air."""
    return Tables(
        orders=table(
            "order_id line item quantity unfilled_minor unfilled_penalty_minor weight_g zone due_days late_minor tier "
            "class ship_complete max_packages customer requires",
            ("a", 1, "tea", 2, 500, 10, 600, "north", 2, 70, 0, 0, False, 0, "ann", ""),
            ("a", 2, "ham", 1, 900, 0, 1000, "north", 2, 70, 0, 0, False, 0, "ann", "cold"),
            ("b", 1, "tea", 3, 400, 0, 900, "south", None, 0, 1, 1, True, 1, "bob", ""),
            ("b", 2, "jam", 1, 300, 0, 400, "south", None, 0, 1, 1, True, 1, "bob", ""),
        ),
        locations=table("location handling_minor country", ("ams", 5, "NL"), ("rtm", 8, "NL")),
        rates=table(
            "location zone service from_g package_minor minor_per_kg transit_days window provides",
            ("ams", "north", "road", 0, 100, 30, 4, "noon", "cold dry"),
            ("ams", "north", "road", 1000, 150, 20, 4, "noon", "cold dry"),
            ("ams", "north", "air", 0, 300, 90, 1, "", ""),
            ("rtm", "south", "road", 0, 90, 45, 2, "", ""),
            ("ams", "south", "road", 0, 80, 10, 9, "", ""),
        ),
        exclusions=table("item country service", ("jam", "NL", "air")),
        stock=table(
            "item location class available",
            ("tea", "ams", 0, 5),
            ("tea", "ams", 1, 2),
            ("ham", "ams", 0, 1),
            ("tea", "rtm", 0, 4),
            ("jam", "rtm", 0, 1),
            ("jam", "ams", 0, 1),
        ),
        protection=table("class item keep_ppm", (1, "", 200_000), (1, "ham", 1_000_000)),
        capacity=table("location window units", ("ams", "noon", 3)),
    )


def plan(*rows):
    return table("order_id line location service quantity", *rows)


A = ("a", 1, "ams", "road", 2), ("a", 2, "ams", "road", 1)
B = ("b", 1, "rtm", "road", 3), ("b", 2, "rtm", "road", 1)


def test_each_part_of_the_cost_by_hand():
    found = evaluate(world(), plan(*A, *B))
    # a: one package of 1.6 kg from the break on, 150; freight 20 * 600 / 1000 and 20 * 1000 / 1000.
    # b: 90; 45 * 900 / 1000 = 40.5 and 45 * 400 / 1000 = 18, each line rounded down.
    assert found.package == 150 + 90
    assert found.freight == 12 + 20 + 40 + 18
    assert found.handling == 3 * 5 + 4 * 8
    assert found.late == 2 * 2 * 70
    assert (found.unfilled, found.packages, found.lines_filled, found.lines_late) == (0, 2, 4, 2)
    assert found.total == 240 + 90 + 47 + 280
    assert found.lowest_customer_fill == 1.0


def test_what_is_left_unfilled_costs_and_counts():
    found = evaluate(world(), plan(A[1]))
    assert found.unfilled == 500 + 2 * 10 + 400 + 300
    # The one package now weighs 1 kg: still from the break on.
    assert (found.package, found.freight) == (150, 20)
    assert found.fill_by_tier == {0: 0.5, 1: 0.0}
    assert found.lowest_customer_fill == 0.0
    assert (found.orders, found.orders_filled) == (2, 0)


def test_below_the_break_the_first_row_says():
    found = evaluate(world(), plan(A[0]))
    assert (found.package, found.freight) == (100, 30 * 600 // 1000)


BROKEN = {
    "not in the orders": plan(("z", 1, "ams", "road", 1)),
    "served twice": plan(A[0], ("a", 1, "ams", "air", 2)),
    "lines ship whole": plan(("a", 1, "ams", "road", 1)),
    "no way from rtm": plan(("a", 1, "rtm", "road", 2)),
    "does not provide": plan(("a", 2, "ams", "air", 1)),
    "ships complete": plan(B[0]),
    "2 packages of at most 1": plan(("b", 1, "rtm", "road", 3), ("b", 2, "ams", "road", 1)),
    "3 units for class 1 and above, of 2": plan(("b", 1, "ams", "road", 3), ("b", 2, "ams", "road", 1)),
    # 20 % of one jam, rounded down, is kept: none. Of one ham all of it, but a is of class 0.
    "units for class 0 and above, of 0": plan(("a", 2, "ams", "road", 1)),
    "units leave in window": plan(*A),
    "is excluded": plan(("a", 1, "ams", "air", 2)),
    "must not be": plan(*A),
}


def changed(given, name, column, value):
    old = getattr(given, name)
    at = old.column_names.index(column)
    values = pa.array([value] * old.num_rows, pa.int64() if value is None else None)
    return dataclasses.replace(given, **{name: old.set_column(at, column, values)})


@pytest.mark.parametrize("message", BROKEN)
def test_each_limit_is_named_when_it_is_broken(message):
    given = world()
    if message == "units for class 0 and above, of 0":
        given = dataclasses.replace(given, stock=given.stock.slice(0, 2))
    if message == "units leave in window":
        given = changed(given, "capacity", "units", 2)
    if message == "is excluded":
        given = changed(given, "exclusions", "item", "tea")
    if message == "must not be":
        given = changed(given, "orders", "late_minor", None)
    with pytest.raises(Broken, match=message):
        evaluate(given, BROKEN[message])


def test_costs_said_one_by_one():
    orders = table("order_id line item quantity unfilled_minor", ("a", 1, "tea", 3, 50), ("a", 2, "tea", 1, 60))
    options = table("order_id line location cost_minor line_minor", ("a", 1, "ams", 4, 7), ("a", 2, "ams", 4, 7))
    packages = table("order_id location service package_minor", ("a", "ams", "", 100))
    stock = table("item location available", ("tea", "ams", 4))
    given = Tables(orders=orders, stock=stock, options=options, packages=packages)
    assert evaluate(given, plan(("a", 1, "ams", "", 3), ("a", 2, "ams", "", 1))).total == 100 + 19 + 11
    assert evaluate(given, plan(("a", 2, "ams", "", 1))).total == 100 + 11 + 50
    with pytest.raises(Broken, match="not offered"):
        evaluate(given, plan(("a", 2, "rtm", "", 1)))


@pytest.mark.parametrize(
    ("tier", "confidence", "days"),
    [(0, (), 2), (0, (0.9,), 3), (1, (0.9, 0.5), 2), (5, (0.9, 0.8), 3), (0, (0.999,), 7)],
)
def test_the_level_of_the_transit_time_follows_the_tier(tier, confidence, days):
    rate = {"transit_days_p50": 2, "transit_days_p90": 3, "transit_days_p99": 7}
    assert transit_days(rate, tier, confidence) == days


def test_a_batch_is_that_of_its_seed():
    for shape in (SUITE["tiny"], Shape(30, 3, single=True), Shape(20, 2, lines=1)):
        assert same(make(shape, 7), make(shape, 7))
        assert not same(make(shape, 7), make(shape, 8))
        orders = make(shape, 7).orders
        assert len(set(zip(orders["order_id"].to_pylist(), orders["item"].to_pylist(), strict=True))) == orders.num_rows


def random_plan(given, rng):
    """Lines in turn at random places, as long as the limits hold."""
    rates = given.rates.to_pylist()
    judge = Judge(dataclasses.replace(given, orders=given.orders.drop_columns(["ship_complete"])))
    rows = []
    for line in given.orders.to_pylist():
        ways = [row for row in rates if row["zone"] == line["zone"]]
        for pick in rng.permutation(len(ways))[:6]:
            way = ways[pick]
            row = (line["order_id"], line["line"], way["location"], way["service"], line["quantity"])
            try:
                judge.outcome(plan(*rows, row).to_pylist())
            except Broken:
                continue
            rows.append(row)
            break
    # Orders that ship complete and are not: none of them.
    size = {}
    for row in given.orders.to_pylist():
        size.setdefault(row["order_id"], [row["ship_complete"], 0, 0])[1] += 1
    for row in rows:
        size[row[0]][2] += 1
    return [row for row in rows if not size[row[0]][0] or size[row[0]][1] == size[row[0]][2]]


@pytest.mark.parametrize("seed", range(3))
def test_the_study_counts_the_same(seed, tmp_path):
    """The study's generator and its evaluation, where they lie beside the checkout; else our own batch, twice read."""
    print("seed", seed)
    rng = np.random.default_rng(seed)
    if not STUDY.is_file():
        given = make(Shape(20, 4), seed)
        assert evaluate(given, plan(*random_plan(given, rng))).total > 0
        return
    spec = importlib.util.spec_from_file_location("allocation_instances", STUDY)
    study = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = study
    spec.loader.exec_module(study)
    instance = study.generate(orders=25, locs=5, seed=seed, cap_ratio=0.8)
    instance.save(tmp_path / "one.npz")
    given = load_study(tmp_path / "one.npz")
    assert same(given, from_study(dict(np.load(tmp_path / "one.npz"))))
    rows = random_plan(given, rng)
    place, service = np.full(len(instance.sku), -1), np.full(len(instance.sku), -1)
    lines = {(row["order_id"], row["line"]): at for at, row in enumerate(given.orders.to_pylist())}
    for order, line, location, by, _ in rows:
        place[lines[order, line]] = int(location[1:])
        service[lines[order, line]] = ("economy", "standard", "express").index(by)
    theirs, ours = study.evaluate(instance, place, service), evaluate(given, plan(*rows))
    assert 0 < len(rows) < len(instance.sku)
    assert ours.total == theirs["total"]
    assert ours.package + ours.freight == theirs["ship"]
    assert (ours.handling, ours.late, ours.unfilled) == (theirs["handling"], theirs["late"], theirs["unfilled"])
    assert (ours.packages, ours.lines_late) == (theirs["packages"], theirs["late_lines"])
    full = dataclasses.replace(given, capacity=given.capacity.set_column(1, "units", pa.array([0] * 5, pa.int64())))
    with pytest.raises(Broken, match="units leave"):
        evaluate(full, plan(*rows))
