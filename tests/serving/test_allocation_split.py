"""Lines that may be split, at costs by the unit: hand-checked plans, and all splits tried."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from serving.allocation import Allocator, MinCostFlow, ProblemError, Terms


def planned(orders, options, stock, **terms):
    return MinCostFlow().allocate({"orders": orders, "options": options, "stock": stock}, Terms(**terms))


def lines(*rows):
    """Rows of (order, line, item, qty, penalty)."""
    names = ["order_id", "line", "item", "quantity", "unfilled_penalty_minor"]
    return pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)})


def options(*rows):
    """Rows of (order, line, location, cost)."""
    names = ["order_id", "line", "location", "cost_minor"]
    return pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)})


def stock(*rows):
    """Rows of (item, location, available)."""
    names = ["item", "location", "available"]
    return pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)})


def rows_of(plan):
    """Rows of (order, line, location, quantity)."""
    return list(
        zip(*(plan.table[name].to_pylist() for name in ("order_id", "line", "location", "quantity")), strict=True)
    )


# What is asked, what is in stock, the plan, its cost in cents.
CASES = {
    "the cheaper location serves": (
        lines(("a", 1, "milk", 2, 500)),
        options(("a", 1, "ams", 30), ("a", 1, "rtm", 20)),
        stock(("milk", "ams", 9), ("milk", "rtm", 9)),
        [("a", 1, "rtm", 2)],
        40,
    ),
    "scarce stock goes where the alternative costs most": (
        # Greedy gives ams to a (10 < 11) and pays 90 for b: 100 + 10 against 11 + 20.
        lines(("a", 1, "milk", 1, 500), ("b", 1, "milk", 1, 500)),
        options(("a", 1, "ams", 10), ("a", 1, "rtm", 20), ("b", 1, "ams", 11), ("b", 1, "rtm", 100)),
        stock(("milk", "ams", 1), ("milk", "rtm", 5)),
        [("a", 1, "rtm", 1), ("b", 1, "ams", 1)],
        31,
    ),
    "a line splits when one location has too little": (
        lines(("a", 1, "milk", 5, 500)),
        options(("a", 1, "ams", 10), ("a", 1, "rtm", 20)),
        stock(("milk", "ams", 3), ("milk", "rtm", 5)),
        [("a", 1, "ams", 3), ("a", 1, "rtm", 2)],
        70,
    ),
    "what is not in stock is unfilled at its penalty": (
        lines(("a", 1, "milk", 5, 500)),
        options(("a", 1, "ams", 10)),
        stock(("milk", "ams", 3)),
        [("a", 1, "ams", 3)],
        30 + 2 * 500,
    ),
    "serving dearer than the penalty is left undone": (
        lines(("a", 1, "milk", 2, 15)),
        options(("a", 1, "ams", 16)),
        stock(("milk", "ams", 3)),
        [],
        30,
    ),
    "no option and no stock row": (
        lines(("a", 1, "milk", 2, 15), ("b", 7, "eggs", 1, 9)),
        options(("b", 7, "rtm", 1)),
        stock(("milk", "ams", 3)),
        [],
        39,
    ),
    "two lines of an order compete for one item": (
        lines(("a", 1, "milk", 2, 15), ("a", 2, "milk", 2, 60)),
        options(("a", 1, "ams", 0), ("a", 2, "ams", 0)),
        stock(("milk", "ams", 2)),
        [("a", 2, "ams", 2)],
        30,
    ),
    "just enough": (
        lines(("a", 1, "milk", 2, 5)),
        options(("a", 1, "ams", 3)),
        stock(("milk", "ams", 2)),
        [("a", 1, "ams", 2)],
        6,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hand_checked(case):
    wanted, places, available, plan, cost = case
    made = planned(wanted, places, available)
    assert rows_of(made) == plan
    assert made.objective_minor == made.bound_minor == cost
    assert made.units_served == sum(row[3] for row in plan)
    assert made.units_served + made.units_unfilled == sum(wanted["quantity"].to_pylist())


def test_no_lines_make_an_empty_plan():
    made = planned(
        lines(("a", 1, "milk", 1, 1)).slice(0, 0), options(("a", 1, "x", 1)).slice(0, 0), stock(("milk", "x", 1))
    )
    assert (made.table.num_rows, made.objective_minor, made.units_unfilled) == (0, 0, 0)


def cheapest(wanted, places, available):
    """Cost of the best plan, by trying every split of every line."""
    best = None
    choices = []
    for order, line, _, qty, _ in wanted:
        at = [p for p in places if p[:2] == (order, line)]
        choices.append([c for c in itertools.product(range(qty + 1), repeat=len(at)) if sum(c) <= qty])
    for chosen in itertools.product(*choices):
        left = {(item, place): units for item, place, units in available}
        cost = 0
        for (order, line, item, qty, penalty), split in zip(wanted, chosen, strict=True):
            at = [p for p in places if p[:2] == (order, line)]
            for (_, _, place, unit_cost), units in zip(at, split, strict=True):
                left[item, place] = left.get((item, place), 0) - units
                cost += units * unit_cost
            cost += (qty - sum(split)) * penalty
        if min(left.values(), default=0) >= 0 and (best is None or cost < best):
            best = cost
    return best


@pytest.mark.parametrize("seed", range(25))
def test_as_cheap_as_trying_everything(seed):
    rng = np.random.default_rng(seed)
    items, places = ["milk", "eggs"], ["ams", "rtm", "utr"][: 1 + seed % 3]
    wanted = [
        (f"o{i // 2}", i % 2, str(rng.choice(items)), int(rng.integers(1, 4)), int(rng.integers(0, 90)))
        for i in range(3)
    ]
    offered = [(o, n, place, int(rng.integers(0, 60))) for o, n, *_ in wanted for place in places if rng.random() < 0.8]
    available = [(item, place, int(rng.integers(0, 4))) for item in items for place in places]
    made = planned(
        lines(*wanted), options(*offered) if offered else options(("o", 1, "x", 1)).slice(0, 0), stock(*available)
    )
    assert made.objective_minor == cheapest(wanted, offered, available)
    # The plan itself stays within the stock and costs what it says.
    item_of = {(o, n): item for o, n, item, *_ in wanted}
    cost_of = {(o, n, p): c for o, n, p, c in offered}
    left = {(item, place): units for item, place, units in available}
    spent = sum(q * p for _, _, _, q, p in wanted)
    for order, line, place, units in rows_of(made):
        left[item_of[order, line], place] -= units
        spent += units * (cost_of[order, line, place] - next(w[4] for w in wanted if w[:2] == (order, line)))
    assert min(left.values()) >= 0
    assert spent == made.objective_minor


GOOD = (
    lines(("a", 1, "milk", 2, 500)),
    options(("a", 1, "ams", 30)),
    stock(("milk", "ams", 9)),
)


@pytest.mark.parametrize(
    ("table", "column", "values", "message"),
    [
        (0, "quantity", [0], "'quantity' of orders holds 0"),
        (0, "quantity", [2.0], "make it an integer"),
        (0, "quantity", pa.array([None], pa.int64()), "has 1 nulls"),
        (0, "unfilled_penalty_minor", [-1], "holds -1"),
        (0, "item", [3], "make it a string"),
        (1, "order_id", ["z"], "order 'z' line 1 that orders has not"),
        (1, "line", [2], "order 'a' line 2 that orders has not"),
        (1, "cost_minor", [2**60], f"holds {2**60}"),
        (2, "available", [-4], "holds -4"),
    ],
)
def test_wrong_values_are_named(table, column, values, message):
    tables = list(GOOD)
    tables[table] = tables[table].set_column(tables[table].column_names.index(column), column, [values])
    with pytest.raises(ProblemError, match=message):
        planned(*tables)


@pytest.mark.parametrize(("table", "message"), [(0, "line 1 twice"), (1, "'ams' twice"), (2, "at 'ams' twice")])
def test_repeated_rows_are_refused(table, message):
    tables = list(GOOD)
    tables[table] = pa.concat_tables([tables[table]] * 2)
    with pytest.raises(ProblemError, match=message):
        planned(*tables)


@pytest.mark.parametrize("table", [0, 1, 2])
def test_a_missing_column_is_named(table):
    tables = list(GOOD)
    name = tables[table].column_names[0]
    tables[table] = tables[table].drop_columns([name])
    with pytest.raises(ProblemError, match=f"has no column '{name}'"):
        planned(*tables)


def test_totals_that_overflow_are_refused():
    many = lines(*((f"o{i}", 1, "milk", 10**9, 2**34) for i in range(8)))
    with pytest.raises(ProblemError, match="split the batch"):
        planned(many, GOOD[1].slice(0, 0), GOOD[2])


def test_ten_thousand_lines_within_seconds():
    rng = np.random.default_rng(3)
    count, places = 10_000, 10
    order = [f"o{i}" for i in range(count)]
    wanted = pa.table(
        {"order_id": order, "line": np.ones(count, np.int32), "item": [f"i{k}" for k in rng.integers(0, 800, count)],
         "quantity": rng.integers(1, 6, count), "unfilled_penalty_minor": rng.integers(500, 9000, count)}
    )  # fmt: skip
    places_table = pa.table(
        {"order_id": np.repeat(order, places), "line": np.ones(count * places, np.int32),
         "location": [f"l{k}" for k in range(places)] * count, "cost_minor": rng.integers(10, 900, count * places)}
    )  # fmt: skip
    available = pa.table(
        {"item": np.repeat([f"i{k}" for k in range(800)], places), "location": [f"l{k}" for k in range(places)] * 800,
         "available": rng.integers(0, 9, 800 * places)}
    )  # fmt: skip
    made = planned(wanted, places_table, available)
    used = (
        made.table.join(wanted.select(["order_id", "item"]), "order_id")
        .group_by(["item", "location"])
        .aggregate([("quantity", "sum")])
    )
    checked = used.join(available, ["item", "location"])
    assert (np.asarray(checked["quantity_sum"]) <= np.asarray(checked["available"])).all()
    assert made.units_served + made.units_unfilled == sum(wanted["quantity"].to_pylist())
    assert isinstance(MinCostFlow(), Allocator)
