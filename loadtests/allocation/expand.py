"""A batch as arrays: which line may be served by which row of the rates, and at what cost. For the baselines only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadtests.allocation.evaluate import protected, rows_of, transit_days
from loadtests.allocation.tables import Tables

#: Stands for no limit.
PLENTY = np.int64(2**62)
TIERS = 8
#: Lines in a step of the expansion: about a million cells each with 200 locations and 3 services.
STEP = 2_000


@dataclass(frozen=True)
class Batch:
    """Lines k in the order of the table, orders o, rates r: rows of the rates by location, zone, service and weight."""

    #: (lines,)
    order: np.ndarray
    item: np.ndarray
    quantity: np.ndarray
    weight: np.ndarray
    unfilled: np.ndarray
    level: np.ndarray
    #: (orders,)
    complete: np.ndarray
    most: np.ndarray
    #: (rates,): location, window, number of the lane, cost of the package, and the weights that it is for.
    location: np.ndarray
    window: np.ndarray
    lane: np.ndarray
    package: np.ndarray
    from_g: np.ndarray
    below_g: np.ndarray
    #: (classes, items, locations): units that each class and those above may take.
    limit: np.ndarray
    #: (windows,)
    capacity: np.ndarray
    #: (cells,), sorted by line: the line, the rate, and the cost of the whole line.
    line: np.ndarray
    rate: np.ndarray
    cost: np.ndarray
    tables: Tables
    rates: pa.Table


def expand(given: Tables) -> Batch:
    """Reads the tables of a network.

    Raises:
        ValueError: costs are said one by one.
    """
    if given.rates is None or given.locations is None:
        raise ValueError("the baselines read rates and locations: costs said one by one are not for them")
    orders = given.orders
    rates = given.rates
    if "from_g" not in rates.column_names:
        rates = rates.append_column("from_g", pa.array(np.zeros(rates.num_rows, np.int64)))
    rates = rates.sort_by([(name, "ascending") for name in ("location", "zone", "service", "from_g")])
    locations, items = given.locations["location"].combine_chunks(), pc.unique(orders["item"])
    zones = pc.unique(rates["zone"])
    location, zone = _index(rates["location"], locations), _index(rates["zone"], zones)
    lane = _lanes(rates)
    from_g = _ints(rates, "from_g")
    following = np.append(lane[1:] == lane[:-1], False)
    below = np.where(following, np.append(from_g[1:], 0), PLENTY)
    window, capacity = _windows(given, rates)
    first = _first_of_orders(orders)
    order = np.cumsum(np.isin(np.arange(orders.num_rows), first)) - 1
    batch = Batch(
        order=order,
        item=_index(orders["item"], items),
        quantity=_ints(orders, "quantity"),
        weight=_ints(orders, "weight_g"),
        unfilled=_ints(orders, "unfilled_minor") + _ints(orders, "unfilled_penalty_minor") * _ints(orders, "quantity"),
        level=_ints(orders, "class"),
        complete=_ints(orders, "ship_complete")[first].astype(bool),
        most=_ints(orders, "max_packages")[first],
        location=location,
        window=window,
        lane=lane,
        package=_ints(rates, "package_minor"),
        from_g=from_g,
        below_g=below,
        limit=_limits(given, items, locations, int(_ints(orders, "class").max(initial=0)) + 1),
        capacity=capacity,
        line=np.empty(0, np.int64),
        rate=np.empty(0, np.int64),
        cost=np.empty(0, np.int64),
        tables=given,
        rates=rates,
    )
    cells = _cells(batch, given, rates, zone, _index(orders["zone"], zones))
    return Batch(**{**batch.__dict__, **cells})


def plan_of(batch: Batch, rate: np.ndarray) -> pa.Table:
    """The plan of a choice of rates, -1 for lines that stay unfilled; int64 (lines,)."""
    filled = pa.array(np.flatnonzero(rate >= 0))
    chosen = pa.array(rate[rate >= 0])
    orders = batch.tables.orders
    return pa.table(
        {
            "order_id": orders["order_id"].take(filled),
            "line": orders["line"].take(filled),
            "location": batch.rates["location"].take(chosen),
            "service": batch.rates["service"].take(chosen),
            "quantity": orders["quantity"].take(filled),
        }
    )


def _cells(
    batch: Batch, given: Tables, rates: pa.Table, zone: np.ndarray, line_zone: np.ndarray
) -> dict[str, np.ndarray]:
    """Every line with every rate of its zone, less what cannot be."""
    orders = given.orders
    by_zone = np.argsort(zone, kind="stable")
    start = np.searchsorted(zone[by_zone], np.arange(zone.max(initial=-1) + 2))
    start = np.append(start, start[-1])
    days = _days(rates, given.tier_confidence)
    handling = _ints(given.locations, "handling_minor")
    words = _words(orders, rates)
    needs, has = _bits(orders, "requires", words), _bits(rates, "provides", words)
    per_kg, due = _ints(rates, "minor_per_kg"), _ints(orders, "due_days", none=PLENTY)
    late, tier = _ints(orders, "late_minor", none=-1), _ints(orders, "tier")
    order_weight = np.bincount(batch.order, batch.weight).astype(np.int64)
    least = np.minimum.accumulate(batch.limit, axis=0)
    parts = []
    for begin in range(0, orders.num_rows, STEP):
        some = np.arange(begin, min(begin + STEP, orders.num_rows))
        own = np.where(line_zone[some] < 0, len(start) - 2, line_zone[some])
        count = start[own + 1] - start[own]
        line = np.repeat(some, count)
        rate = by_zone[np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start[own], count)]
        at, units = batch.location[rate], batch.quantity[line]
        overdue = np.maximum(0, days[rate, np.minimum(tier[line], TIERS - 1)] - due[line])
        kept = units <= least[np.minimum(batch.level[line], len(least) - 1), batch.item[line], at]
        kept &= units <= batch.capacity[batch.window[rate]]
        kept &= (needs[line] & ~has[rate]) == 0
        kept &= (overdue == 0) | (late[line] >= 0)
        # A heavier package than the whole order there is not; a line heavier than the range neither.
        kept &= (batch.from_g[rate] <= order_weight[batch.order[line]]) & (batch.weight[line] < batch.below_g[rate])
        kept &= ~_excluded(given, rates, line, rate, at)
        line, rate, at, units, overdue = (values[kept] for values in (line, rate, at, units, overdue))
        cost = handling[at] * units + per_kg[rate] * batch.weight[line] // 1000 + overdue * late[line]
        parts.append((line, rate, cost))
    line, rate, cost = (np.concatenate(values) for values in zip(*parts, strict=True))
    return {"line": line, "rate": rate, "cost": cost}


def _excluded(given: Tables, rates: pa.Table, line: np.ndarray, rate: np.ndarray, at: np.ndarray) -> np.ndarray:
    out = np.zeros(len(line), bool)
    country = given.locations["country"] if "country" in given.locations.column_names else None
    for rule in rows_of(given.exclusions):
        hit = np.ones(len(line), bool)
        for name, column, row in (
            ("item", given.orders["item"], line),
            ("location", given.locations["location"], at),
            ("country", country, at),
            ("service", rates["service"], rate),
            ("zone", rates["zone"], rate),
        ):
            if rule.get(name):
                same = np.zeros(1, bool) if column is None else pc.equal(column, rule[name]).to_numpy()
                hit &= same[row if column is not None else 0]
        out |= hit
    return out


def _limits(given: Tables, items: pa.Array, locations: pa.Array, classes: int) -> np.ndarray:
    out = np.full((max(classes, 1), len(items), len(locations)), PLENTY)
    out[0] = 0
    at, item = _index(given.stock["location"], locations), _index(given.stock["item"], items)
    level, units = _ints(given.stock, "class"), _ints(given.stock, "available")
    known = (at >= 0) & (item >= 0) & (level < len(out))
    out[level[known], item[known], at[known]] = units[known]
    if given.protection is not None:
        rules, names, places = rows_of(given.protection), items.to_pylist(), locations.to_pylist()
        for row, where in zip(*np.nonzero(out[0]), strict=True):
            found = protected({0: int(out[0, row, where])}, names[row], places[where], rules)
            for own, most in found.items():
                if own < len(out) and out[own, row, where] == PLENTY:
                    out[own, row, where] = most
    return out


def _windows(given: Tables, rates: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Window of each rate and how many units may leave in each."""
    limit = {(row["location"], row.get("window") or ""): row["units"] for row in rows_of(given.capacity)}
    own = rates["window"] if "window" in rates.column_names else pa.array([""] * rates.num_rows)
    pairs = list(zip(rates["location"].to_pylist(), own.to_pylist(), strict=True))
    known = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    return np.array([known[pair] for pair in pairs], np.int64), np.array(
        [limit.get(pair, PLENTY) for pair in known], np.int64
    )


def _days(rates: pa.Table, confidence: tuple[float, ...]) -> np.ndarray:
    """Days that count, by rate and tier."""
    if "transit_days" in rates.column_names:
        return np.repeat(_ints(rates, "transit_days")[:, None], TIERS, axis=1)
    rows = rates.select([name for name in rates.column_names if name.startswith("transit")]).to_pylist()
    rows = rows or [{}] * rates.num_rows
    return np.array([[transit_days(row, tier, confidence) for tier in range(TIERS)] for row in rows], np.int64)


def _lanes(rates: pa.Table) -> np.ndarray:
    codes = [
        np.asarray(pc.dictionary_encode(rates[name].combine_chunks()).indices)
        for name in ("location", "zone", "service")
    ]
    changes = np.any([np.diff(code, prepend=-1) != 0 for code in codes], axis=0)
    return np.cumsum(changes) - 1


def _first_of_orders(orders: pa.Table) -> np.ndarray:
    code = np.asarray(pc.dictionary_encode(orders["order_id"].combine_chunks()).indices)
    return np.flatnonzero(np.diff(code, prepend=-1) != 0)


def _words(*tables: pa.Table) -> list[str]:
    columns = [
        table[name].to_pylist() for table in tables for name in ("requires", "provides") if name in table.column_names
    ]
    return sorted({word for column in columns for text in set(column) for word in (text or "").split()})


def _bits(table: pa.Table, name: str, words: list[str]) -> np.ndarray:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    each = {
        text: sum(1 << words.index(word) for word in set((text or "").split())) for text in set(table[name].to_pylist())
    }
    return np.array([each[text] for text in table[name].to_pylist()], np.int64)


def _index(values: pa.ChunkedArray, among: pa.Array) -> np.ndarray:
    return pc.fill_null(pc.index_in(values, value_set=among), -1).to_numpy().astype(np.int64)


def _ints(table: pa.Table, name: str, none: int = 0) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, none if name == "due_days" else 0, np.int64)
    return pc.fill_null(table[name].cast(pa.int64()), pa.scalar(int(none), pa.int64())).to_numpy().astype(np.int64)
