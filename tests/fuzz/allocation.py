"""Tables of allocation that are nearly right: names that belong together, and numbers at every limit."""

import itertools
import random
from typing import Any

import pyarrow as pa

_ORDERS = ["o1", "o2", "o3", ""]
_ITEMS = ["tea", "milk", "ghost", "x" * 129]
_PLACES = ["ams1", "rtm1", "moon", ""]
_ZONES = ["north", "south", ""]
_NUMBERS = [0, 1, 1, 2, 3, 5, 7, 8, -1, 1_000_000, 10**9, 10**9 + 1, 2**34, 2**34 + 1, 2**53, 2**62, None]
_WORDS = ["", "road", "air", "cold", "cold hazardous", "\x00"]

TEXTS = {
    "order_id": _ORDERS,
    "item": _ITEMS,
    "location": _PLACES,
    "zone": _ZONES,
    "service": ["road", "air", ""],
    "window": ["noon", ""],
    "requires": _WORDS,
    "provides": _WORDS,
    "country": ["nl", ""],
    "customer": ["c1", "c2", ""],
    "segment": ["web", ""],
}
COLUMNS = {
    "orders": [
        "order_id",
        "line",
        "item",
        "quantity",
        "unfilled_minor",
        "unfilled_penalty_minor",
        "weight_g",
        "requires",
        "zone",
        "due_days",
        "late_minor",
        "tier",
        "class",
        "ship_complete",
        "max_packages",
        "customer",
        "segment",
    ],
    "options": ["order_id", "line", "location", "service", "cost_minor", "line_minor"],
    "packages": ["order_id", "location", "service", "package_minor"],
    "stock": ["item", "location", "available", "class"],
    "capacity": ["location", "window", "units"],
    "locations": ["location", "handling_minor", "country"],
    "rates": [
        "location",
        "zone",
        "service",
        "from_g",
        "package_minor",
        "minor_per_kg",
        "transit_days",
        "transit_days_p50",
        "transit_days_p90",
        "window",
        "provides",
    ],
    "exclusions": ["item", "location", "country", "service", "zone"],
    "protection": ["class", "item", "location", "keep_ppm"],
}
# Without these a table of that name is refused at once.
_NEEDED = {
    "order_id",
    "line",
    "item",
    "quantity",
    "location",
    "zone",
    "package_minor",
    "available",
    "units",
    "keep_ppm",
}


def table(dice: random.Random, name: str) -> bytes:
    """An Arrow IPC stream of a table of this name, or of another when there is none; half of them make sense."""
    name = name if name in COLUMNS else dice.choice(list(COLUMNS))
    kept = [column for column in COLUMNS[name] if column in _NEEDED or dice.random() < 0.4]
    if dice.random() < 0.5:
        batch = _sound(dice, name, kept)
    else:
        if dice.random() < 0.2:
            dice.shuffle(kept)
            kept = kept[1:]
        rows = dice.choice([0, 1, 2, 5, 30])
        arrays = [_wild(dice, column, rows) for column in kept]
        if dice.random() < 0.05 and kept:
            kept, arrays = [*kept, kept[0]], [*arrays, arrays[0]]
        batch = pa.RecordBatch.from_arrays(arrays, names=kept)
    return stream(batch, 1 if dice.random() < 0.9 else dice.choice([0, 2]))


def sound(dice: random.Random, name: str) -> bytes:
    """An Arrow IPC stream of a table of this name that makes sense."""
    kept = [column for column in COLUMNS[name] if column in _NEEDED or dice.random() < 0.4]
    return stream(_sound(dice, name, kept), 1)


def stream(batch: pa.RecordBatch, times: int) -> bytes:
    """The stream that holds a batch so many times."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(times):
            writer.write_batch(batch)
    return bytes(sink.getvalue())


# What the rows of a table that makes sense are told apart by.
_KEYS = {
    "orders": ("order_id", "line"),
    "options": ("order_id", "line", "location"),
    "packages": ("order_id", "location"),
    "stock": ("item", "location"),
    "capacity": ("location",),
    "locations": ("location",),
    "rates": ("location", "zone"),
    "exclusions": ("item",),
    "protection": ("class",),
}
_FIRST = {"order_id": ["o1", "o2"], "line": [1, 2], "item": ["tea", "milk"], "location": ["ams1", "rtm1"]}
_FIRST |= {"zone": ["north", "south"], "class": [1, 2]}


def _sound(dice: random.Random, name: str, kept: list[str]) -> pa.RecordBatch:
    keys = _KEYS[name]
    rows = list(itertools.product(*(_FIRST[key] for key in keys)))
    arrays = []
    for column in kept:
        if column in keys:
            values: list[Any] = [row[keys.index(column)] for row in rows]
        elif column == "zone" and name == "orders":
            values = ["north"] * len(rows)
        elif column in {"tier", "class", "from_g", "max_packages"}:
            values = [0] * len(rows)
        elif column in {"window", "country", "customer", "segment", "requires", "provides", "service"}:
            values = [TEXTS[column][-1 if column == "window" and name == "capacity" else 0]] * len(rows)
        elif column == "item":
            values = [dice.choice(_FIRST["item"]) for _ in rows]
        elif column in {"due_days", "late_minor"}:
            values = [3] * len(rows)
        elif column == "ship_complete":
            values = [True] * len(rows)
        else:
            values = [dice.choice([1, 2, 3, 1_000]) for _ in rows]
        arrays.append(pa.array(values))
    return pa.RecordBatch.from_arrays(arrays, names=kept)


def _wild(dice: random.Random, name: str, rows: int) -> pa.Array:
    if name in TEXTS:
        texts = pa.array([dice.choice(TEXTS[name]) for _ in range(rows)], pa.string())
        return texts.dictionary_encode() if dice.random() < 0.3 else texts
    if name == "ship_complete":
        return pa.array([dice.random() < 0.5 for _ in range(rows)], pa.bool_())
    if dice.random() < 0.1:
        return pa.array([float("nan")] * rows, pa.float64())
    return pa.array([dice.choice(_NUMBERS) for _ in range(rows)], pa.int64())
