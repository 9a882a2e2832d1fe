"""The server's memory over a step, for scenarios that bound its growth."""

from collections.abc import Sequence
from typing import Any

from loadtests.slo.charts import COLOURS, Series, chart, linear_axis

Line = dict[str, Any]
MIB = 1 << 20


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
        charts.append(chart(f"{step['name']}: memory of the server", across, up, lines))
    return f"<h2>Memory</h2><div class='charts'>{''.join(charts)}</div>" if charts else ""
