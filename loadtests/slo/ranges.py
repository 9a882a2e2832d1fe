"""Ratios as dots with their ranges, on one logarithmic axis."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 560
LEFT, RIGHT, TOP, BOTTOM = 190, 58, 20, 40
ROW = 24


@dataclass(frozen=True)
class Range:
    """One ratio: its median and range, and the bound that it is held to, if any."""

    name: str
    median: float
    least: float
    most: float
    colour: str
    bound: float | None = None


def ranges(title: str, across: str, shown: Sequence[Range]) -> str:
    """A row each. One is where both are alike; a bound is a short mark on its row."""
    values = [value for one in shown for value in (one.least, one.most, one.bound or one.median)]
    least, most = min(*values, 1.0) / 1.25, max(*values, 1.0) * 1.25
    span = math.log(most) - math.log(least)

    def place(value: float) -> float:
        return LEFT + (math.log(value) - math.log(least)) / span * (WIDTH - LEFT - RIGHT)

    height = TOP + ROW * len(shown) + BOTTOM
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
    ]
    bottom = TOP + ROW * len(shown)
    for value in _marks(least, most):
        x = place(value)
        kind = "axis" if value == 1 else "grid"
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{bottom}" class="{kind}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{value:g} x</text>')
    for index, one in enumerate(shown):
        parts += _row(one, TOP + ROW * index + ROW / 2, place)
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{height - 6}" text-anchor="middle" class="title">{escape(across)}</text></svg>'
    )
    return f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}</figure>"


def _row(one: Range, y: float, place: Callable[[float], float]) -> Iterator[str]:
    yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" class="title">{escape(one.name)}</text>'
    if one.bound is not None:
        x = place(one.bound)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}" class="bound" stroke-width="2"/>'
    yield (
        f'<line x1="{place(one.least):.1f}" x2="{place(one.most):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
        f'stroke="{one.colour}" stroke-width="3" stroke-linecap="round" opacity=".45"/>'
    )
    yield f'<circle cx="{place(one.median):.1f}" cy="{y:.1f}" r="4" fill="{one.colour}"/>'
    yield f'<text x="{WIDTH - RIGHT + 6}" y="{y + 4:.1f}" fill="{one.colour}" class="name">{one.median:.3g} x</text>'


def _marks(least: float, most: float) -> Iterator[float]:
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [mark for mark in marks if least <= mark <= most]
    yield from inside if len(inside) <= 7 else [mark for mark in inside if math.log10(mark).is_integer()]
