"""How the cost of a call grows: with positions, lines, receipts, connections, and what else `--vary` changed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.slo.charts import COLOURS, Axis, Series, chart, linear_axis
from loadtests.slo.varying import SUFFIXES

Line = dict[str, Any]
Found = tuple[Line, Sequence[Line]]
"""What a search found, and its steps."""


def growth(searches: Sequence[Found], defaults: Mapping[str, str]) -> str:
    """Charts of server CPU a call by each setting that was varied; nothing where none was.

    Args:
        defaults: what the search had that changed nothing, by setting.
    """
    charts = []
    bases = {found["search"]: _cost(found, steps) for found, steps in searches if not _setting(found)}
    for name in dict.fromkeys(one[0] for found, _ in searches if (one := _setting(found))):
        lines = []
        labels: dict[str, None] = {}
        for colour, search in zip(COLOURS, dict.fromkeys(found["search"] for found, _ in searches), strict=False):
            points = {defaults[name]: bases.get(search)} if name in defaults else {}
            for found, steps in searches:
                setting = _setting(found)
                if setting and setting[0] == name and found["search"] == search:
                    points[setting[1]] = _cost(found, steps)
            known = {value: cost for value, cost in points.items() if cost}
            if len(known) > 1:
                labels |= dict.fromkeys(sorted(known, key=_number))
                lines.append((search, known, colour))
        if lines:
            charts.append(_chart(name, lines, sorted(labels, key=_number)))
    if not charts:
        return ""
    return (
        "<h2>How the cost grows</h2><p><small>Server CPU a call at the highest rate that met the objectives, everything "
        f"else as the file says.</small></p><div class='charts'>{''.join(charts)}</div>"
    )


def _setting(found: Line) -> tuple[str, str] | None:
    name, _, value = found["variant"].partition(" ")
    return None if found["variant"] == "as the file says" else (name, value)


def _cost(found: Line, steps: Sequence[Line]) -> float | None:
    """CPU microseconds of the step that was run last at the rate that was found."""
    held = [step["server_cpu_us"] for step in steps if step["rate"] == found["rate"] and found["rate"]]
    return float(held[-1]) if held else None


def _number(value: str) -> float:
    """A value's place; words have none, and keep the order in which they come."""
    digits, factor = (value[:-1], SUFFIXES[value[-1]]) if value[-1:] in SUFFIXES else (value, 1)
    return float(digits) * factor if digits.isdigit() else 0.0


def _chart(name: str, lines: Sequence[tuple[str, Mapping[str, float], str]], values: Sequence[str]) -> str:
    # Sizes are told by their logarithm, words one after another.
    sized = all(_number(value) > 0 for value in values)
    places = {value: math.log10(_number(value)) if sized else float(at) for at, value in enumerate(values)}
    ends = (min(places.values()), max(places.values()))
    across = Axis(name, *ends, [(places[value], value) for value in values])
    most = max(cost for _, known, _ in lines for cost in known.values())
    drawn = [
        Series(search, sorted((places[value], cost) for value, cost in known.items()), colour, dots=True)
        for search, known, colour in lines
    ]
    return chart(f"by {name}", across, linear_axis("server CPU a call, µs", 0, most * 1.1), drawn)
