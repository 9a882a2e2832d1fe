"""What docs/reference/allocation.md says of a plan, by plain loops over the rows of its tables: slow, and nobody else's code.

Everything is worked out from the text: what a plan costs, what it breaks, and who should be served in a shortage.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

LEVELS = (50, 80, 90, 95, 99)


@dataclass
class Tables:
    """Rows of a network's tables; every column is there."""

    orders: list[dict]
    rates: list[dict]
    locations: list[dict]
    exclusions: list[dict]
    stock: list[dict]
    protection: list[dict]
    capacity: list[dict]
    tier_confidence: list[float]

    def lines(self):
        """Order lines, sorted as plans are."""
        return sorted(self.orders, key=lambda row: (row["order_id"], row["line"]))

    def ways(self):
        """Every location and service, and None for a line that is not served."""
        return [*sorted({(row["location"], row["service"]) for row in self.rates}), None]

    def lane(self, way, zone):
        """Rows of a lane, by weight."""
        rows = [row for row in self.rates if (row["location"], row["service"], row["zone"]) == (*way, zone)]
        return sorted(rows, key=lambda row: row["from_g"])

    def days_late(self, order, way):
        """Days that the quantile which the order's tier asks for is behind its due date."""
        if order["due_days"] is None:
            return 0
        tiers = self.tier_confidence or [0.5]
        asked = tiers[min(order["tier"], len(tiers) - 1)]
        level = next((level for level in LEVELS if level >= 100 * asked), LEVELS[-1])
        return max(0, self.lane(way, order["zone"])[0][f"transit_days_p{level}"] - order["due_days"])

    def cost(self, choice):
        """What a plan costs, minor units; `choice` has a way for each of `lines`."""
        total = 0
        handling = {row["location"]: row["handling_minor"] for row in self.locations}
        chosen = list(zip(self.lines(), choice, strict=True))
        for order_id in {line["order_id"] for line, _ in chosen}:
            own = [(line, way) for line, way in chosen if line["order_id"] == order_id]
            for way in {way for _, way in own if way}:
                packed = [line for line, by in own if by == way]
                weight = sum(line["weight_g"] for line in packed)
                tariff = [row for row in self.lane(way, packed[0]["zone"]) if row["from_g"] <= weight][-1]
                total += tariff["package_minor"]
                for line in packed:
                    total += handling[way[0]] * line["quantity"]
                    total += tariff["minor_per_kg"] * line["weight_g"] // 1000
                    total += (line["late_minor"] or 0) * self.days_late(line, way)
            total += sum(line["unfilled_minor"] for line, way in own if way is None)
        return total

    def allows(self, choice):
        """Whether a plan keeps every limit."""
        chosen = list(zip(self.lines(), choice, strict=True))
        served = [(line, way) for line, way in chosen if way]
        return (
            all(self._may(line, way) for line, way in served)
            and self._fits(served)
            and all(
                self._whole([(line, way) for line, way in chosen if line["order_id"] == one]) for one in self._ids()
            )
        )

    def _ids(self):
        return {line["order_id"] for line in self.orders}

    def _may(self, line, way):
        lane = self.lane(way, line["zone"])
        if not lane or not set(line["requires"].split()) <= set(lane[0]["provides"].split()):
            return False
        if line["late_minor"] is None and self.days_late(line, way) > 0:
            return False
        country = {row["location"]: row["country"] for row in self.locations}[way[0]]
        is_it = {"item": line["item"], "location": way[0], "country": country, "service": way[1], "zone": line["zone"]}
        return not any(all(rule[name] in ("", what) for name, what in is_it.items()) for rule in self.exclusions)

    def _fits(self, served):
        for item, location in itertools.product({line["item"] for line, _ in served}, {way[0] for _, way in served}):
            there = [
                (line["class"], line["quantity"]) for line, way in served if (line["item"], way[0]) == (item, location)
            ]
            for j in range(8):
                taken = sum(units for of, units in there if of >= j)
                limit = self.limit(item, location, j)
                if limit is not None and taken > limit:
                    return False
        leaves = Counter()
        for line, way in served:
            leaves[way[0], self.lane(way, line["zone"])[0]["window"]] += line["quantity"]
        room = {(row["location"], row["window"]): row["units"] for row in self.capacity}
        return all(units <= room.get(window, units) for window, units in leaves.items())

    def limit(self, item, location, j):
        """Units that classes of at least j may take, None where nothing is said of j."""
        rows = {
            row["class"]: row["available"] for row in self.stock if (row["item"], row["location"]) == (item, location)
        }
        if j == 0:
            return rows.get(0, 0)
        if j in rows:
            return rows[j]
        keeps = [
            row["keep_ppm"]
            for row in self.protection
            if row["class"] == j and row["item"] in ("", item) and row["location"] in ("", location)
        ]
        return rows.get(0, 0) - rows.get(0, 0) * max(keeps) // 1_000_000 if keeps else None

    def _whole(self, own):
        ways = [way for _, way in own]
        most = own[0][0]["max_packages"]
        packages = len({way for way in ways if way})
        complete = not own[0][0]["ship_complete"] or None not in ways or not any(ways)
        return complete and (most == 0 or packages <= most)

    def lowest_share(self, choice):
        """Share of lines filled of the worst served customer."""
        chosen = list(zip(self.lines(), choice, strict=True))
        shares = []
        for customer in {line["customer"] for line in self.orders}:
            own = [way is not None for line, way in chosen if line["customer"] == customer]
            shares.append(Fraction(sum(own), len(own)))
        return min(shares)

    def fair_splits(self):
        """Every way to round the shares of scarce items: units by (item, segment)."""
        each = []
        for item in sorted({line["item"] for line in self.orders}):
            asked = Counter()
            for line in self.orders:
                if line["item"] == item:
                    asked[line["segment"]] += line["quantity"]
            there = sum(
                row["available"]
                for row in self.stock
                if row["item"] == item and row["class"] == 0 and self._serves_some(item, row["location"])
            )
            if sum(asked.values()) > there:
                each.append(
                    [{(item, segment): units for segment, units in one.items()} for one in _rounded(there, asked)]
                )
        return [dict(itertools.chain(*(one.items() for one in parts))) for parts in itertools.product(*each)]

    def _serves_some(self, item, location):
        ways = [way for way in self.ways() if way and way[0] == location]
        lines = [line for line in self.orders if line["item"] == item]
        return any(self._may(line, way) and self._fits([(line, way)]) for line in lines for way in ways)

    def missing(self, choice, shares):
        """Units of their shares that segments do not get."""
        got = Counter()
        for line, way in zip(self.lines(), choice, strict=True):
            if way:
                got[line["item"], line["segment"]] += line["quantity"]
        return sum(max(0, units - got[key]) for key, units in shares.items())

    def plans(self):
        """Every plan that keeps all limits."""
        lines = self.lines()
        ways = [[way for way in self.ways() if way is None or self._may(line, way)] for line in lines]
        return [choice for choice in itertools.product(*ways) if self.allows(choice)]


def _rounded(units, asked):
    """Shares in proportion: rounded down, then one more for the largest remainders, whoever is first among equals."""
    total = sum(asked.values())
    exact = {segment: Fraction(units * wanted, total) for segment, wanted in asked.items()}
    down = {segment: int(share) for segment, share in exact.items()}
    left = units - sum(down.values())
    found = []
    for more in itertools.combinations(sorted(asked), left):
        least = min((exact[one] - down[one] for one in more), default=1)
        if all(exact[one] - down[one] <= least for one in asked if one not in more):
            found.append({one: down[one] + (one in more) for one in asked})
    return found
