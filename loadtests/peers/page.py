"""The part of a page that sets Bespeak beside its peers: verdicts, ratios with their ranges, what each did, the tail."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.peers.ratios import CROSS_CHECK, medians
from loadtests.slo.charts import COLOURS, Axis, Series, chart, duration, time_axis
from loadtests.slo.ranges import Range, ranges
from loadtests.slo.verdicts import shown

Line = dict[str, Any]
NAMES = {
    "reserve-1": "durable reserve, 1 client",
    "reserve-64-zipf": "durable reserve, 64 clients, Zipf",
    "reserve-64-hot": "durable reserve, 64 clients, half on one SKU",
    "check-cpu": "check, 64 streams",
    CROSS_CHECK: "check, by this generator and by h2load",
}
ALIKE = {"ops_per_s": "throughput of ours / the peer's", "p99_us": "p99 of ours / the peer's"}
PERCENTILES = (("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.9999))
TARGETS = {"server": "Bespeak", "h2": "bare h2", "echo": "bare gRPC"}


def side_by_side(lines: Sequence[Line]) -> str:
    """Nothing when the lines have no rounds of peers."""
    rounds = [line for line in lines if line["kind"] == "round"]
    rows = [line for line in lines if line["kind"] == "row"]
    if not rounds and not rows:
        return ""
    found = [line for line in lines if line["kind"] == "ratio"]
    return "".join(
        (
            "<h2>Side by side</h2>",
            _how(lines),
            _verdicts([one for one in rows if one["bound"] is not None]),
            _ratio_charts(found, rows),
            _systems(list(medians(rounds))),
            _recorded([one for one in rows if one["bound"] is None]),
        )
    )


def _how(lines: Sequence[Line]) -> str:
    dropped = [line for line in lines if line["kind"] == "dropped"]
    factor = next((line["moved_factor"] for line in lines if line["kind"] == "run" and "moved_factor" in line), None)
    skipped = "".join(
        f"<li>left out: {escape(str(line.get('server') or line.get('row')))}: {escape(line['why'])}</li>"
        for line in lines
        if line["kind"] == "skipped" and "variant" not in line
    )
    moved = f" by more than {factor:g} times" if factor else ""
    return (
        "<p>Every server has the same core to itself, the generators have the other. Systems take turns, A B, then B A; a "
        "ratio divides two rounds of one pass, and what is told is the median of the ratios and their range. "
        f"{len(dropped)} rounds were dropped because a durable write or a trip over loopback took another time after them "
        f"than before{moved}, or the generator was late.</p>" + (f"<ul>{skipped}</ul>" if skipped else "")
    )


def _verdicts(rows: Sequence[Line]) -> str:
    if not rows:
        return ""
    told = "".join(
        f"<tr>{_measured(one)}"
        f"<td>{'≤' if one['sense'] == 'at_most' else '≥'} {_value(one, 'bound')}</td>"
        f"<td class='{'met' if one['met'] else 'missed'}'>{'met' if one['met'] else 'missed'}</td></tr>"
        for one in rows
    )
    head = "<tr><th>row<th>what<th>metric<th>measured (least to most)<th>bound<th></tr>"
    return f"<table>{head}{told}</table>"


def _measured(one: Line) -> str:
    peer = f" / {escape(one['peer'])}" if one["peer"] else ""
    return (
        f"<td>{escape(one['title'])}</td><td>{escape(one['ours'])}{peer}</td><td>{one['metric']}</td>"
        f"<td>{_value(one, 'median')} <small>({_value(one, 'min')} to {_value(one, 'max')})</small></td>"
    )


def _value(one: Line, key: str) -> str:
    return f"{shown(one[key])}{' x' if one['peer'] else ''}"


def _ratio_charts(found: Sequence[Line], rows: Sequence[Line]) -> str:
    charts = []
    for row in dict.fromkeys(one["row"] for one in found):
        for metric, across in ALIKE.items():
            chosen = [one for one in found if (one["row"], one["metric"]) == (row, metric)]
            bounds = {
                (one["ours"].split("/")[0], one["peer"]): one["bound"]
                for one in rows
                if (one["row"], one["metric"]) == (row, metric) and one["peer"]
            }
            drawn = [
                Range(
                    f"{one['ours'].split('/')[0].removeprefix('bespeak-')} / {one['peer']}",
                    one["median"],
                    one["min"],
                    one["max"],
                    COLOURS["session" in one["ours"]],
                    bounds.get((one["ours"].split("/")[0], one["peer"])),
                )
                for one in chosen
            ]
            charts.append(ranges(f"{NAMES.get(row, row)}: {metric}", across, drawn))
    return f"<div class='charts'>{''.join(charts)}</div>" if charts else ""


def tail(given: Sequence[Line]) -> str:
    """Latency by percentile beside bare servers; nothing when that was not measured."""
    steps = [line for line in given if line["kind"] == "step" and line["name"] == "floor"]
    lines = []
    for colour, (target, name) in zip(COLOURS, TARGETS.items(), strict=False):
        ran = [step for step in steps if step["target"] == target and step["methods"]["all"]["latency"]]
        if ran:
            ran.sort(key=lambda one: float(one["methods"]["all"]["latency"]["p999_us"]))
            curve = ran[len(ran) // 2]["methods"]["all"]["curve"]
            points = [(quantile, us) for quantile, us in curve if 0.5 <= quantile <= 0.9999]
            lines.append(Series(name, points, colour, dashed=target != "server"))
    if not lines:
        return ""
    across = Axis("percentile", 0.5, 0.9999, [(q, text) for text, q in PERCENTILES], lambda q: -math.log10(1 - q))
    up = time_axis("latency", [y for line in lines for _, y in line.points])
    title = f"unary check at {steps[0]['rate']:,.0f} a second, half of the most"
    return f"<h2>The tail beside the floor's</h2><div class='charts'>{chart(title, across, up, lines)}</div>"


def _systems(systems: Sequence[Mapping[str, Any]]) -> str:
    if not systems:
        return ""
    told = "".join(
        f"<tr><td>{escape(NAMES.get(one['row'], one['row']))}</td><td>{escape(one['system'])}</td><td>{one['rounds']}</td>"
        f"<td>{one['ops_per_s']:,.0f}</td><td>{duration(one['p50_us'])}</td><td>{duration(one['p99_us'])}</td>"
        f"<td>{duration(one['p999_us'])}</td><td>{one['server_cpu_us']:,.1f}</td><td>{100 * one['server_busy']:.0f} %</td>"
        f"<td>{100 * one['client_busy']:.0f} %</td></tr>"
        for one in systems
    )
    head = (
        "<tr><th>row<th>system / clients<th>rounds<th>operations a second<th>p50<th>p99<th>p99.9"
        "<th>server CPU, µs an operation<th>server busy<th>generator busy</tr>"
    )
    return (
        f"<h2>What each did</h2><p><small>Medians over the rounds.</small></p><table class='each'>{head}{told}</table>"
    )


def _recorded(rows: Sequence[Line]) -> str:
    if not rows:
        return ""
    told = "".join(f"<tr>{_measured(one)}</tr>" for one in rows)
    return f"<h2>Recorded, nothing asked</h2><table><tr><th>row<th>what<th>metric<th>measured (least to most)</tr>{told}</table>"
