"""Batches of orders against scarce stock, made from a seed.

Shaped like the study that the targets were set by: a Zipf assortment of which two fifths are scarce, orders of one to
five lines into two dozen zones, a fifth of the locations are large and the rest small, three services whose price rises
with distance and weight, three tiers with nested protection, a fifth of the orders complete or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadtests.allocation.tables import SERVICES, Tables, build, names

ZONES = 24
LINES = np.array([0.42, 0.26, 0.16, 0.10, 0.06])
QUANTITIES = {1: 0.70, 2: 0.17, 3: 0.07, 5: 0.04, 8: 0.02}
DUE_DAYS = {1: 0.08, 2: 0.22, 3: 0.30, 5: 0.25, 7: 0.15}
TIERS = (0.15, 0.35, 0.50)
MARGIN = np.array([0.45, 0.35, 0.25])
GOODWILL_MINOR = np.array([6000, 3500, 2000])
LATE_MINOR = np.array([2000, 1000, 500])
KEPT = (0.0, 0.1, 0.25)
SEGMENTS = ("web", "store", "wholesale")
#: Carrier zones by distance.
RINGS = 8


@dataclass(frozen=True)
class Shape:
    """What kind of batch.

    Attributes:
        orders, locations: how many.
        scarce: share of items of which there is about as much as the batch asks for.
        supply: stock of scarce items for each unit of demand.
        capacity: units that may leave all locations together, for each unit of demand.
        lines: lines of an order at most; up to 5 small orders are the more frequent ones.
        least: lines of an order at least.
        single: every line is of one unit.
    """

    orders: int
    locations: int
    scarce: float = 0.4
    supply: float = 1.0
    capacity: float = 1.3
    lines: int = 5
    least: int = 1
    single: bool = False


SUITE = {
    "tiny": Shape(50, 10),
    "small": Shape(200, 10),
    "mid": Shape(200, 50),
    "large": Shape(1000, 50),
    "huge": Shape(5000, 200),
    "single": Shape(1000, 50, lines=1, single=True),
}


def make(shape: Shape, seed: int) -> Tables:
    """Makes the batch of a seed; the same seed makes the same batch."""
    rng = np.random.default_rng([seed, shape.orders, shape.locations])
    items = max(int(np.clip(0.8 * shape.orders, 30, 3000)), 2 * shape.lines)
    zone_at, zone_share = rng.random((ZONES, 2)), rng.dirichlet(np.full(ZONES, 1.2))
    lines = _lines(rng, shape, items)
    orders = _orders(rng, shape.orders, zone_share)
    tier = orders["tier"][lines["order"]]
    price = np.clip(rng.lognormal(8.0, 0.8, items), 500, 60_000)
    grams = np.clip(rng.lognormal(6.6, 0.9, items), 80, 15_000).astype(np.int64)
    item, quantity = lines["item"], lines["quantity"]

    large = np.arange(shape.locations) < max(2, shape.locations // 5)
    near = zone_at[rng.choice(ZONES, shape.locations, p=zone_share)] + rng.normal(0, 0.05, (shape.locations, 2))
    at = np.where(large[:, None], rng.random((shape.locations, 2)), near)
    ring = np.clip(np.ceil(7 * np.linalg.norm(at[:, None] - zone_at, axis=2)), 1, RINGS)
    tariff = _tariff(rng, ring, large)
    demand = np.bincount(item, quantity, items)
    share = np.where(large, 4.0, 1.0) / np.where(large, 4.0, 1.0).sum()
    place_names = [*names("l", shape.locations).to_pylist(), *names("z", ZONES).to_pylist()]
    return build(
        name=f"{shape.orders}x{shape.locations}-{seed}",
        **lines,
        unfilled=(price[item] * quantity * MARGIN[tier] + GOODWILL_MINOR[tier]).astype(np.int64),
        weight=grams[item] * quantity,
        of_order=orders,
        handling=np.where(large, rng.integers(40, 90, shape.locations), rng.integers(120, 260, shape.locations)),
        capacity=np.maximum(3, np.rint(demand.sum() * shape.capacity * share)).astype(np.int64),
        limit=_limits(rng, shape, demand, large),
        package=tariff[0],
        kilogram=tariff[1],
        transit=tariff[2],
        segments=SEGMENTS,
        places=dict(zip(place_names, map(tuple, np.vstack([at, zone_at]).tolist()), strict=True)),
    )


def _lines(rng: np.random.Generator, shape: Shape, items: int) -> dict[str, np.ndarray]:
    """Order, item and quantity of each line; an order asks for an item once."""
    sizes = np.arange(shape.least, shape.lines + 1)
    chance = LINES[sizes - 1] if shape.lines <= len(LINES) else np.ones(len(sizes))
    count = rng.choice(sizes, shape.orders, p=chance / chance.sum())
    popularity = np.arange(1, items + 1) ** -0.8
    # The first of exponential clocks with these rates to ring are a weighted draw without repeats.
    rings = rng.exponential(size=(shape.orders, items)) / popularity
    drawn = np.argpartition(rings, shape.lines, axis=1)[:, : shape.lines]
    drawn = np.take_along_axis(drawn, np.argsort(np.take_along_axis(rings, drawn, 1), axis=1), 1)
    order, place = np.nonzero(np.arange(shape.lines) < count[:, None])
    wanted = rng.choice(list(QUANTITIES), len(order), p=list(QUANTITIES.values()))
    return {
        "order": order,
        "item": drawn[order, place],
        "quantity": np.ones_like(wanted) if shape.single else wanted,
    }


def _orders(rng: np.random.Generator, orders: int, zone_share: np.ndarray) -> dict[str, np.ndarray]:
    """What is said of whole orders."""
    tier = rng.choice(3, orders, p=TIERS)
    customer = rng.integers(0, max(2, orders // 2), orders)
    return {
        "zone": rng.choice(ZONES, orders, p=zone_share),
        "due": rng.choice(list(DUE_DAYS), orders, p=list(DUE_DAYS.values())),
        "late": LATE_MINOR[tier],
        "tier": tier,
        "class": np.where(rng.random(orders) < 0.7, tier, rng.integers(0, 3, orders)),
        "complete": rng.random(orders) < 0.2,
        "customer": customer,
        "segment": customer % len(SEGMENTS),
    }


def _tariff(rng: np.random.Generator, ring: np.ndarray, large: np.ndarray) -> list[np.ndarray]:
    """Cost of a package, of a kilogram, and days, each int64 (locations, zones, services)."""
    base = {"economy": (350, 35, 45, 16), "standard": (480, 60, 60, 26), "express": (900, 190, 140, 70)}
    dearer = np.where(large, 1.0, 1.08)[:, None]
    slower = np.where(large, 0, rng.random(len(large)) < 0.3)[:, None]
    package = [(base[name][0] + base[name][1] * ring) * dearer for name in SERVICES]
    kilogram = [base[name][2] + base[name][3] * ring for name in SERVICES]
    days = [1 + np.ceil(0.9 * ring), 1 + np.ceil(ring / 2.2), np.where(ring <= 2, 1, 2)]
    return [np.rint(np.stack(one, 2)).astype(np.int64) for one in (package, kilogram, [each + slower for each in days])]


def _limits(rng: np.random.Generator, shape: Shape, demand: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Units that each class and those above may take, int64 (classes, items, locations)."""
    items, locations = len(demand), shape.locations
    cover = np.where(rng.random(items) < shape.scarce, shape.supply, 8.0) * rng.lognormal(-0.08, 0.4, items)
    listed = rng.random((items, locations)) < np.where(large, 0.7, 0.25)
    # What nobody lists is at one of the large ones.
    listed[np.arange(items), rng.integers(0, large.sum(), items)] |= ~listed.any(axis=1)
    weight = listed * np.where(large, 6.0, 1.0) * rng.gamma(1.5, 1.0, (items, locations))
    total = np.where(demand > 0, np.maximum(1, np.rint(demand * cover)), 0).astype(np.int64)
    stock = rng.multinomial(total, weight / weight.sum(axis=1, keepdims=True))
    return np.stack([stock, *(np.floor(stock * (1 - kept) + 0.5).astype(np.int64) for kept in KEPT[1:])])
