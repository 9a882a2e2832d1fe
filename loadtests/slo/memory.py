"""What a server told of itself over a step: its memory, for scenarios that bound its growth, and what its journal did."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from loadtests.slo.charts import COLOURS, Series, chart, linear_axis

Line = dict[str, Any]
MIB = 1 << 20
NAMED_SHARE = 0.25
"""How far apart names are at least, as a share of the measured time."""


def memory(steps: Sequence[Line], verdicts: Sequence[Line]) -> str:
    """A chart a scenario with a bound of growth: all that is resident, and that without the tables which the server tells."""
    bounded = {one["scenario"] for one in verdicts if one["metric"] == "growth"}
    charts = []
    for step in steps:
        # Lines of before memory was told over time have none.
        samples = step.get("memory", [])
        if step["name"] not in bounded or step["target"] != "server" or len(samples) < 2:
            continue
        resident = [(one["at_s"], one["resident_bytes"] / MIB) for one in samples]
        rest = [(one["at_s"], (one["resident_bytes"] - one["table_bytes"]) / MIB) for one in samples]
        lines = [Series("resident", resident, COLOURS[0]), Series("beside tables", rest, COLOURS[1])]
        across = linear_axis("seconds", 0, step["measure_s"])
        up = linear_axis("MiB", 0, max(mib for _, mib in resident) * 1.1)
        spans = happened(step)
        charts.append(chart(f"{step['name']}: memory of the server", across, up, lines, spans=spans))
    return f"<h2>Memory</h2><div class='charts'>{''.join(charts)}</div>" if charts else ""


def happened(step: Line) -> list[tuple[float, float, str]]:
    """What the journal did, each between the two moments at which it was looked at: seconds from and to, and its name.

    A snapshot, and compaction: segments that a snapshot has made needless are removed.
    """
    spans: list[tuple[float, float, str]] = []
    samples = step.get("memory", [])
    named = float("-inf")
    for before, after in pairwise(samples):
        # Lines of before the server was asked have neither.
        made = before.get("snapshot_revision") != after.get("snapshot_revision")
        fewer = before.get("journal_segments", 0) - after.get("journal_segments", 0)
        if not made and fewer <= 0:
            continue
        name = "snapshot" if made else ""
        if fewer > 0:
            name = f"{name + ', ' if made else ''}{fewer} segments removed"
        # Of two that are near only the first is named.
        far = before["at_s"] - named > NAMED_SHARE * step["measure_s"]
        named = before["at_s"] if far else named
        spans.append((before["at_s"], after["at_s"], name if far else ""))
    return spans
