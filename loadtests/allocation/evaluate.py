"""What a plan costs and whether it keeps every limit, counted anew from the tables alone.

Slow and plain on purpose: it judges the solvers, so it shares nothing with them. One line of the formulation in
docs/reference/allocation.md after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pyarrow as pa

from loadtests.allocation.tables import Tables

MILLION = 1_000_000
DEFAULT_CONFIDENCE = 0.5

Row = dict[str, Any]
#: An order's id and the number of a line of it.
Name = tuple[str, int]


class Broken(Exception):
    """The plan is not one: it breaks a limit or names what is not there; the message says which."""


@dataclass
class Outcome:
    """A plan's cost in parts, minor units, and what it serves."""

    package: int = 0
    freight: int = 0
    handling: int = 0
    late: int = 0
    unfilled: int = 0
    lines_given: int = 0
    packages: int = 0
    lines: int = 0
    lines_filled: int = 0
    lines_late: int = 0
    orders: int = 0
    #: Lines and filled lines.
    by_order: dict[str, list[int]] = field(default_factory=dict)
    by_tier: dict[int, list[int]] = field(default_factory=dict)
    by_customer: dict[str, list[int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """The objective."""
        return self.package + self.freight + self.handling + self.late + self.unfilled + self.lines_given

    @property
    def orders_filled(self) -> int:
        """Orders with all of their lines."""
        return sum(filled == lines for lines, filled in self.by_order.values())

    @property
    def fill_by_tier(self) -> dict[int, float]:
        """Share of lines filled."""
        return {tier: filled / lines for tier, (lines, filled) in sorted(self.by_tier.items())}

    @property
    def lowest_customer_fill(self) -> float:
        """Share of lines filled of the worst served customer."""
        return min((filled / lines for lines, filled in self.by_customer.values()), default=1.0)


def rows_of(table: pa.Table | None) -> list[Row]:
    """A table as rows; none of a table that is not there."""
    return [] if table is None else table.to_pylist()


def evaluate(given: Tables, plan: pa.Table) -> Outcome:
    """Judges a plan.

    Args:
        given: the batch.
        plan: order_id, line, location, service, quantity.

    Raises:
        Broken: it is not a plan of the batch.
    """
    return Judge(given).outcome(rows_of(plan))


class Judge:
    """Judges plans of one batch."""

    def __init__(self, given: Tables):
        self.given = given
        self.lines: dict[Name, Row] = {(row["order_id"], row["line"]): row for row in rows_of(given.orders)}
        self._orders: dict[str, list[Name]] = defaultdict(list)
        for name in self.lines:
            self._orders[name[0]].append(name)
        self._lanes: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in rows_of(given.rates):
            self._lanes[row["location"], row.get("zone") or "", row.get("service") or ""].append(row)
        self._places = {row["location"]: row for row in rows_of(given.locations)}
        self._forbidden = rows_of(given.exclusions)
        self._offers = {(row["order_id"], row["line"], *_way(row)): row for row in rows_of(given.options)}
        self._opening = {(row["order_id"], *_way(row)): row["package_minor"] for row in rows_of(given.packages)}
        self._capacity = {(row["location"], row.get("window") or ""): row["units"] for row in rows_of(given.capacity)}
        self._limit: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        for row in rows_of(given.stock):
            self._limit[row["item"], row["location"]][row.get("class") or 0] = row["available"]
        rules = rows_of(given.protection)
        for (item, location), by_class in self._limit.items():
            for level, units in protected(by_class, item, location, rules).items():
                by_class.setdefault(level, units)

    def outcome(self, plan: list[Row]) -> Outcome:
        """See `evaluate`."""
        served: dict[Name, Row] = {}
        for row in plan:
            name = row["order_id"], row["line"]
            if name not in self.lines:
                raise Broken(f"line {name} is not in the orders")
            if name in served:
                raise Broken(f"line {name} is served twice")
            quantity = self.lines[name]["quantity"]
            if row["quantity"] != quantity:
                raise Broken(f"line {name} of {quantity} is served {row['quantity']}: lines ship whole")
            served[name] = row
        outcome = Outcome(lines=len(self.lines), lines_filled=len(served), orders=len(self._orders))
        for name, line in self.lines.items():
            if name not in served:
                outcome.unfilled += line.get("unfilled_minor") or 0
                outcome.unfilled += (line.get("unfilled_penalty_minor") or 0) * line["quantity"]
        self._ship(served, outcome)
        self._count(served, outcome)
        self._check_stock(served)
        return outcome

    def _ship(self, served: dict[Name, Row], outcome: Outcome) -> None:
        """Costs of the packages, and the units that leave in each window."""
        packages: dict[tuple[str, str, str], list[Name]] = defaultdict(list)
        for name, row in served.items():
            packages[row["order_id"], row["location"], row["service"]].append(name)
        outcome.packages = len(packages)
        left: dict[tuple[str, str], int] = defaultdict(int)
        for (order, location, service), inside in packages.items():
            if self.given.options is not None:
                outcome.package += self._opening.get((order, location, service), 0)
                window = ""
                for name in inside:
                    self._offered(name, location, service, outcome)
            else:
                rate = self._rate(location, service, inside)
                outcome.package += rate["package_minor"]
                window = rate.get("window") or ""
                for name in inside:
                    self._carried(name, location, service, rate, outcome)
            left[location, window] += sum(self.lines[name]["quantity"] for name in inside)
        for window_of, units in left.items():
            if units > self._capacity.get(window_of, units):
                raise Broken(f"{units} units leave in window {window_of} of {self._capacity[window_of]}")

    def _offered(self, name: Name, location: str, service: str, outcome: Outcome) -> None:
        offer = self._offers.get((*name, location, service))
        if offer is None:
            raise Broken(f"line {name} is not offered from {location} by {service!r}")
        outcome.lines_given += (offer.get("cost_minor") or 0) * self.lines[name]["quantity"]
        outcome.lines_given += offer.get("line_minor") or 0

    def _rate(self, location: str, service: str, inside: list[Name]) -> Row:
        """The row of the tariff that a package's weight falls in."""
        zone = self.lines[inside[0]].get("zone") or ""
        tariff = sorted(self._lanes.get((location, zone, service), []), key=lambda row: row.get("from_g") or 0)
        if not tariff or location not in self._places:
            raise Broken(f"line {inside[0]} has no way from {location} to {zone!r} by {service!r}")
        weight = sum(self.lines[name].get("weight_g") or 0 for name in inside)
        return [row for row in tariff if (row.get("from_g") or 0) <= weight][-1]

    def _carried(self, name: Name, location: str, service: str, rate: Row, outcome: Outcome) -> None:
        line, place = self.lines[name], self._places[location]
        outcome.freight += (rate.get("minor_per_kg") or 0) * (line.get("weight_g") or 0) // 1000
        outcome.handling += (place.get("handling_minor") or 0) * line["quantity"]
        missing = set((line.get("requires") or "").split()) - set((rate.get("provides") or "").split())
        if missing:
            raise Broken(f"line {name} needs {sorted(missing)}, which {location} by {service!r} does not provide")
        asked = {
            "item": line["item"],
            "location": location,
            "country": place.get("country") or "",
            "service": service,
            "zone": line.get("zone") or "",
        }
        if any(all((row.get(what) or value) == value for what, value in asked.items()) for row in self._forbidden):
            raise Broken(f"line {name} from {location} by {service!r} is excluded")
        due, a_day = line.get("due_days"), line.get("late_minor", 0)
        if due is None:
            return
        days = max(0, transit_days(rate, line.get("tier") or 0, self.given.tier_confidence) - due)
        if days and a_day is None:
            raise Broken(f"line {name} is {days} days late and must not be")
        outcome.lines_late += days > 0
        outcome.late += days * (a_day or 0)

    def _count(self, served: dict[Name, Row], outcome: Outcome) -> None:
        """Complete orders, package limits, and who got what."""
        for name, line in self.lines.items():
            tier, customer = line.get("tier") or 0, line.get("customer") or ""
            for both in (
                outcome.by_tier.setdefault(tier, [0, 0]),
                outcome.by_customer.setdefault(customer, [0, 0]),
            ):
                both[0] += 1
                both[1] += name in served
        for order, all_lines in self._orders.items():
            filled = [name for name in all_lines if name in served]
            outcome.by_order[order] = [len(all_lines), len(filled)]
            first = self.lines[all_lines[0]]
            if first.get("ship_complete") and 0 < len(filled) < len(all_lines):
                raise Broken(
                    f"order {order} ships complete, and {len(filled)} of its {len(all_lines)} lines are served"
                )
            ways = {_way(served[name]) for name in filled}
            most = first.get("max_packages") or 0
            if most and len(ways) > most:
                raise Broken(f"order {order} has {len(ways)} packages of at most {most}")

    def _check_stock(self, served: dict[Name, Row]) -> None:
        """The limits of each class."""
        taken: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for name, row in served.items():
            line = self.lines[name]
            taken[line["item"], row["location"]][line.get("class") or 0] += line["quantity"]
        for where, by_class in taken.items():
            for level, most in {0: 0, **self._limit.get(where, {})}.items():
                units = sum(count for own, count in by_class.items() if own >= level)
                if units > most:
                    raise Broken(f"{where}: {units} units for class {level} and above, of {most}")


def _way(row: Row) -> tuple[str, str]:
    return row["location"], row.get("service") or ""


def transit_days(rate: Row, tier: int, confidence: tuple[float, ...]) -> int:
    """Days that count for a tier: the smallest level that is at least its confidence, else the largest."""
    if rate.get("transit_days") is not None:
        return int(rate["transit_days"])
    asked = Fraction(str(confidence[min(tier, len(confidence) - 1)] if confidence else DEFAULT_CONFIDENCE))
    levels = sorted(int(name.removeprefix("transit_days_p")) for name in rate if name.startswith("transit_days_p"))
    enough = [level for level in levels if Fraction(level, 100) >= asked]
    return int(rate[f"transit_days_p{(enough or levels[-1:])[0]}"]) if levels else 0


def protected(by_class: dict[int, int], item: str, location: str, rules: Iterable[Row]) -> dict[int, int]:
    """Limits that the rules of protection give a position; the tightest of those that match."""
    found: dict[int, int] = {}
    stock = by_class.get(0, 0)
    for rule in rules:
        if (rule.get("item") or item) == item and (rule.get("location") or location) == location:
            left = stock - stock * rule["keep_ppm"] // MILLION
            found[rule["class"]] = min(found.get(rule["class"], left), left)
    return found
