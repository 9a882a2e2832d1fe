"""One line of JSON for an event in a run: what callers saw before, during and after."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.chaos.events import Event, Run
from loadtests.chaos.figures import Calls, Interval, back_s, longest_gap_s, outside, read, timeline, window

Line = dict[str, Any]
BACK_WITHIN = 2.0
"""All is as it was when p99 is within this many times the normal."""


@dataclass(frozen=True)
class Settings:
    """Which event, in which round, at how many calls a second, over how many seconds."""

    event: Event
    number: int
    rate: float
    measure_s: float


def figures(settings: Settings, run: Run, step: Line, account: Line) -> Line:
    """The line of a run.

    Args:
        settings: of the run.
        run: with its marks.
        step: what the generator measured; its calls are read from the file that it names.
        account: what the server was held to at the end.
    """
    event, end = settings.event, settings.measure_s
    seconds = [((mark.begin_ns - run.begin_ns) / 1e9, (mark.end_ns - run.begin_ns) / 1e9) for mark in run.marks]
    marks: list[Interval] = [(max(0.0, begin), min(last, end)) for begin, last in seconds if begin < end]
    line: Line = {
        "kind": "chaos",
        "event": event.name,
        "title": event.title,
        "round": settings.number,
        "rate": settings.rate,
        "touch_memory_bytes": event.settings.touch_memory_bytes,
        "seconds": end,
        "objective": event.objective,
        "refused": step["refused"],
        "marks": [
            {"name": mark.name, "begin_s": begin, "end_s": last}
            for mark, (begin, last) in zip(run.marks, marks, strict=False)
        ],
        "told": run.told,
        "settled": step["settled"],
        "account": {name: value for name, value in account.items() if name != "kind"},
        # The server's own proof and the account of every item must hold, and nothing may be left unknown.
        "sound": account["kind"] == "verified" and account["units_oversold"] == 0,
    }
    if step["refused"] or not marks:
        # A generator that was late itself tells nothing of the server.
        return line | {"windows": {}, "ratio": None}
    calls = read(Path(step["legend"]["path"]), step["legend"])
    if not event.by_itself:
        marks[0] = (_met(calls.promises, marks[0][0]), marks[0][1])
    return line | _seen(event, calls, marks, end)


def _seen(event: Event, calls: Calls, marks: list[Interval], end: float) -> Line:
    """Figures of the windows. What is normal is before the event, or beside it where it comes again and again."""
    first, last = marks[0][0], max(until for _, until in marks)
    normal = outside(marks, 0.0, end) if event.apart else [(0.0, first)]
    windows = {"normal": window(calls, normal), "during": window(calls, marks)}
    if not event.by_itself and last < end:
        windows["after"] = window(calls, [(last, end)])
    usual, lifted = (windows[name]["promises"]["p99_us"] for name in ("normal", "during"))
    promises = calls.promises
    found: Line = {
        "windows": windows,
        "ratio": round(lifted / usual, 3) if usual and lifted else None,
        "normal_gap_s": longest_gap_s(promises, *normal[0]) if not event.by_itself else None,
        "gap_s": longest_gap_s(promises, first, end) if not event.by_itself else None,
        "timeline": timeline(promises, end),
    }
    if usual and not event.by_itself:
        found["back_s"] = back_s(promises, marks, end, BACK_WITHIN * usual / 1e6)
    if event.beside:
        found["answers_as_before_s"] = _as_before(calls, first)
    return found


def _met(calls: Calls, begin: float) -> float:
    """When the first call was due that an event met under way."""
    under_way = calls.due[(calls.due < begin) & (calls.due + calls.waited > begin)]
    return float(min([begin, *under_way]))


def _as_before(calls: Calls, begin: float) -> dict[str, float | None]:
    """For each method that names its source: seconds until, after others have answered, the most usual one of before does."""
    found: dict[str, float | None] = {}
    for op in sorted({str(op) for op, by in zip(calls.op, calls.by, strict=True) if by}):
        own = calls.of((calls.op == op) & (calls.by != ""))
        usual = Counter(own.by[own.due < begin].tolist()).most_common(1)
        before = {by for by, _ in usual}
        later = own.of(own.due >= begin)
        ended = later.due + later.waited
        other = [at for at, by in zip(ended, later.by, strict=True) if by not in before]
        if not other:
            found[op] = 0.0
            continue
        again = [at for at, by in zip(ended, later.by, strict=True) if by in before and at > min(other)]
        found[op] = round(min(again) - begin, 3) if again else None
    return found
