"""Verdicts and the table of a run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from loadtests.slo.charts import duration

Line = dict[str, Any]
WINDOWS = ("normal", "during", "after")
COLUMNS = ("p50_us", "p99_us", "p999_us", "max_us")


def judged(lines: Sequence[Line]) -> list[Line]:
    """A verdict for each event with an objective: the median of its rounds against the bound, and each round as well.

    What must never be more is not proven by a median: where it holds and a single round does not, that is said.
    """
    found = []
    for event, rounds in _by_event(lines).items():
        bound = rounds[0]["objective"]
        if bound is None:
            continue
        ratios = [line["ratio"] for line in rounds if line["ratio"] is not None]
        verdict: Line = {"kind": "chaos_verdict", "event": event, "metric": "p99_ratio", "bound": bound}
        if not ratios:
            refused = [line["refused"] for line in rounds if line["refused"]]
            why = refused[0] if refused else "it did not happen, or too few calls were due while it did"
            found.append(verdict | {"median": None, "min": None, "max": None, "met": None, "why": why})
            continue
        median = statistics.median(ratios)
        lost = max(_lost(line) for line in rounds if line["windows"])
        # p99 is of what was answered: an event that makes calls fail has not left them as they were.
        why = f"{lost:.2%} more of the calls failed while it happened" if lost > 0 else ""
        met: bool | None = median <= bound and not why
        if met and max(ratios) > bound:
            met, why = None, f"{sum(ratio > bound for ratio in ratios)} of {len(ratios)} rounds are above it"
        told = {"median": median, "min": min(ratios), "max": max(ratios), "met": met, "why": why}
        found.append(verdict | told)
    return found


def _lost(line: Line) -> float:
    """By how much the share of promises that failed was larger during an event than it is normally."""

    def share(name: str) -> float:
        promises = line["windows"][name]["promises"]
        return float(sum(promises["failed"].values()) / max(promises["calls"], 1))

    return share("during") - share("normal")


def _by_event(lines: Sequence[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        if line["kind"] == "chaos":
            found.setdefault(line["event"], []).append(line)
    return found


def middle(rounds: Sequence[Line]) -> Line:
    """The round that is told: of those with figures, the one in the middle by its ratio."""
    known = [line for line in rounds if line["windows"]]
    ranked = sorted(known, key=lambda line: line["ratio"] or 0.0)
    return ranked[len(ranked) // 2] if ranked else rounds[-1]


def shown(us: float | None) -> str:
    """A latency; a dash where there were too few calls to tell."""
    return "-" if us is None else duration(us)


def seconds(value: float | None) -> str:
    """Seconds; a dash where it is not known, or was not over."""
    return "-" if value is None else f"{value:.2f} s"


def told(line: Line) -> str:
    """What else there is to say of an event, for a reader."""
    parts = [f"{name} {_text(value)}" for name, value in line["told"].items()]
    settled = line["settled"] or {}
    parts.append(f"acknowledged {settled.get('acknowledged', 0):,}, all found")
    if settled.get("sent_again"):
        parts.append(f"sent again {settled['sent_again']:,} ({settled['done_before']:,} reserves had been done)")
    for name in WINDOWS:
        for method in ("forecast", "allocate"):
            sources = line["windows"].get(name, {}).get(method, {}).get("made_by")
            if sources:
                named = ", ".join(f"{count:,} {who}" for who, count in sources.items())
                parts.append(f"{method} {name}: {named}")
    for method, at in (line.get("answers_as_before_s") or {}).items():
        parts.append(f"{method} as before after {seconds(at)}")
    return "; ".join(parts)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(lines: Sequence[Line]) -> str:
    """Every event with what promises saw, then the verdicts, then what was left out and why."""
    rows: list[tuple[str, ...]] = [
        ("event", "window", "calls", "p50", "p99", "p99.9", "most", "without a good answer", "back", "silent")
    ]
    notes = []
    for event, rounds in _by_event(lines).items():
        line = middle(rounds)
        for name in WINDOWS:
            if name not in line["windows"]:
                continue
            found = line["windows"][name]["promises"]
            failed = ", ".join(f"{count:,} {code}" for code, count in found["failed"].items())
            last = name == "during"
            rows.append(
                (
                    event if name == "normal" else "",
                    name,
                    f"{found['calls']:,}",
                    *(shown(found[column]) for column in COLUMNS),
                    failed,
                    seconds(line.get("back_s")) if last else "",
                    seconds(line.get("gap_s") if last else line.get("normal_gap_s") if name == "normal" else None),
                )
            )
        if not line["windows"]:
            notes.append(f"NOT TOLD: {event}: {line['refused'] or 'it did not happen'}")
        unsound = [one for one in rounds if not one["sound"]]
        notes += [f"NOT SOUND: {event}: {one['account']}" for one in unsound]
        notes.append(f"{event}: {told(line)}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    drawn = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*drawn, *notes, *map(verdict_text, _of(lines, "chaos_verdict")), *_skipped(lines)])


def _of(lines: Sequence[Line], kind: str) -> list[Line]:
    return [line for line in lines if line["kind"] == kind]


def verdict_text(verdict: Line) -> str:
    """A verdict for a reader."""
    word = {True: "met", False: "MISSED", None: "NOT PROVEN"}[verdict["met"]]
    what = f"{word}: {verdict['event']}: p99 during it"
    if verdict["median"] is None:
        return f"{what}: {verdict['why']}"
    spread = f"{verdict['median']:.2f} x normal ({verdict['min']:.2f}..{verdict['max']:.2f})"
    why = f"; {verdict['why']}" if verdict.get("why") else ""
    return f"{what} is {spread}, must be <= {verdict['bound']:g} x{why}"


def _skipped(lines: Sequence[Line]) -> list[str]:
    return [f"SKIPPED: {line['event']}: {line['why']}" for line in _of(lines, "skipped") if "event" in line]
