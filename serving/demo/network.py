"""Stores, distribution centres and their supply, made from the pace at which the orders sell.

Everything is a pure function of the order lines: the same orders give the same network, the same
receipts and the same troubles on every machine.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

DAY_MS = 24 * 60 * 60 * 1_000
DAWN_MS = 5 * 60 * 60 * 1_000
"""A business day runs from five to five: deliveries come at dawn, before the first customer."""
SHORT_TARGET = 0.10
"""Share of lines that the supply is scaled to leave short at their own store."""
SHELF = 1.0
"""Units that a store keeps of everything it sells, however slowly, times the scale of supply."""
COVER_DAYS = 7
"""Days of sales that a store opens with beside its shelf, times the scale of supply, and gets in a delivery."""
DC_COVER_DAYS = 14
"""Days of deliveries that a centre opens with, and buys."""
REVIEW_DAYS = 7
"""Each position of a centre is looked at once in so many days."""
CASE = 6
"""Units in which goods travel."""
TRANSFER_DAYS = 1
"""A delivery leaves the centre at dawn of the day before it arrives."""
PURCHASE_DAYS = 3
"""A purchase is known so many days before it is due."""
COUNTS_A_DAY = 12
"""Positions counted at dawn."""
_PURCHASES_LATE, _PURCHASES_SHORT, _COUNTS_WITH_LOSS = 20, 20, 4  # one in so many
_BISECTIONS = 10

Key = tuple[str, str]
"""Item and location."""


@dataclass(frozen=True, slots=True)
class Order:
    """One basket.

    Attributes:
        name: the source's id.
        customer: who buys.
        store: where.
        day: business day, 0 is the first.
        at_ms: when, milliseconds after dawn of day 0.
        lines: item and quantity.
        all_or_none: the customer takes everything or nothing.
        delivered: what the store lacks may come from its centre.
    """

    name: str
    customer: str
    store: str
    day: int
    at_ms: int
    lines: tuple[tuple[str, int], ...]
    all_or_none: bool
    delivered: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a centre sends a store; `day` is the one at whose dawn it arrives."""

    item: str
    store: str
    quantity: int
    day: int


@dataclass(frozen=True, slots=True)
class Purchase:
    """What a supplier sends a centre.

    Attributes:
        receipt: its name.
        item: what.
        dc: where to.
        quantity: units ordered.
        day: the day at whose dawn it is due.
        late_days: days by which it comes later, told the day before it was due.
        arrives: units that really come.
    """

    receipt: str
    item: str
    dc: str
    quantity: int
    day: int
    late_days: int
    arrives: int


@dataclass(frozen=True)
class Network:
    """The demo's world.

    Attributes:
        orders: in time order.
        days: business days with orders.
        dc_of: the centre of each store.
        items: everything sold.
        opening: units on hand before the first day.
        deliveries: by the day they arrive.
        purchases: every one.
        counts: positions and the units found missing, by day.
        scale: supply relative to pace; what `SHORT_TARGET` asks.
        short_expected: share of lines short by a plain simulation of the stores alone.
    """

    orders: tuple[Order, ...]
    days: int
    dc_of: dict[str, str]
    items: tuple[str, ...]
    opening: dict[Key, int]
    deliveries: dict[int, list[Delivery]]
    purchases: tuple[Purchase, ...]
    counts: dict[int, list[tuple[Key, int]]]
    scale: float
    short_expected: float


@dataclass(slots=True)
class _Shelf:
    """A store's position: its pace in units a day, the units of a delivery, and where its rounding starts."""

    pace: float
    pack: int
    phase: float
    taken: int = field(default=0)

    def supplied(self, scale: float, day: int) -> int:
        """Units that have come by dawn of `day`, the opening stock included: on average what the pace asks."""
        opening = int(scale * (SHELF + self.pace * COVER_DAYS) + self.phase)
        return opening + self.pack * int(scale * self.pace * day / self.pack + self.phase)


def build(lines: pl.DataFrame) -> Network:
    """Returns the network for order lines with the columns of `orders.SCHEMA`, sorted by time."""
    orders = tuple(_orders(lines))
    days = max(order.day for order in orders) + 1
    dc_of = _centres(lines)
    shelves = _shelves(orders, days)
    scale, short = _scaled(orders, shelves)
    opening = {key: units for key, shelf in shelves.items() if (units := shelf.supplied(scale, 0))}
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    for (item, store), shelf in shelves.items():
        before = shelf.supplied(scale, 0)
        for day in range(1, days):
            if more := shelf.supplied(scale, day) - before:
                deliveries[day].append(Delivery(item, store, more, day))
                before += more
    centres = _flows(deliveries, dc_of)
    purchases: list[Purchase] = []
    for (item, dc), flow in sorted(centres.items()):
        opening[(item, dc)] = _cases(sum(flow[: DC_COVER_DAYS + PURCHASE_DAYS]) + 1)
        purchases += _purchases(item, dc, flow, opening[(item, dc)])
    return Network(
        orders=orders,
        days=days,
        dc_of=dc_of,
        items=tuple(sorted({item for item, _ in opening} | {item for item, _ in shelves})),
        opening=opening,
        deliveries=dict(deliveries),
        purchases=tuple(purchases),
        counts=_counts(sorted(opening), days),
        scale=scale,
        short_expected=short,
    )


def chance(*names: str) -> float:
    """A number from 0 up to 1 that is the same for the same names, everywhere."""
    return zlib.crc32("|".join(names).encode()) / 2**32


def short_share(orders: tuple[Order, ...], shelves: dict[Key, _Shelf], scale: float) -> float:
    """Returns the share of lines that their store alone cannot fill, with supply scaled so."""
    short = total = 0
    for shelf in shelves.values():
        shelf.taken = 0
    for order in orders:
        here = [shelves[(item, order.store)] for item, _ in order.lines]
        free = [shelf.supplied(scale, order.day) - shelf.taken for shelf in here]
        lacking = sum(units < quantity for units, (_, quantity) in zip(free, order.lines, strict=True))
        short += lacking
        total += len(here)
        if lacking == 0 or not order.all_or_none:
            for shelf, units, (_, quantity) in zip(here, free, order.lines, strict=True):
                shelf.taken += min(units, quantity)
    return short / total


def _orders(lines: pl.DataFrame) -> Iterator[Order]:
    start = (int(lines["at_ms"].to_list()[0]) - DAWN_MS) // DAY_MS * DAY_MS + DAWN_MS
    baskets = lines.group_by("order", maintain_order=True).agg(
        pl.col("customer", "store", "at_ms").first(), pl.col("item"), pl.col("quantity")
    )
    for name, customer, store, at_ms, items, quantities in baskets.iter_rows():
        yield Order(
            name=name,
            customer=customer,
            store=store,
            day=(at_ms - start) // DAY_MS,
            at_ms=at_ms - start,
            lines=tuple(zip(items, quantities, strict=True)),
            all_or_none=chance("all or none", customer) < 0.2,
            delivered=chance("delivered", customer) < 0.25,
        )


def _centres(lines: pl.DataFrame) -> dict[str, str]:
    """Shares the stores out over two centres, so that both send about as much."""
    sold = lines.group_by("store").agg(pl.col("quantity").sum()).sort("quantity", "store", descending=[True, False])
    load = {"dc-1": 0, "dc-2": 0}
    dc_of: dict[str, str] = {}
    for store, units in sold.iter_rows():
        dc_of[store] = min(load, key=lambda dc: (load[dc], dc))
        load[dc_of[store]] += units
    return dc_of


def _shelves(orders: tuple[Order, ...], days: int) -> dict[Key, _Shelf]:
    sold: dict[Key, int] = defaultdict(int)
    for order in orders:
        for item, quantity in order.lines:
            sold[(item, order.store)] += quantity
    return {
        key: _Shelf(pace, max(CASE, _cases(math.ceil(pace * COVER_DAYS))), chance("phase", *key))
        for key, units in sold.items()
        for pace in (units / days,)
    }


def _scaled(orders: tuple[Order, ...], shelves: dict[Key, _Shelf]) -> tuple[float, float]:
    """Returns the smallest scale of supply found that leaves no more than the target short, and what it leaves."""
    low, high = 0.0, 1.0
    while short_share(orders, shelves, high) > SHORT_TARGET:
        low, high = high, high * 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if short_share(orders, shelves, middle) > SHORT_TARGET:
            low = middle
        else:
            high = middle
    return high, short_share(orders, shelves, high)


def _flows(deliveries: dict[int, list[Delivery]], dc_of: dict[str, str]) -> dict[Key, list[int]]:
    """Returns the units that each centre sends of an item, by the day they leave."""
    days = max(deliveries, default=0) + 1
    flows: dict[Key, list[int]] = {}
    for day, arriving in deliveries.items():
        for delivery in arriving:
            flow = flows.setdefault((delivery.item, dc_of[delivery.store]), [0] * days)
            flow[day - TRANSFER_DAYS] += delivery.quantity
    return flows


def _purchases(item: str, dc: str, flow: list[int], stock: int) -> Iterator[Purchase]:
    """Looks at the stock once a week and orders at the pace of the deliveries when it runs low."""
    pace = sum(flow) / len(flow)
    review = int(chance("review", item, dc) * REVIEW_DAYS)
    number = 0
    for day in range(len(flow)):
        stock -= flow[day]
        due = day + PURCHASE_DAYS
        if day % REVIEW_DAYS != review or due >= len(flow) or stock >= pace * (REVIEW_DAYS + PURCHASE_DAYS):
            continue
        quantity = _cases(math.ceil(pace * DC_COVER_DAYS))
        number += 1
        receipt = f"po-{dc}-{item}-{number}"
        late = chance("late", receipt) * _PURCHASES_LATE < 1
        short = chance("short", receipt) * _PURCHASES_SHORT < 1
        arrives = quantity - quantity // 4 if short else quantity
        yield Purchase(receipt, item, dc, quantity, due, 2 if late else 0, arrives)
        stock += quantity


def _counts(positions: list[Key], days: int) -> dict[int, list[tuple[Key, int]]]:
    """Chooses the positions counted each day after the first; in one of a few counts a unit is missing."""
    counts = {}
    for day in range(1, days):
        chosen = {positions[int(chance("count", str(day), str(n)) * len(positions))] for n in range(COUNTS_A_DAY)}
        counts[day] = [(key, int(chance("loss", str(day), *key) * _COUNTS_WITH_LOSS < 1)) for key in sorted(chosen)]
    return counts


def _cases(units: int) -> int:
    return -(-units // CASE) * CASE
