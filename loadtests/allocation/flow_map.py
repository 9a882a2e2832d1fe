"""A plan as a map: where packages start and where they go."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from loadtests.allocation.svg import COLOURS, FAINT, INK, framed, legend, text
from loadtests.allocation.tables import SERVICES, Tables

SIZE, MARGIN, TOP = 460, 22, 62
WIDEST = 7.0


def flow_map(given: Tables, plan: pa.Table, title: str, note: str) -> str:
    """Locations (discs, by packages), zones (squares, by lines wanted and unfilled), and packages between (lines)."""
    zone = dict(zip(given.orders["order_id"].to_pylist(), given.orders["zone"].to_pylist(), strict=True))
    packages = {(row["order_id"], row["location"], row["service"]) for row in plan.to_pylist()}
    ways = Counter((location, zone[order], service) for order, location, service in packages)
    leaving = Counter(location for _, location, _ in packages)
    wanted = Counter(given.orders["zone"].to_pylist())
    served = Counter(zone[order] for order in plan["order_id"].to_pylist())
    at = _placed(given, ways)
    colours = dict(zip(SERVICES, (COLOURS[2], COLOURS[0], COLOURS[1]), strict=True))
    most = max(ways.values(), default=1)
    body = [text(4, 14, title, bold=True), text(4, 30, note)]
    drawn, _ = legend(4, 48, colours, SIZE)
    body += drawn
    # Thick ones first, so that thin ones are seen.
    for (start, end, service), count in sorted(ways.items(), key=lambda each: -each[1]):
        body.append(_arc(at[start], at[end], WIDEST * math.sqrt(count / most), colours.get(service, INK)))
    biggest = max(leaving.values(), default=1)
    for name in given.locations["location"].to_pylist():
        x, y = at[name]
        radius = 2.5 + 9 * math.sqrt(leaving[name] / biggest)
        paint = INK if leaving[name] else "#bbb"
        body.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{paint}" opacity="0.85">'
            f"<title>{name}: {leaving[name]} packages</title></circle>"
        )
    largest = max(wanted.values(), default=1)
    for name, lines in wanted.items():
        x, y = at[name]
        side = 8 + 14 * math.sqrt(lines / largest)
        missed = 1 - served[name] / lines
        body.append(
            f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" height="{side:.1f}" fill="#fff" '
            f'stroke="{INK}" stroke-width="1.3"><title>{name}: {served[name]} of {lines} lines</title></rect>'
            f'<rect x="{x - side / 2:.1f}" y="{y + side / 2 - side * missed:.1f}" width="{side:.1f}" '
            f'height="{side * missed:.1f}" fill="{COLOURS[3]}"/>'
        )
    frame = f'<rect x="2" y="{TOP - 4}" width="{SIZE - 4}" height="{SIZE - 2}" fill="none" stroke="{FAINT}"/>'
    return framed(SIZE, SIZE + TOP, [frame, *body])


def _placed(given: Tables, ways: Mapping[tuple[str, str, str], int]) -> dict[str, tuple[float, float]]:
    """Where on the drawing each place is; without places, zones lie on a circle and locations amid what they serve."""
    places = dict(given.places)
    if not places:
        zones = sorted(set(given.orders["zone"].to_pylist()))
        for number, name in enumerate(zones):
            angle = 2 * math.pi * number / len(zones)
            places[name] = (0.5 + 0.5 * math.cos(angle), 0.5 + 0.5 * math.sin(angle))
        for name in given.locations["location"].to_pylist():
            own = [(places[end], count) for (start, end, _), count in ways.items() if start == name]
            total = sum(count for _, count in own)
            middle = [sum(point[axis] * count for point, count in own) / total if total else 0.5 for axis in (0, 1)]
            places[name] = (middle[0], middle[1])
    xs, ys = ([point[axis] for point in places.values()] for axis in (0, 1))

    def scaled(value: float, values: list[float]) -> float:
        return MARGIN + (value - min(values)) / (max(values) - min(values) or 1) * (SIZE - 2 * MARGIN)

    return {name: (scaled(x, xs), TOP + scaled(y, ys) - 4) for name, (x, y) in places.items()}


def _arc(start: tuple[float, float], end: tuple[float, float], width: float, colour: str) -> str:
    """A line bent a little, so that the services between the same places lie apart."""
    bend = {COLOURS[2]: 0.10, COLOURS[0]: 0.0, COLOURS[1]: -0.10}.get(colour, 0.0)
    middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
    x, y = middle[0] - bend * (end[1] - start[1]), middle[1] + bend * (end[0] - start[0])
    return (
        f'<path d="M{start[0]:.1f},{start[1]:.1f}Q{x:.1f},{y:.1f} {end[0]:.1f},{end[1]:.1f}" fill="none" '
        f'stroke="{colour}" stroke-width="{max(0.6, width):.1f}" opacity="0.45"/>'
    )
