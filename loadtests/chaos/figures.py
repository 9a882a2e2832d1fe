"""What the calls around an event say: latencies by window, errors by code, gaps, and when all is as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Line = dict[str, Any]
Interval = tuple[float, float]
LAYOUT = np.dtype([("due", "<u8"), ("took", "<u8"), ("op", "u1"), ("outcome", "u1"), ("by", "u1"), ("", "u1", 5)])
"""A call as the generator writes it; nanoseconds from the beginning of the measured time."""
PROMISES = ("check", "reserve", "finish", "supply")
QUANTILES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
CALLS_ABOVE = 3
"""Calls that there must be above a quantile: of fewer it tells nothing."""
SPELL_S = 1.0
STEP_S = 0.1
"""All is as it was when a spell of this length is within the bound; spells begin at these distances."""
POINTS_MAX = 240
POINT_S_MIN = 0.1
GOOD, REFUSED = 0, 1


@dataclass(frozen=True)
class Calls:
    """Every call of a run.

    Attributes:
        due, took: seconds, float64 (calls,); `took` is infinite where there was no good answer.
        op, outcome, by: names, each (calls,); an outcome is "" for an answer, "refused", or the code of a failure.
    """

    due: npt.NDArray[np.float64]
    took: npt.NDArray[np.float64]
    waited: npt.NDArray[np.float64]
    op: npt.NDArray[np.str_]
    outcome: npt.NDArray[np.str_]
    by: npt.NDArray[np.str_]

    def of(self, chosen: npt.NDArray[np.bool_]) -> Calls:
        """Some of them."""
        return Calls(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def within(self, intervals: Sequence[Interval]) -> Calls:
        """Those that were due in any of the intervals."""
        return self.of(inside(self.due, intervals))

    @property
    def promises(self) -> Calls:
        """Those that need no worker."""
        return self.of(np.isin(self.op, PROMISES))


def read(path: Path, legend: Mapping[str, Any]) -> Calls:
    """Reads the calls that the generator wrote."""
    raw = np.fromfile(path, LAYOUT)
    codes = np.array(["", "refused", *legend["codes"]], dtype=np.str_)
    makers = np.array(["", *legend["makers"]], dtype=np.str_)
    waited = raw["took"] / 1e9
    # A failure that comes fast must not make the service look fast.
    answered = raw["outcome"] <= REFUSED
    return Calls(
        due=raw["due"] / 1e9,
        took=np.where(answered, waited, np.inf),
        waited=waited,
        op=np.array(legend["ops"], dtype=np.str_)[raw["op"]],
        outcome=codes[raw["outcome"]],
        by=makers[raw["by"]],
    )


def inside(at: npt.NDArray[np.float64], intervals: Sequence[Interval]) -> npt.NDArray[np.bool_]:
    """Which of the times lie in any of the intervals, their ends left out."""
    found = np.zeros(len(at), dtype=np.bool_)
    for begin, end in intervals:
        found |= (at >= begin) & (at < end)
    return found


def outside(intervals: Sequence[Interval], begin: float, end: float) -> list[Interval]:
    """What is left of a time when intervals are taken out of it."""
    left, at = [], begin
    for first, last in sorted(intervals):
        if first > at:
            left.append((at, min(first, end)))
        at = max(at, last)
    return [*left, (at, end)] if at < end else left


def summary(calls: Calls) -> Line:
    """Latencies of what was answered, and what was not. A quantile of too few calls is left out."""
    answered = np.sort(calls.took[np.isfinite(calls.took)])
    found: Line = {"calls": len(calls.due), "refused": int(np.sum(calls.outcome == "refused"))}
    failed = calls.outcome[~np.isin(calls.outcome, ("", "refused"))]
    found["failed"] = {
        str(code): int(count) for code, count in zip(*np.unique(failed, return_counts=True), strict=True)
    }
    for name, share in QUANTILES.items():
        enough = len(answered) * (1 - share) >= CALLS_ABOVE
        # The smallest latency that this share of the calls does not exceed.
        at = max(0, int(np.ceil(share * len(answered))) - 1)
        found[name] = float(answered[at]) * 1e6 if enough else None
    found["max_us"] = float(answered[-1]) * 1e6 if len(answered) else None
    made_by = calls.by[calls.by != ""]
    if len(made_by):
        found["made_by"] = {str(who): int(n) for who, n in zip(*np.unique(made_by, return_counts=True), strict=True)}
    return found


def window(calls: Calls, intervals: Sequence[Interval]) -> Line:
    """Each method by itself, and all that need no worker as `promises`."""
    chosen = calls.within(intervals)
    found = {str(op): summary(chosen.of(chosen.op == op)) for op in np.unique(chosen.op)}
    return {"seconds": sum(end - begin for begin, end in intervals), "promises": summary(chosen.promises)} | found


def back_s(calls: Calls, intervals: Sequence[Interval], end: float, bound_s: float) -> float | None:
    """Seconds from the beginning of what happened until p99 is within the bound for a whole spell, and nothing that
    happens later lifts it; 0 when it never was above, None when it is still above at the end.

    Calls without a good answer count as if they had waited for ever.
    """
    begin, last = intervals[0][0], max(interval[1] for interval in intervals)
    back = begin
    late = False
    at = begin
    while at + SPELL_S <= end:
        took = np.sort(calls.took[(calls.due >= at) & (calls.due < at + SPELL_S)])
        above = len(took) > 0 and took[int(np.ceil(0.99 * len(took))) - 1] > bound_s
        if above:
            late = True
        elif late:
            back, late = at, False
        if at > last and not late:
            break
        at += STEP_S
    return None if late else round(back - begin, 3)


def longest_gap_s(calls: Calls, begin: float, end: float) -> float:
    """The longest time without any answer, refusals included, that began or ended between two moments."""
    ended = calls.due + calls.waited
    ended = np.sort(ended[np.isfinite(calls.took)])
    ended = np.concatenate([[0.0], ended[(ended > 0) & (ended < end)], [end]])
    gaps, ends = np.diff(ended), ended[1:]
    met = (ends >= begin) & (ended[:-1] <= end)
    return float(np.max(gaps[met], initial=0.0))


def timeline(calls: Calls, end: float) -> list[Line]:
    """What was due, moment by moment: latencies, answers and failures."""
    apart = max(end / POINTS_MAX, POINT_S_MIN)
    place = (calls.due / apart).astype(np.int64)
    found = []
    # What is left at the end is no whole moment.
    for at in range(max(1, int(end / apart + 1e-9))):
        took = calls.took[place == at]
        answered = np.sort(took[np.isfinite(took)])
        one: Line = {
            "at_s": round((at + 0.5) * apart, 4),
            "answered": len(answered),
            "failed": len(took) - len(answered),
        }
        if len(answered):
            ranks = {"p50_us": 0.5, "p99_us": 0.99, "max_us": 1.0}
            one |= {name: float(answered[int(np.ceil(q * len(answered))) - 1]) * 1e6 for name, q in ranks.items()}
        found.append(one)
    return found
