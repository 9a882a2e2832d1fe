"""One HTML page of a run: verdicts, latency by percentile, throughput against latency, what happened when."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from loadtests.chaos.page import section as chaos
from loadtests.peers.page import side_by_side, tail
from loadtests.slo.charts import COLOURS, Axis, Series, chart, duration, linear_axis, time_axis
from loadtests.slo.growth import growth
from loadtests.slo.memory import happened, memory
from loadtests.slo.varying import SUFFIXES
from loadtests.slo.verdicts import shown

Line = dict[str, Any]
METHOD_COLOURS = {
    **dict(zip(("check", "reserve", "finish", "supply", "all"), COLOURS, strict=False)),
    "allocate": COLOURS[5],
    "forecast": COLOURS[1],
}
PERCENTILES = (("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("99.99 %", 0.9999))
STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}p{max-width:52rem}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.25rem .75rem;border-bottom:1px solid #ddd;text-align:right}
td:nth-child(-n+3),th:nth-child(-n+3){text-align:left}td:nth-child(n+4){white-space:nowrap}table.each td{white-space:nowrap}table.each td,table.each th{padding:.2rem .4rem}.met{color:#00694c}.missed{color:#b3261e;font-weight:600}
.charts{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-weight:600;margin:.5rem 0 .25rem}
svg{font:11px system-ui,sans-serif;max-width:100%;height:auto}svg text{fill:#444}svg text.title{fill:#222}
svg text.name{font-weight:600;fill:revert-layer}.grid{stroke:#e6e6e6}.axis{stroke:#888}.event{fill:#f3d9a4;opacity:.6}
.bound{stroke:#b3261e;stroke-dasharray:2 3}svg text{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}svg text.bound-name{fill:#b3261e}.mark{stroke:#222;stroke-dasharray:6 3}
small{color:#666}
"""


def page(lines: Sequence[Line]) -> str:
    """The page of what a run wrote, whether it proved objectives or searched."""
    machines = [line for line in lines if line["kind"] == "machine"]
    servers = [line for line in lines if line["kind"] == "server" and "positions" in line]
    notes = [line for line in lines if line["kind"] in {"failed", "unverified"} or "variant" in line]
    steps = [line for line in lines if line["kind"] == "step"]
    head = [
        "<h1>Objectives, proven under load</h1>",
        _machine(machines, servers),
        _notes([line for line in notes if line["kind"] != "found"], steps),
    ]
    return document("".join((*head, *parts(lines).values())))


def parts(lines: Sequence[Line]) -> dict[str, str]:
    """What a page shows one after another; parts of which the lines say nothing are empty."""
    verdicts = [line for line in lines if line["kind"] == "verdict"]
    judged = {one["scenario"] for one in verdicts}
    steps = [line for line in lines if line["kind"] == "step" and line["name"] in judged]
    found = [line for line in lines if line["kind"] == "found"]
    searched = _searched_steps(lines)
    return {
        "verdicts": _verdicts(verdicts),
        "peers": side_by_side(lines),
        "tail": tail(lines),
        "latency": _percentiles(steps, verdicts) if verdicts else "",
        "throughput": _searches(found, searched),
        "growth": growth(list(zip(found, searched, strict=True)), _defaults(lines)),
        "timeline": _timelines(steps) if verdicts else "",
        "memory": memory(steps, verdicts),
        "chaos": chaos(lines),
    }


def document(body: str) -> str:
    """A whole page around what it shows."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>Objectives under load</title>"
    )
    return f"<!doctype html><html lang='en'><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n"


def _machine(machines: Sequence[Line], servers: Sequence[Line]) -> str:
    if not machines:
        return ""
    told = "<br>".join(
        dict.fromkeys(
            f"{escape(one['cpu'])}, {one['cores']} cores, {one['memory_mib'] / 1024:.0f} GiB, Linux {escape(one['kernel'])}; "
            f"server on cores {', '.join(map(str, one.get('server_cores') or [one['server_core']]))}, "
            f"generator on core {one['client_core']}; version {escape(one['version'])}"
            for one in machines
        )
    )
    servers_of = dict.fromkeys(
        f"{line['positions']:,} positions, {line['receipts']} receipts and {line.get('commitments', 8)} commitments each"
        f"{', TLS' if line['tls'] else ''}{', in memory' if '--memory' in line['command'] else ''}"
        for line in servers
    )
    filled = "".join(f"<br>a server of {text}" for text in servers_of)
    return f"<p><small>{told}{filled}</small></p>"


def _notes(notes: Sequence[Line], steps: Sequence[Line]) -> str:
    told = [f"{line['kind']}: {line.get('variant', '')} {line['why']}" for line in notes]
    told += [f"no latency of {step['name']}, {step['target']}: {step['refused']}" for step in steps if step["refused"]]
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in told)}</ul>" if told else ""


def _verdicts(verdicts: Sequence[Line]) -> str:
    if not verdicts:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one['scenario'])}</td><td>{one['method']}</td><td>{one['metric']}</td>"
        f"<td>{_measured(one)}</td><td>{'≥' if one['metric'] == 'achieved' else '≤'} {_value(one['metric'], one['bound'])}</td>{_word(one)}</tr>"
        for one in verdicts
    )
    met = sum(one["met"] is True for one in verdicts)
    head = "<tr><th>scenario<th>method<th>objective<th>measured (least to most)<th>bound<th></tr>"
    return f"<h2>{met} of {len(verdicts)} objectives met</h2><table>{head}{rows}</table>"


def _measured(one: Line) -> str:
    if one["median"] is None:
        return escape(one["why"])
    median, least, most = (_value(one["metric"], one[name]) for name in ("median", "min", "max"))
    return f"{median} <small>({least} to {most})</small>"


def _value(metric: str, number: float) -> str:
    if metric.endswith("_us"):
        return duration(number)
    if metric == "data_bytes":
        return f"{shown(number)} B"
    return f"{shown(number)} x" if metric.endswith("_echo") else f"{shown(100 * number)} %"


def _word(one: Line) -> str:
    word = {True: "met", False: "missed", None: "not proven"}[one["met"]]
    return f"<td class='{'met' if one['met'] else 'missed'}'>{word}</td>"


def _searched_steps(lines: Sequence[Line]) -> list[list[Line]]:
    """Steps of the server before each `found`, in order."""
    searches: list[list[Line]] = []
    since: list[Line] = []
    for line in lines:
        if line["kind"] == "server":
            # Another server: what ran before was no part of this search.
            since = []
        elif line["kind"] == "step" and line["target"] == "server":
            since.append(line)
        elif line["kind"] == "found":
            searches.append(since)
            since = []
    return searches


def _defaults(lines: Sequence[Line]) -> dict[str, str]:
    """What a search had that changed nothing, as `--vary` would say it."""
    first = next((place for place, line in enumerate(lines) if line["kind"] == "found"), 0)
    server = next((line for line in reversed(lines[:first]) if line["kind"] == "server"), None)
    step = next((line for line in reversed(lines[:first]) if line["kind"] == "step"), None)
    if server is None or step is None:
        return {}
    kept: dict[str, str] = {
        name: str(step[name]) for name in ("lines", "connections", "streams", "keys", "transport") if name in step
    }
    memory = "memory" if "--memory" in server["command"] else "group"
    return {
        "positions": _short(server["positions"]),
        "receipts": str(server["receipts"]),
        "commitments": str(server.get("commitments", 8)),
        "durability": memory,
        "tls": str(server["tls"]).lower(),
        **kept,
    }


def _short(number: int) -> str:
    """A whole number as `--vary` takes it."""
    for suffix, size in reversed(SUFFIXES.items()):
        if number % size == 0:
            return f"{number // size}{suffix}"
    return str(number)


def _searches(found: Sequence[Line], steps: Sequence[Sequence[Line]]) -> str:
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one['search'])}</td><td>{escape(one['variant'])}</td><td>{escape(one['limited_by'] or 'no higher rate was tried')}</td>"
        f"<td>{one['rate']:,.0f}</td></tr>"
        for one in found
    )
    head = "<tr><th>search<th>server and load<th>beyond it<th>operations a second</tr>"
    charts = [_curve(one, ran) for one, ran in zip(found, steps, strict=True)]
    return (
        f"<h2>The highest rate that meets the objectives</h2><table>{head}{rows}</table>"
        f"<h2>Throughput against latency</h2><div class='charts'>{''.join(charts)}</div>"
    )


def _curve(found: Line, steps: Sequence[Line]) -> str:
    known = [step for step in steps if step["methods"]["all"]["latency"]]
    if not known:
        return ""
    by_rate: dict[float, list[Mapping[str, float]]] = {}
    for step in known:
        by_rate.setdefault(step["rate"], []).append(step["methods"]["all"]["latency"])
    lines = []
    for colour, (name, quantile) in zip(
        COLOURS, (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")), strict=False
    ):
        points = [(rate, sum(one[quantile] for one in ones) / len(ones)) for rate, ones in sorted(by_rate.items())]
        lines.append(Series(name, points, colour, dots=True))
    across = linear_axis("operations a second", 0, max(by_rate))
    up = time_axis("latency", [y for line in lines for _, y in line.points])
    marks = [(found["rate"], f"{found['rate']:,.0f}")] if found["rate"] else []
    return chart(f"{found['search']}, {found['variant']}", across, up, lines, marks=marks)


def _nines(quantile: float) -> float:
    """Even distances for 90 %, 99 %, 99.9 %."""
    return -math.log10(1 - min(quantile, 0.99999))


def _percentiles(steps: Sequence[Line], verdicts: Sequence[Line]) -> str:
    charts = []
    for name in dict.fromkeys(step["name"] for step in steps):
        ours = _middle([step for step in steps if (step["name"], step["target"]) == (name, "server")])
        echo = _middle([step for step in steps if (step["name"], step["target"]) == (name, "echo")])
        if ours is None:
            continue
        lines = [
            Series(method, _tail(ours["methods"][method]), colour)
            for method, colour in METHOD_COLOURS.items()
            if method in ours["methods"] and (method != "all" or len(ours["methods"]) == 1)
        ]
        if echo is not None:
            lines.append(Series("bare gRPC", _tail(echo["methods"]["all"]), METHOD_COLOURS["all"], dashed=True))
        lines = [line for line in lines if line.points]
        across = Axis("percentile", 0.5, 0.9999, [(q, text) for text, q in PERCENTILES], _nines)
        bounds = [
            (one["bound"], f"{one['method']} {one['metric'].removesuffix('_us')} ≤ {duration(one['bound'])}")
            for one in verdicts
            if one["scenario"] == name and one["metric"].endswith("_us")
        ]
        up = time_axis("latency", [y for line in lines for _, y in line.points] + [bound for bound, _ in bounds])
        title = f"{name}, {ours['rate']:,.0f} a second"
        charts.append(chart(title, across, up, lines, bounds=bounds))
    return (
        "<h2>Latency by percentile</h2><p><small>From the moment when a call was due. The round in the middle by its p99; "
        f"both axes have a logarithm.</small></p><div class='charts'>{''.join(charts)}</div>"
    )


def _tail(summary: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The curve from the median on, as far as there are calls to tell of."""
    most = 1 - 1 / max(summary["calls"], 2)
    return [(quantile, us) for quantile, us in summary["curve"] if 0.5 <= quantile <= min(most, 0.9999)]


def _middle(rounds: Sequence[Line]) -> Line | None:
    known = sorted(
        (one for one in rounds if one["methods"]["all"]["latency"]),
        key=lambda one: float(one["methods"]["all"]["latency"]["p99_us"]),
    )
    return known[len(known) // 2] if known else None


def _timelines(steps: Sequence[Line]) -> str:
    charts = []
    for name in dict.fromkeys(step["name"] for step in steps):
        ours = _middle([step for step in steps if (step["name"], step["target"]) == (name, "server")])
        moments = [moment for moment in ours["timeline"] if moment["calls"]] if ours else []
        if ours is None or len(moments) < 2:
            continue
        # A moment is told by its middle.
        half = (moments[1]["at_s"] - moments[0]["at_s"]) / 2
        lines = [
            Series(text, [(moment["at_s"] + half, moment[key]) for moment in moments], colour)
            for colour, (text, key) in zip(
                COLOURS, (("p50", "p50_us"), ("p99", "p99_us"), ("most", "max_us")), strict=False
            )
        ]
        across = linear_axis("seconds", 0, ours["measure_s"])
        up = time_axis("latency", [y for line in lines for _, y in line.points])
        pause = ours.get("pause")
        spans = [(pause["at_s"], pause["at_s"] + pause["for_s"], "server stopped")] if pause else []
        spans += happened(ours)
        charts.append(chart(f"{name}: what happened when", across, up, lines, spans=spans))
    return f"<h2>Timeline</h2><div class='charts'>{''.join(charts)}</div>" if charts else ""
