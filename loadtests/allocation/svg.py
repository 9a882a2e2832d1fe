"""Charts as SVG text: lines on logarithmic axes, bars, and maps. No library, so that a page is one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#c98a1b", "#8d6a9f", "#4f5d75")
INK, FAINT = "#333", "#ddd"
LETTER = 6.8
EDGE = 14


def text(x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False, size: int = 11) -> str:
    """A line of text."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{INK}" text-anchor="{anchor}"{weight}>'
        f"{escape(words)}</text>"
    )


def framed(width: int, height: int, body: Sequence[str]) -> str:
    """The whole drawing."""
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" xmlns="http://www.w3.org/2000/svg" '
        f'font-family="system-ui,sans-serif">{"".join(body)}</svg>'
    )


def legend(x: float, y: float, names: Mapping[str, str], width: float) -> tuple[list[str], float]:
    """Names and their colours, in as many rows as it takes, and where they end."""
    parts, at = [], x
    for name, colour in names.items():
        size = 24 + LETTER * len(name)
        if at > x and at + size > x + width:
            at, y = x, y + 16
        parts.append(f'<rect x="{at:.1f}" y="{y - 9:.1f}" width="11" height="11" rx="2" fill="{colour}"/>')
        parts.append(text(at + 15, y, name))
        at += size
    return parts, y


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from low to high."""
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


class LogChart:
    """Lines on two logarithmic axes."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str], width: int = 620):
        self._x, self._y, self._width, self._height = x, y, width, 380
        self._left, self._right, self._top, self._bottom = 64, width - EDGE, 40, 380 - 44
        self._names: dict[str, str] = {}
        self._body: list[str] = []
        for value in decades(*x):
            at = self._at_x(value)
            self._body.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{self._top}" y2="{self._bottom}" stroke="{FAINT}"/>'
            )
            self._body.append(text(at, self._bottom + 16, _plain(value), "middle"))
        for value in decades(*y):
            at = self._at_y(value)
            self._body.append(
                f'<line x1="{self._left}" x2="{self._right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{FAINT}"/>'
            )
            self._body.append(text(self._left - 6, at + 4, f"{_plain(value)} %", "end"))
        self._body.append(text((self._left + self._right) / 2, self._bottom + 34, labels[0], "middle"))
        self._body.append(text(4, 14, labels[1], bold=True))

    def steps(self, points: Sequence[tuple[float, float]], name: str, colour: str) -> None:
        """What holds from each point on until the next, to the right edge."""
        self._names[name] = colour
        path = []
        for number, (x, y) in enumerate(points):
            across = f"H{self._at_x(x):.1f}V{self._at_y(y):.1f}"
            path.append(f"M{self._at_x(x):.1f},{self._at_y(y):.1f}" if number == 0 else across)
        if path:
            self._body.append(
                f'<path d="{"".join(path)}H{self._right}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )

    def dots(self, points: Sequence[tuple[float, float]], name: str, colour: str) -> None:
        """Single measurements, joined faintly."""
        self._names[name] = colour
        if len(points) > 1:
            joined = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in points)
            self._body.append(
                f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.2" stroke-dasharray="3 3"/>'
            )
        self._body += [
            f'<circle cx="{self._at_x(x):.1f}" cy="{self._at_y(y):.1f}" r="4" fill="{colour}"/>' for x, y in points
        ]

    def rule(self, y: float, words: str) -> None:
        """A level to compare with."""
        at = self._at_y(y)
        self._body.append(
            f'<line x1="{self._left}" x2="{self._right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{INK}" stroke-dasharray="6 4"/>'
        )
        self._body.append(text(self._left + 6, at - 5, words))

    def svg(self) -> str:
        """The whole chart."""
        drawn, _ = legend(self._left, 32, self._names, self._right - self._left)
        return framed(self._width, self._height, [*self._body, *drawn])

    def _at_x(self, value: float) -> float:
        return self._left + _share(value, *self._x) * (self._right - self._left)

    def _at_y(self, value: float) -> float:
        return self._bottom - _share(value, *self._y) * (self._bottom - self._top)


def stacked(title: str, rows: Mapping[str, Sequence[float]], parts: Sequence[str], notes: Mapping[str, str]) -> str:
    """One bar a row, in parts; a note behind each."""
    width, left, right = 940, 170, 250
    most = max((sum(values) for values in rows.values()), default=1.0) or 1.0
    scale = (width - left - right) / most
    names = dict(zip(parts, COLOURS, strict=False))
    drawn, end = legend(left, 38, names, width - left)
    body = [text(4, 14, title, bold=True), *drawn]
    y = end + 14
    for name, values in rows.items():
        body.append(text(left - 8, y + 15, name, "end"))
        at = float(left)
        for value, colour in zip(values, names.values(), strict=True):
            body.append(f'<rect x="{at:.1f}" y="{y}" width="{value * scale:.1f}" height="21" fill="{colour}"/>')
            share = f"{value / max(1e-9, sum(values)):.0%}"
            if value * scale > LETTER * len(share) + 6:
                label = text(at + value * scale / 2, y + 15, share, "middle").replace(INK, "#fff")
                body.append(label)
            at += value * scale
        body.append(text(at + 8, y + 15, notes.get(name, "")))
        y += 28
    return framed(width, int(y + 4), body)


def grouped(title: str, groups: Mapping[str, Sequence[float]], series: Sequence[str]) -> str:
    """Bars from 0 to 1 side by side; one group a key, one bar a series."""
    width, height, left, bottom = 620, 300, 44, 258
    names = dict(zip(series, COLOURS, strict=False))
    drawn, end = legend(left, 38, names, width - left)
    top = end + 16
    body = [text(4, 14, title, bold=True), *drawn]
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = bottom - level * (bottom - top)
        body.append(f'<line x1="{left}" x2="{width - EDGE}" y1="{at:.1f}" y2="{at:.1f}" stroke="{FAINT}"/>')
        body.append(text(left - 5, at + 4, f"{level:.0%}", "end"))
    room = (width - EDGE - left) / max(1, len(groups))
    wide = 0.8 * room / max(1, len(series))
    for number, (name, values) in enumerate(groups.items()):
        start = left + room * number + 0.1 * room
        for place, (value, colour) in enumerate(zip(values, names.values(), strict=True)):
            tall = value * (bottom - top)
            x = start + wide * place
            body.append(
                f'<rect x="{x:.1f}" y="{bottom - tall:.1f}" width="{wide - 2:.1f}" height="{tall:.1f}" fill="{colour}"/>'
            )
            body.append(text(x + wide / 2 - 1, bottom - tall - 3, f"{value:.0%}", "middle", size=9))
        body.append(text(start + 0.4 * room, bottom + 18, name, "middle"))
    return framed(width, height, body)


def _share(value: float, low: float, high: float) -> float:
    inside = min(max(value, low), high)
    return math.log(inside / low) / math.log(high / low)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:.6f}".rstrip("0")
