"""Column generation behind the `Allocator` protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ortools
import pyarrow as pa

from serving.allocation import columns
from serving.allocation.batch import CELLS_MAX, COST_MAX, LINES_MAX, NEVER, Batch, Solution
from serving.allocation.protocol import PLAN_SCHEMA, Plan
from serving.allocation.tables import (
    LINE_MAX,
    LINE_MIN,
    QTY_MAX,
    ProblemError,
    check_rows,
    find,
    flags_or,
    index,
    integers,
    integers_or,
    pair,
    refuse_repeats,
    text,
    text_or,
)

CLASSES_MAX = 8
DEFAULT_BUDGET_S = 5.0
SCHEMA = PLAN_SCHEMA.append(pa.field("service", pa.string()))


class ColumnGeneration:
    """Whole lines, shared packages, nested limits, capacity: see `serving.allocation.batch`.

    Lines are never split. Orders have at most 8 lines. Without a budget it
    takes up to 5 seconds; the bound says what is left to gain.
    """

    name = "column-generation"
    version = f"1+ortools-{ortools.__version__}"

    def allocate(
        self,
        lines: pa.Table,
        options: pa.Table,
        stock: pa.Table,
        budget_ms: int | None = None,
        packages: pa.Table | None = None,
        capacity: pa.Table | None = None,
    ) -> Plan:
        """See `Allocator.allocate`."""
        named = batch_from_tables(lines, options, stock, packages, capacity)
        budget = DEFAULT_BUDGET_S if budget_ms is None else budget_ms / 1000.0
        return plan_of(named, columns.solve(named.batch, budget))


@dataclass(frozen=True)
class Named:
    """A batch and the names of what its arrays index."""

    batch: Batch
    #: Of each line, in the batch's order.
    order_id: pa.StringArray
    line: np.ndarray
    #: Of each option.
    location: pa.StringArray
    service: pa.StringArray


def batch_from_tables(
    lines: pa.Table,
    options: pa.Table,
    stock: pa.Table,
    packages: pa.Table | None,
    capacity: pa.Table | None,
) -> Named:
    """Checks and indexes the tables.

    Raises:
        ProblemError: see `Allocator.allocate`.
    """
    given = ((lines, "lines"), (options, "options"), (stock, "stock"), (packages, "packages"), (capacity, "capacity"))
    for table, what in given:
        if table is not None:
            check_rows(table, what)
    ids = text(lines, "order_id", "lines")
    orders = ids.unique()
    sorting = np.lexsort((integers(lines, "line", "lines", LINE_MIN, LINE_MAX), index(ids, orders)))
    lines = lines.take(pa.array(sorting))
    ids, number = text(lines, "order_id", "lines"), integers(lines, "line", "lines", LINE_MIN, LINE_MAX)
    order = index(ids, orders)
    key = pair(order, number)
    refuse_repeats(
        key, lambda row: f"lines has order {ids[row].as_py()!r} line {number[row]} twice: add up its quantity"
    )
    size = np.bincount(order, minlength=len(orders))
    if len(size) and size.max() > LINES_MAX:
        most = orders[int(size.argmax())].as_py()
        raise ProblemError(
            f"order {most!r} has {size.max()} lines: column-generation plans at most {LINES_MAX}, so split it or name min-cost-flow"
        )
    qty = integers(lines, "qty", "lines", 1, QTY_MAX)
    unfilled = qty * integers_or(lines, "unfilled_penalty_minor", "lines", 0, COST_MAX) + integers_or(
        lines, "unfilled_minor", "lines", 0, COST_MAX
    )
    complete = np.zeros(len(orders), np.int64)
    np.maximum.at(complete, order, flags_or(lines, "ship_complete", "lines"))
    kinds = integers_or(lines, "class", "lines", 0, CLASSES_MAX - 1)
    kind = np.zeros(len(orders), np.int64)
    np.maximum.at(kind, order, kinds)
    if (kinds != kind[order]).any():
        row = int(np.flatnonzero(kinds != kind[order])[0])
        raise ProblemError(f"order {ids[row].as_py()!r} has lines of several classes: give all its lines the same")

    place, service = text(options, "location", "options"), text_or(options, "service", "options", "")
    places, services = place.unique(), service.unique()
    code = index(place, places) * max(len(services), 1) + index(service, services)
    known = np.unique(code)
    option = np.searchsorted(known, code)
    if len(qty) * max(len(known), 1) > CELLS_MAX:
        raise ProblemError(f"{len(qty)} lines with {len(known)} options are too many at once: split the batch")
    option_order, option_line = (
        text(options, "order_id", "options"),
        integers(options, "line", "options", LINE_MIN, LINE_MAX),
    )
    at = find(pair(index(option_order, orders), option_line), key)
    if (at < 0).any():
        row = int(np.flatnonzero(at < 0)[0])
        raise ProblemError(
            f"options has order {option_order[row].as_py()!r} line {option_line[row]} that lines has not: add the line or leave out the option"
        )
    refuse_repeats(
        pair(at, option),
        lambda row: (
            f"options has order {option_order[row].as_py()!r} line {option_line[row]} at {place[row].as_py()!r} twice: keep the cheaper"
        ),
    )
    each = integers_or(options, "cost_minor", "options", 0, COST_MAX)
    line_cost = qty[at] * each + integers_or(options, "line_minor", "options", 0, COST_MAX)
    cost = np.full((len(qty), len(known)), NEVER, np.int64)
    cost[at, option] = line_cost
    package = _packages(packages, orders, places, services, known)
    _check_costs(unfilled, line_cost, package)

    item_names = text(lines, "item", "lines")
    items = item_names.unique()
    limit = _limits(stock, items, places, int(qty.sum()))
    batch = Batch(
        np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
        index(item_names, items),
        qty,
        unfilled,
        # A class above all limits counts against the same ones as the highest that has any.
        np.minimum(kind, len(limit) - 1),
        complete,
        cost,
        package,
        known // max(len(services), 1),
        limit,
        _capacity(capacity, places, int(qty.sum())),
    )
    taken = pa.array(known // max(len(services), 1)), pa.array(known % max(len(services), 1))
    return Named(batch, ids, number, places.take(taken[0]), services.take(taken[1]))


def _check_costs(unfilled: np.ndarray, line_cost: np.ndarray, package: np.ndarray) -> None:
    """Refuses products of quantity and cost that are out of range."""
    for values, what in ((unfilled, "leaving a line unfilled"), (line_cost, "serving a line"), (package, "a package")):
        if values.size and values.max() > COST_MAX:
            raise ProblemError(f"{what} costs {values.max()} minor units: costs may be at most {COST_MAX}")


def _packages(
    packages: pa.Table | None,
    orders: pa.StringArray,
    places: pa.StringArray,
    services: pa.StringArray,
    known: np.ndarray,
) -> np.ndarray:
    """Cost of each order's package from each option; 0 where none is given."""
    out = np.zeros((len(orders), len(known)), np.int64)
    if packages is None or packages.num_rows == 0:
        return out
    order = index(text(packages, "order_id", "packages"), orders)
    place = index(text(packages, "location", "packages"), places)
    service = index(text_or(packages, "service", "packages", ""), services)
    code = place * max(len(services), 1) + service
    cost = integers(packages, "package_minor", "packages", 0, COST_MAX)
    option = find(code, known)
    used = np.flatnonzero((order >= 0) & (place >= 0) & (service >= 0) & (option >= 0))
    names = text(packages, "order_id", "packages"), text(packages, "location", "packages")
    refuse_repeats(
        pair(order[used], option[used]),
        lambda row: (
            f"packages has order {names[0][int(used[row])].as_py()!r} at {names[1][int(used[row])].as_py()!r} twice: keep one"
        ),
    )
    out[order[used], option[used]] = cost[used]
    return out


def _limits(stock: pa.Table, items: pa.StringArray, places: pa.StringArray, enough: int) -> np.ndarray:
    """Limits as (classes, items, places): nothing where stock has no row, no more limit where a class has none."""
    item, place = text(stock, "item", "stock"), text(stock, "location", "stock")
    level = integers_or(stock, "class", "stock", 0, CLASSES_MAX - 1)
    units = integers(stock, "available", "stock", 0, QTY_MAX)
    refuse_repeats(
        pair(index(item, item.unique()) * CLASSES_MAX + level, index(place, place.unique())),
        lambda row: f"stock has item {item[row].as_py()!r} at {place[row].as_py()!r} twice: send one row with the sum",
    )
    out = np.full((int(level.max(initial=0)) + 1, len(items), len(places)), enough, np.int64)
    out[0] = 0
    rows, columns_ = index(item, items), index(place, places)
    used = (rows >= 0) & (columns_ >= 0)
    out[level[used], rows[used], columns_[used]] = units[used]
    return out


def _capacity(capacity: pa.Table | None, places: pa.StringArray, enough: int) -> np.ndarray:
    """Units that may leave each place; no limit where none is given."""
    out = np.full(len(places), enough, np.int64)
    if capacity is not None and capacity.num_rows:
        name = text(capacity, "location", "capacity")
        refuse_repeats(index(name, name.unique()), lambda row: f"capacity has {name[row].as_py()!r} twice: keep one")
        place = index(name, places)
        out[place[place >= 0]] = integers(capacity, "units", "capacity", 0, QTY_MAX)[place >= 0]
    return out


def plan_of(named: Named, solution: Solution) -> Plan:
    """The plan table of a solution."""
    used = np.flatnonzero(solution.option >= 0)
    option = pa.array(solution.option[used])
    qty = named.batch.qty
    table = pa.Table.from_arrays(
        [
            named.order_id.take(pa.array(used)),
            pa.array(named.line[used], pa.int32()),
            named.location.take(option),
            pa.array(qty[used], pa.int64()),
            named.service.take(option),
        ],
        schema=SCHEMA,
    ).sort_by([("order_id", "ascending"), ("line", "ascending"), ("location", "ascending")])
    served = int(qty[used].sum())
    return Plan(table, solution.cost, solution.bound, served, int(qty.sum()) - served)
