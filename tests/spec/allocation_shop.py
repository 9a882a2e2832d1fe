"""A shop with three locations and two zones, whose plans can be worked out by hand."""

import pyarrow as pa

from bespeak import AllocationTerms, CheckLine, Item, Location, Network

PLACES = ("ams1", "rtm1", "utr1")
ITEMS = ("tea", "rice", "salt")

# Zone north: ams1 500 a package, rtm1 700, utr1 900; south: 800, 400, 600. A kilogram is 10, handling 5 a unit at ams1.
PACKAGES = {
    ("ams1", "north"): 500,
    ("rtm1", "north"): 700,
    ("utr1", "north"): 900,
    ("ams1", "south"): 800,
    ("rtm1", "south"): 400,
    ("utr1", "south"): 600,
}


def network(**more):
    """The network; `more` replaces its tables."""
    tables = {
        "locations": pa.table({"location": PLACES, "handling_minor": [5, 0, 0]}),
        "rates": pa.table(
            {
                "location": [place for place, _ in PACKAGES],
                "zone": [zone for _, zone in PACKAGES],
                "service": ["road"] * len(PACKAGES),
                "from_g": [0] * len(PACKAGES),
                "package_minor": list(PACKAGES.values()),
                "minor_per_kg": [10] * len(PACKAGES),
                "transit_days": [2] * len(PACKAGES),
                "window": ["noon"] * len(PACKAGES),
            }
        ),
    }
    return Network(**(tables | more))


def orders(*rows, **columns):
    """The orders table of (order_id, line, item, quantity); unfilled lines cost 10,000 unless said otherwise."""
    names, lines, items, quantities = zip(*rows, strict=True)
    table = {
        "order_id": list(names),
        "line": pa.array(lines, pa.int32()),
        "item": list(items),
        "quantity": pa.array(quantities, pa.int64()),
        "unfilled_minor": [10_000] * len(rows),
        "zone": ["north"] * len(rows),
    }
    return pa.table(table | columns)


def stocked(service, stock):
    """Gives the service the items and locations, and this stock: units by (item, location)."""
    for item in ITEMS:
        service.put_item(Item(item))
    for place in PLACES:
        service.put_location(Location(place))
    for (item, place), units in stock.items():
        service.set_on_hand(item, place, units)
    return service


def terms(**fields):
    """Terms with the network, planned in this process within 100 ms."""
    return AllocationTerms(**({"network": network(), "budget_ms": 100} | fields))


def rows(plan):
    """The plan as {(order, line): (location, service, quantity)}."""
    return {
        (row["order_id"], row["line"]): (row["location"], row["service"], row["quantity"])
        for row in plan.plan.to_pylist()
    }


def left(service):
    """What can be promised now, by (item, location)."""
    asked = [CheckLine(item, place) for item in ITEMS for place in PLACES]
    return {(one.item, one.location): one.available for one in service.check_many(asked)}
