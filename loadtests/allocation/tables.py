"""The tables of docs/reference/allocation.md, and instances of the study that the targets were set by."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc

SERVICES = ("economy", "standard", "express")
#: The tables, in the order of the reference.
NAMES = ("orders", "options", "packages", "locations", "rates", "exclusions", "stock", "protection", "capacity")


@dataclass(frozen=True)
class Tables:
    """A batch of orders and what may serve them; a table that is None is not sent."""

    orders: pa.Table
    stock: pa.Table
    locations: pa.Table | None = None
    rates: pa.Table | None = None
    options: pa.Table | None = None
    packages: pa.Table | None = None
    capacity: pa.Table | None = None
    exclusions: pa.Table | None = None
    protection: pa.Table | None = None
    #: Share of packages in time that tier 0, 1 … asks for; the last holds for all higher tiers.
    tier_confidence: tuple[float, ...] = ()
    name: str = ""
    #: For maps only: x and y of each location and of each zone, from 0 to 1.
    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def named(self) -> dict[str, pa.Table]:
        """The tables that there are, by name."""
        return {name: table for name in NAMES if (table := getattr(self, name)) is not None}

    def streams(self) -> dict[str, bytes]:
        """The same as Arrow IPC streams."""
        return {name: stream_of(table) for name, table in self.named().items()}


def stream_of(table: pa.Table) -> bytes:
    """An Arrow IPC stream of one batch."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(1, table.num_rows))
    return sink.getvalue()


def names(prefix: str, count: int) -> pa.StringArray:
    """`count` names that sort as their numbers do."""
    width = len(str(max(1, count - 1)))
    return pa.array([f"{prefix}{number:0{width}d}" for number in range(count)], pa.string())


def load_study(path: Path) -> Tables:
    """Reads an instance that the study's generator saved as .npz.

    Its arrays: lines of order o from ptr[o] to ptr[o + 1]; sku, qty, u (cost of leaving the line unfilled) and w (grams)
    of a line; zone, due, tier, cls, complete, customer of an order; late_pen by tier; handling and cap by location;
    lim[class, sku, location]; A (a package), R (a kilogram) and T (days) by location, zone and service.
    """
    with np.load(path, allow_pickle=False) as file:
        return from_study({name: file[name] for name in file.files})


def from_study(given: Mapping[str, np.ndarray]) -> Tables:
    """Turns the arrays of `load_study` into tables."""
    of_order = np.repeat(np.arange(len(given["zone"])), np.diff(given["ptr"]))
    return build(
        name=str(given["name"]),
        order=of_order,
        item=given["sku"],
        quantity=given["qty"],
        unfilled=given["u"],
        weight=given["w"],
        of_order={
            "zone": given["zone"],
            "due": given["due"],
            "late": given["late_pen"][given["tier"]],
            "tier": given["tier"],
            "class": given["cls"],
            "complete": given["complete"],
            "customer": given["customer"],
        },
        handling=given["handling"],
        capacity=given["cap"],
        limit=given["lim"],
        package=given["A"],
        kilogram=given["R"],
        transit=given["T"],
    )


def build(
    *,
    name: str,
    order: np.ndarray,
    item: np.ndarray,
    quantity: np.ndarray,
    unfilled: np.ndarray,
    weight: np.ndarray,
    of_order: Mapping[str, np.ndarray],
    handling: np.ndarray,
    capacity: np.ndarray,
    limit: np.ndarray,
    package: np.ndarray,
    kilogram: np.ndarray,
    transit: np.ndarray,
    segments: Sequence[str] = ("",),
    places: Mapping[str, tuple[float, float]] | None = None,
) -> Tables:
    """Writes arrays as tables.

    Args:
        name: of the instance.
        order, item, quantity, unfilled, weight: int (lines,), sorted by order.
        of_order: int (orders,): zone, due, late, tier, class, complete, customer, and segment if there are any.
        handling, capacity: int (locations,).
        limit: int (classes, items, locations); class 0 is the stock.
        package, kilogram, transit: int (locations, zones, services).
        segments: names of the segments.
        places: see `Tables.places`.
    """
    orders, locations, zones = len(of_order["zone"]), *package.shape[:2]
    items = limit.shape[1]
    item_names, location_names, zone_names = names("i", items), names("l", locations), names("z", zones)
    first = np.searchsorted(order, np.arange(orders))
    each = {what: values[order] for what, values in of_order.items()}
    customers = names("c", int(of_order["customer"].max(initial=0)) + 1)
    segment = each.get("segment", np.zeros(len(order), np.int64))
    lines = pa.table(
        {
            "order_id": names("o", orders).take(pa.array(order)),
            "line": pa.array(np.arange(len(order)) - first[order] + 1, pa.int32()),
            "item": item_names.take(pa.array(item)),
            "quantity": pa.array(quantity, pa.int64()),
            "unfilled_minor": pa.array(unfilled, pa.int64()),
            "weight_g": pa.array(weight, pa.int64()),
            "zone": zone_names.take(pa.array(each["zone"])),
            "due_days": pa.array(each["due"], pa.int32()),
            "late_minor": pa.array(each["late"], pa.int64()),
            "tier": pa.array(each["tier"], pa.int32()),
            "class": pa.array(each["class"], pa.int32()),
            "ship_complete": pa.array(each["complete"].astype(bool)),
            "customer": customers.take(pa.array(each["customer"])),
            "segment": pa.array(segments, pa.string()).take(pa.array(segment)),
        }
    )
    location, zone, service = (where.ravel() for where in np.indices(package.shape))
    rates = pa.table(
        {
            "location": location_names.take(pa.array(location)),
            "zone": zone_names.take(pa.array(zone)),
            "service": pa.array(SERVICES[: package.shape[2]]).take(pa.array(service)),
            "package_minor": pa.array(package.ravel(), pa.int64()),
            "minor_per_kg": pa.array(kilogram.ravel(), pa.int64()),
            "transit_days": pa.array(transit.ravel(), pa.int32()),
        }
    )
    at_item, at = np.nonzero(limit[0])
    classes = limit.shape[0]
    stock = pa.table(
        {
            "item": item_names.take(pa.array(np.tile(at_item, classes))),
            "location": location_names.take(pa.array(np.tile(at, classes))),
            "class": pa.array(np.repeat(np.arange(classes), len(at)), pa.int32()),
            "available": pa.array(limit[:, at_item, at].ravel(), pa.int64()),
        }
    )
    return Tables(
        orders=lines,
        locations=pa.table({"location": location_names, "handling_minor": pa.array(handling, pa.int64())}),
        rates=rates,
        stock=stock,
        capacity=pa.table({"location": location_names, "units": pa.array(capacity, pa.int64())}),
        name=name,
        places=places or {},
    )


def same(one: Tables, other: Tables) -> bool:
    """Whether two batches have the same rows."""
    return all(getattr(one, each.name) == getattr(other, each.name) for each in fields(Tables) if each.name in NAMES)
