"""Small line charts as SVG text, so that a report is one file and needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d6a9f", "#c98a1b")
WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 26, 54
TICKS_MAX = 7
#: Width of a letter of the legend.
LETTER = 6.0


class Chart:
    """Axes with given ranges, onto which lines, bands and points are drawn."""

    def __init__(self, title: str, x: tuple[float, float], y: tuple[float, float], labels: tuple[str, str]):
        self._x = x if x[1] > x[0] else (x[0], x[0] + 1.0)
        self._y = y if y[1] > y[0] else (y[0], y[0] + 1.0)
        self._parts: list[str] = [self._text(LEFT, 16, title, anchor="start", weight="bold")]
        self._legend = float(LEFT)
        self._axes(labels)

    def line(
        self,
        xs: Sequence[float] | np.ndarray,
        ys: Sequence[float] | np.ndarray,
        name: str = "",
        colour: int = 0,
        *,
        dashed: bool = False,
    ) -> None:
        """Joins points with a line; a name puts it in the legend."""
        points = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        paint = COLOURS[colour % len(COLOURS)]
        self._parts.append(f'<polyline points="{points}" fill="none" stroke="{paint}" stroke-width="1.6"{dash}/>')
        if name:
            x, y = self._legend, HEIGHT - 6
            self._legend += 30 + LETTER * len(name)
            self._parts.append(
                f'<line x1="{x:.1f}" x2="{x + 16:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="{paint}" stroke-width="2"{dash}/>'
            )
            self._parts.append(self._text(x + 20, y, name, anchor="start"))

    def band(
        self,
        xs: Sequence[float] | np.ndarray,
        low: Sequence[float] | np.ndarray,
        high: Sequence[float] | np.ndarray,
        colour: int = 0,
        opacity: float = 0.18,
    ) -> None:
        """Fills between two curves."""
        around = [*zip(xs, low, strict=True), *reversed(list(zip(xs, high, strict=True)))]
        points = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in around)
        self._parts.append(f'<polygon points="{points}" fill="{COLOURS[colour % len(COLOURS)]}" opacity="{opacity}"/>')

    def svg(self) -> str:
        """The whole chart."""
        body = "".join(self._parts)
        return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" xmlns="http://www.w3.org/2000/svg">{body}</svg>'

    def _axes(self, labels: tuple[str, str]) -> None:
        bottom = HEIGHT - BOTTOM
        self._parts.append(
            f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{bottom - TOP}" fill="none" stroke="#bbb"/>'
        )
        self._parts += [self._text(self._at_x(x), bottom + 14, f"{x:.6g}") for x in ticks(*self._x)]
        self._parts += [self._text(LEFT - 5, self._at_y(y) + 4, f"{y:.6g}", anchor="end") for y in ticks(*self._y)]
        self._parts.append(self._text((LEFT + WIDTH) / 2, bottom + 28, labels[0]))
        self._parts.append(self._text(WIDTH - RIGHT, 16, f"upwards: {labels[1]}", anchor="end"))

    @staticmethod
    def _text(x: float, y: float, text: str, anchor: str = "middle", weight: str = "normal") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'

    def _at_x(self, x: float) -> float:
        return LEFT + (x - self._x[0]) / (self._x[1] - self._x[0]) * (WIDTH - LEFT - RIGHT)

    def _at_y(self, y: float) -> float:
        y = min(max(y, self._y[0]), self._y[1])
        return HEIGHT - BOTTOM - (y - self._y[0]) / (self._y[1] - self._y[0]) * (HEIGHT - TOP - BOTTOM)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high: multiples of 1, 2 or 5 times a power of ten, at most `TICKS_MAX`."""
    rough = (high - low) / (TICKS_MAX - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
