"""The section of a page that tells what happened to the server, and what callers saw of it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from loadtests.chaos.table import WINDOWS, middle, seconds, shown, told, verdict_text
from loadtests.slo.charts import COLOURS, Series, chart, linear_axis, time_axis

Line = dict[str, Any]
LATENCIES = (("p50", "p50_us"), ("p99", "p99_us"), ("most", "max_us"))
NAMED_S = 0.2
"""Of two events nearer than this share of the run, only the first is named."""


def section(lines: Sequence[Line]) -> str:
    """What there is of chaos in the lines of a run; "" when there is none."""
    rounds: dict[str, list[Line]] = {}
    for line in lines:
        if line["kind"] == "chaos":
            rounds.setdefault(line["event"], []).append(line)
    if not rounds:
        return ""
    chosen = [middle(each) for each in rounds.values()]
    verdicts = [line for line in lines if line["kind"] == "chaos_verdict"]
    skipped = [line for line in lines if line["kind"] == "skipped" and "event" in line]
    said = [f"<li class='{'met' if one['met'] else 'missed'}'>{escape(verdict_text(one))}</li>" for one in verdicts]
    said += [f"<li>{escape(line['event'])} was left out: {escape(line['why'])}</li>" for line in skipped]
    charts = "".join(_latency(line) + _answers(line) for line in chosen if line["windows"])
    return (
        "<h2>What callers see while something happens</h2>"
        "<p><small>Promises at a steady rate in open loop; latency counts from the moment when a call was due. Back: from the "
        "event's beginning until p99 of a second is within twice the normal and stays there. Silent: the longest time without "
        "any answer.</small></p>"
        f"<ul>{''.join(said)}</ul>{_table(chosen)}<div class='charts'>{charts}</div>"
    )


def _table(chosen: Sequence[Line]) -> str:
    head = "<tr><th>window<th>without a good answer<th>account<th>calls<th>p50<th>p99<th>p99.9<th>most<th>back<th>silent</tr>"
    rows = []
    for line in chosen:
        rows.append(
            f"<tr><td colspan='10'><b>{escape(line['title'])}</b> <small>{escape(told(line))}</small></td></tr>"
        )
        for name in WINDOWS:
            if name not in line["windows"]:
                continue
            found = line["windows"][name]["promises"]
            failed = ", ".join(f"{count:,} {code}" for code, count in found["failed"].items())
            latencies = "".join(f"<td>{shown(found[one])}</td>" for one in ("p50_us", "p99_us", "p999_us", "max_us"))
            during = name == "during"
            sound = "adds up" if line["sound"] else "does not add up"
            rows.append(
                f"<tr><td>{name}</td><td>{escape(failed)}</td><td>{sound if during else ''}</td>"
                f"<td>{found['calls']:,}</td>{latencies}<td>{seconds(line.get('back_s')) if during else ''}</td>"
                f"<td>{seconds(line.get('gap_s')) if during else ''}</td></tr>"
            )
    return f"<table class='chaos'><style>.chaos td{{white-space:nowrap}}.chaos td[colspan]{{white-space:normal}}</style>{head}{''.join(rows)}</table>"


def _spans(line: Line) -> list[tuple[float, float, str]]:
    """Events as bands; the name of one that is too near to the last that has one is left out."""
    spans, named = [], float("-inf")
    for mark in line["marks"]:
        far = mark["begin_s"] - named > NAMED_S * line["seconds"]
        spans.append((mark["begin_s"], min(mark["end_s"], line["seconds"]), mark["name"] if far else ""))
        named = mark["begin_s"] if far else named
    return spans


def _parts(moments: Sequence[Line]) -> list[list[Line]]:
    """Moments with answers, apart where there was none in between: no line is drawn over silence."""
    parts: list[list[Line]] = [[]]
    for moment in moments:
        if "p50_us" in moment:
            parts[-1].append(moment)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part] or [[]]


def _latency(line: Line) -> str:
    parts = _parts(line["timeline"])
    drawn = [
        # Only the last part of a line has its name at its end.
        Series(name if part is parts[-1] else "", [(moment["at_s"], moment[key]) for moment in part], colour)
        for colour, (name, key) in zip(COLOURS, LATENCIES, strict=False)
        for part in parts
    ]
    across = linear_axis("seconds", 0, line["seconds"])
    up = time_axis("latency", [y for one in drawn for _, y in one.points])
    return chart(f"{line['title']}: latency", across, up, drawn, spans=_spans(line))


def _answers(line: Line) -> str:
    moments = line["timeline"]
    apart = moments[1]["at_s"] - moments[0]["at_s"] if len(moments) > 1 else 1.0
    drawn = [
        Series(name, [(moment["at_s"], moment[key] / apart) for moment in moments], colour)
        for name, key, colour in (("answered", "answered", COLOURS[2]), ("failed", "failed", COLOURS[1]))
        if key == "answered" or any(moment["failed"] for moment in moments)
    ]
    across = linear_axis("seconds", 0, line["seconds"])
    up = linear_axis("calls due, a second", 0, 1.05 * max((y for one in drawn for _, y in one.points), default=1.0))
    return chart(f"{line['title']}: calls", across, up, drawn, spans=_spans(line))
