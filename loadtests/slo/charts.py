"""Small line charts as SVG, without a library: axes with a logarithm, lines with their names, bounds, events."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 76, 96, 22, 44
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#5b5b5b", "#b08800")
"""Told apart by those who do not see all colours (after Okabe and Ito, 2008), and dark enough on white."""
NAME_HEIGHT = 13

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One line. `dashed` is for what is only there to compare with."""

    name: str
    points: Points
    colour: str
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        place: of a value, increasing; the logarithm for one axis, or anything else.
        ticks: values that are marked, and what is written there.
    """

    title: str
    least: float
    most: float
    ticks: Sequence[tuple[float, str]]
    place: Callable[[float], float] = field(default=float)

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        begin, end = self.place(self.least), self.place(self.most)
        return (self.place(min(max(value, self.least), self.most)) - begin) / (end - begin or 1.0)


def time_axis(title: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis of microseconds around the values, with marks at 1, 2 and 5 of each power."""
    known = [value for value in values if value > 0] or [1.0, 10.0]
    least, most = min(known) / 1.15, max(known) * 1.15
    marks = [
        factor * 10.0**power
        for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        for factor in (1, 2, 5)
    ]
    inside = [mark for mark in marks if least <= mark <= most]
    if len(inside) > 7:
        inside = [mark for mark in inside if math.log10(mark).is_integer()]
    return Axis(title, least, most, [(mark, duration(mark)) for mark in inside], math.log10)


def linear_axis(title: str, least: float, most: float) -> Axis:
    """An even axis with about five marks at round numbers."""
    span = (most - least) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(least / step)
    marks = [number * step for number in range(first, math.floor(most / step + 1e-9) + 1)]
    return Axis(title, least, most, [(mark, f"{mark:,.10g}") for mark in marks])


def duration(us: float) -> str:
    """Microseconds as one reads them."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{us / size:.3g} {unit}"
    return f"{us:.3g} µs"


def chart(
    title: str,
    across: Axis,
    up: Axis,
    lines: Sequence[Series],
    *,
    bounds: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
    spans: Sequence[tuple[float, float, str]] = (),
) -> str:
    """One chart.

    Args:
        bounds: levels that should not be passed, and their names.
        marks: places across, and their names.
        spans: events, from and to a place across, and their names.
    """
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_spans(across, spans),
        *_grid(across, up),
        *_bounds(up, bounds),
        *_marks(across, marks),
        *(_line(across, up, one) for one in lines),
        *_names(up, [one for one in lines if one.points]),
        "</svg>",
    ]
    return f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}</figure>"


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for value, name in up.ticks:
        y = _y(up, value)
        yield f'<line x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        yield _text(LEFT - 6, y + 4, name, 'text-anchor="end"')
    for value, name in across.ticks:
        x = _x(across, value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" class="axis"/>'
        yield _text(x, bottom + 17, name, 'text-anchor="middle"')
    yield f'<line x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" class="axis"/>'
    yield _text((LEFT + right) / 2, HEIGHT - 8, across.title, 'text-anchor="middle" class="title"')
    middle = (TOP + bottom) / 2
    yield _text(14, middle, up.title, f'text-anchor="middle" class="title" transform="rotate(-90 14 {middle:.0f})"')


def _bounds(up: Axis, bounds: Sequence[tuple[float, str]]) -> Iterator[str]:
    for value, name in bounds:
        if up.least <= value <= up.most:
            y = _y(up, value)
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="bound"/>'
            yield _text(WIDTH - RIGHT - 4, y - 4, name, 'text-anchor="end" class="bound-name"')


def _marks(across: Axis, marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    for value, name in marks:
        x = _x(across, value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="mark"/>'
        yield _text(x, TOP - 6, name, 'text-anchor="middle"')


def _spans(across: Axis, spans: Sequence[tuple[float, float, str]]) -> Iterator[str]:
    for begin, end, name in spans:
        left, right = _x(across, begin), _x(across, end)
        tall = HEIGHT - TOP - BOTTOM
        yield f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{tall}" class="event"/>'
        yield _text((left + right) / 2, TOP - 6, name, 'text-anchor="middle"')


def _line(across: Axis, up: Axis, line: Series) -> str:
    places = [(_x(across, x), _y(up, y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.colour}"/>' for x, y in places)
    drawn = f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>'
    return drawn + (dots if line.dots else "")


def _names(up: Axis, lines: Sequence[Series]) -> Iterator[str]:
    """Names at the ends of the lines, moved apart where they would lie on one another."""
    ends = sorted((_y(up, line.points[-1][1]) + 4, index) for index, line in enumerate(lines))
    lowest = HEIGHT - BOTTOM + 4
    placed: list[float] = []
    for wanted, _ in ends:
        placed.append(max(wanted, placed[-1] + NAME_HEIGHT) if placed else wanted)
    # What was pushed below the axis goes up again, and what is above it with it.
    for place in range(len(placed) - 1, -1, -1):
        limit = lowest if place == len(placed) - 1 else placed[place + 1] - NAME_HEIGHT
        placed[place] = min(placed[place], limit)
    for (_, index), y in zip(ends, placed, strict=True):
        line = lines[index]
        yield _text(WIDTH - RIGHT + 6, y, line.name, f'fill="{line.colour}" class="name"')
