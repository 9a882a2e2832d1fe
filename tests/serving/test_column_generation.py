"""Column generation from tables: hand-checked plans and what it refuses."""

import pyarrow as pa
import pytest

from serving.allocation import Allocator, ColumnGeneration, MinCostFlow, ProblemError
from tests.serving.test_allocation import lines, options, rows_of, stock


def packages(*rows):
    """Rows of (order, location, cost)."""
    return pa.table({n: [row[i] for row in rows] for i, n in enumerate(["order_id", "location", "package_minor"])})


def capacity(*rows):
    """Rows of (location, units)."""
    return pa.table({"location": [row[0] for row in rows], "units": [row[1] for row in rows]})


def solved(*tables, **more):
    made = ColumnGeneration().allocate(*tables, budget_ms=3000, **more)
    return [row[:4] for row in rows_of(made)], made.objective_minor, made.bound_minor


TWO_LINES = lines(("a", 1, "milk", 1, 900), ("a", 2, "eggs", 2, 900))
TWO_PLACES = options(("a", 1, "ams", 10), ("a", 2, "ams", 40), ("a", 1, "rtm", 30), ("a", 2, "rtm", 10))
PLENTY = stock(*((item, place, 9) for item in ("milk", "eggs") for place in ("ams", "rtm")))


def test_lines_share_a_package_when_that_is_cheaper():
    fee = packages(("a", "ams", 100), ("a", "rtm", 100))
    # Both from rtm: 30 + 2 x 10 + 100. Each from its cheaper place: 10 + 20 + 200.
    assert solved(TWO_LINES, TWO_PLACES, PLENTY, packages=fee) == ([("a", 1, "rtm", 1), ("a", 2, "rtm", 2)], 150, 150)


def test_without_packages_each_line_takes_its_cheaper_place():
    assert solved(TWO_LINES, TWO_PLACES, PLENTY) == ([("a", 1, "ams", 1), ("a", 2, "rtm", 2)], 30, 30)


def test_capacity_binds():
    # rtm may send one unit: the eggs do not fit, the milk would not gain.
    plan, cost, _ = solved(TWO_LINES, TWO_PLACES, PLENTY, capacity=capacity(("rtm", 1)))
    assert (plan, cost) == ([("a", 1, "ams", 1), ("a", 2, "ams", 2)], 90)


def test_protected_stock_is_kept_from_the_lower_class():
    both = lines(("a", 1, "milk", 1, 900), ("b", 1, "milk", 1, 500)).append_column("class", pa.array([0, 1]))
    offered = options(("a", 1, "ams", 10), ("b", 1, "ams", 10))
    shelf = stock(("milk", "ams", 5), ("milk", "ams", 0)).append_column("class", pa.array([0, 1]))
    assert solved(both, offered, shelf) == ([("a", 1, "ams", 1)], 510, 510)


def test_ship_complete_is_all_or_nothing():
    whole = TWO_LINES.append_column("ship_complete", pa.array([True, True]))
    no_eggs = stock(("milk", "ams", 9))
    assert solved(whole, TWO_PLACES, no_eggs) == ([], 2700, 2700)
    assert solved(TWO_LINES, TWO_PLACES, no_eggs)[1] == 10 + 1800


def test_services_are_told_apart():
    service = pa.array(["slow", "fast", "slow", "fast"])
    offered = options(("a", 1, "ams", 10), ("a", 1, "ams", 5), ("a", 2, "ams", 1), ("a", 2, "ams", 50)).append_column(
        "service", service
    )
    made = ColumnGeneration().allocate(TWO_LINES, offered, PLENTY, budget_ms=3000)
    assert made.table["service"].to_pylist() == ["fast", "slow"]
    assert made.objective_minor == 5 + 2 * 1


def test_costs_of_whole_lines_are_added_to_those_of_units():
    wanted = TWO_LINES.append_column("unfilled_minor", pa.array([7, 0]))
    offered = TWO_PLACES.append_column("line_minor", pa.array([1000, 1, 1000, 2]))
    # Milk costs at least 1010 against 907 unfilled; eggs cost 2 x 10 + 2 from rtm.
    assert solved(wanted, offered, PLENTY) == ([("a", 2, "rtm", 2)], 907 + 22, 907 + 22)


def test_single_lines_cost_what_the_flow_solver_finds():
    wanted = lines(*((f"o{i}", 1, f"i{i % 3}", 1, 300 + 7 * i) for i in range(30)))
    offered = options(
        *(
            (f"o{i}", 1, place, 11 * ((i * k) % 17) + k)
            for i in range(30)
            for k, place in enumerate(("ams", "rtm", "utr"), 1)
        )
    )
    shelf = stock(*((f"i{k}", place, 2) for k in range(3) for place in ("ams", "rtm", "utr")))
    flow = MinCostFlow().allocate(wanted, offered, shelf)
    assert solved(wanted, offered, shelf)[1:] == (flow.objective_minor, flow.bound_minor)
    assert isinstance(ColumnGeneration(), Allocator)


REFUSED = {
    "too many lines": ({"lines": lines(*(("a", n, "milk", 1, 9) for n in range(9)))}, "has 9 lines"),
    "an unknown line": ({"options": options(("z", 1, "ams", 1))}, "order 'z' line 1 that lines has not"),
    "an option twice": ({"options": options(("a", 1, "ams", 1), ("a", 1, "ams", 2))}, "at 'ams' twice"),
    "stock twice": ({"stock": stock(("milk", "ams", 1), ("milk", "ams", 2))}, "item 'milk' at 'ams' twice"),
    "a package twice": ({"packages": packages(("a", "ams", 1), ("a", "ams", 2))}, "order 'a' at 'ams' twice"),
    "capacity twice": ({"capacity": capacity(("ams", 1), ("ams", 2))}, "'ams' twice"),
    "a cost out of range": ({"options": options(("a", 1, "ams", 2**40))}, f"holds {2**40}"),
    "a flag that is none": ({"lines": TWO_LINES.append_column("ship_complete", pa.array([1, 0]))}, "make it a boolean"),
    "two classes in an order": (
        {"lines": TWO_LINES.append_column("class", pa.array([0, 1]))},
        "lines of several classes",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_tables_are_refused(change, message):
    tables = {"lines": TWO_LINES, "options": TWO_PLACES, "stock": PLENTY, **change}
    with pytest.raises(ProblemError, match=message):
        ColumnGeneration().allocate(**tables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packages": packages(("a", "ams", 1))}, "knows no packages"),
        ({"capacity": capacity(("ams", 1))}, "knows no capacity"),
        ({"lines": TWO_LINES.append_column("class", pa.array([0, 0]))}, "knows no column 'class' of lines"),
    ],
)
def test_the_flow_solver_refuses_what_it_would_ignore(change, message):
    tables = {"lines": TWO_LINES, "options": TWO_PLACES, "stock": PLENTY, **change}
    with pytest.raises(ProblemError, match=message):
        MinCostFlow().allocate(**tables)
