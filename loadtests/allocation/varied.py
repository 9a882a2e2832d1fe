"""Small batches that use every column of the tables, made from a seed: for tests against all assignments."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from loadtests.allocation.evaluate import Broken, Judge, Outcome, Row
from loadtests.allocation.tables import Tables

ZONES = ("north", "south")
STOCK = pa.schema([("item", pa.string()), ("location", pa.string()), ("class", pa.int32()), ("available", pa.int64())])
WORDS = ("", "", "", "cold", "hazardous", "cold hazardous")


def varied(seed: int, orders: int = 3, most_lines: int = 2, items: int = 2, locations: int = 2) -> Tables:
    """Makes a batch of a few orders with breaks by weight, quantiles, windows, classes, words and exclusions."""
    rng = np.random.default_rng(seed)
    places = [f"l{number}" for number in range(locations)]
    return Tables(
        orders=pa.Table.from_pylist(
            [row for order in range(orders) for row in _order(rng, order, int(rng.integers(1, most_lines + 1)), items)]
        ),
        locations=pa.table(
            {
                "location": places,
                "handling_minor": rng.integers(0, 30, locations),
                "country": rng.choice(["NL", "DE"], locations).tolist(),
            }
        ),
        rates=pa.Table.from_pylist([row for place in places for row in _rates(rng, place)]),
        exclusions=pa.table(
            {
                "item": [f"i{rng.integers(items)}", ""],
                "country": ["", str(rng.choice(["NL", "DE", "FR"]))],
                "service": ["road", str(rng.choice(["air", ""]))],
                "zone": ["", str(rng.choice(ZONES))],
                "location": [str(rng.choice(places)), ""],
            }
        ).slice(0, int(rng.integers(0, 3))),
        stock=pa.Table.from_pylist(list(_stock(rng, items, places)), STOCK),
        protection=pa.table(
            {
                "class": pa.array([1, 2], pa.int32()),
                "item": ["", f"i{rng.integers(items)}"],
                "keep_ppm": rng.integers(0, 600_000, 2),
            }
        ),
        capacity=pa.table({"location": places, "window": ["noon"] * locations, "units": rng.integers(0, 9, locations)}),
        tier_confidence=(0.95, 0.8, 0.5),
        name=f"varied-{seed}",
    )


def _order(rng: np.random.Generator, order: int, lines: int, items: int) -> Iterator[dict[str, object]]:
    whole = {
        "zone": str(rng.choice(ZONES)),
        "due_days": None if rng.random() < 0.2 else int(rng.integers(1, 4)),
        "late_minor": None if rng.random() < 0.2 else int(rng.integers(0, 120)),
        "tier": int(rng.integers(0, 3)),
        "class": int(rng.integers(0, 3)),
        "ship_complete": bool(rng.random() < 0.4),
        "max_packages": int(rng.integers(0, 3)),
        "customer": f"c{order % 2}",
        "segment": str(rng.choice(["web", "store"])),
    }
    for line in range(lines):
        quantity = int(rng.integers(1, 4))
        yield {
            "order_id": f"o{order}",
            "line": line + 1,
            "item": f"i{rng.integers(items)}",
            "quantity": quantity,
            "unfilled_minor": int(rng.integers(100, 900)),
            "unfilled_penalty_minor": int(rng.integers(0, 50)),
            "weight_g": quantity * int(rng.integers(100, 900)),
            "requires": str(rng.choice(WORDS)),
            **whole,
        }


def _rates(rng: np.random.Generator, place: str) -> Iterator[dict[str, object]]:
    for zone, service in itertools.product(ZONES, ("road", "air")):
        if rng.random() < 0.15:
            continue
        provides = " ".join(sorted({"cold", "hazardous", "dry"} - {str(rng.choice(["cold", "hazardous", "dry"]))}))
        days = np.sort(rng.integers(1, 6, 3))
        window = str(rng.choice(["noon", ""]))
        breaks = [0, *sorted(int(grams) for grams in rng.integers(300, 2500, rng.integers(0, 3)))]
        for grams in dict.fromkeys(breaks):
            yield {
                "location": place,
                "zone": zone,
                "service": service,
                "from_g": grams,
                "package_minor": int(rng.integers(20, 300)),
                "minor_per_kg": int(rng.integers(0, 80)),
                "transit_days_p50": int(days[0]),
                "transit_days_p80": int(days[1]),
                "transit_days_p95": int(days[2]),
                "window": window,
                "provides": provides,
            }


def _stock(rng: np.random.Generator, items: int, places: list[str]) -> Iterator[dict[str, object]]:
    for item, place in itertools.product(range(items), places):
        units = int(rng.integers(0, 7))
        if rng.random() < 0.85:
            yield {"item": f"i{item}", "location": place, "class": 0, "available": units}
            if rng.random() < 0.4:
                yield {"item": f"i{item}", "location": place, "class": 1, "available": int(rng.integers(0, units + 1))}


def every_plan(given: Tables) -> Iterator[tuple[list[Row], Outcome]]:
    """Rows of all feasible plans and what they cost; only for tiny batches."""
    judge = Judge(given)
    ways = sorted({(row["location"], row["zone"], row["service"]) for row in given.rates.to_pylist()})
    lines = [(line, [way for way in ways if way[1] == line["zone"]]) for line in judge.lines.values()]
    for chosen in itertools.product(*([None, *own] for _, own in lines)):
        rows = [
            {**{name: line[name] for name in ("order_id", "line", "quantity")}, "location": way[0], "service": way[2]}
            for (line, _), way in zip(lines, chosen, strict=True)
            if way is not None
        ]
        try:
            yield rows, judge.outcome(rows)
        except Broken:
            continue
