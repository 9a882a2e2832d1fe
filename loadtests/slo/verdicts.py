"""Whether what was measured is what was asked for."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.slo.file import QUANTILES, WHOLE, Objective, Scenario, calls_needed

Line = dict[str, Any]
LATENCIES = {"p50": "p50_us", "p99": "p99_us", "p999": "p999_us"}
LAG_FLOOR_US = 50.0
"""The generator never needs to be better than this."""
MIB = 1 << 20


@dataclass(frozen=True)
class Round:
    """One round of a scenario on the server, and on the bare server where an objective asks for it."""

    server: Line
    echo: Line | None = None

    @property
    def refused(self) -> str | None:
        """Why its latencies cannot be used: the generator itself was late."""
        for line in (self.server, self.echo):
            if line is not None and line["refused"]:
                return str(line["refused"])
        return None


@dataclass(frozen=True)
class Verdict:
    """An objective, held against the rounds.

    Attributes:
        value: median over the rounds, in the unit of the bound; None when it was not measured, or is infinite.
        met: None when it was not measured, which is no proof.
        why: why it was not measured, and what else there is to say.
        rounds: how many are used, of how many.
    """

    scenario: str
    objective: Objective
    value: float | None
    least: float | None
    most: float | None
    met: bool | None
    why: str = ""
    rounds: tuple[int, int] = (0, 0)

    def line(self) -> Line:
        """The verdict as a line of JSON."""
        return {
            "kind": "verdict",
            "scenario": self.scenario,
            "method": self.objective.method,
            "metric": self.objective.metric,
            "bound": self.objective.bound,
            "median": self.value,
            "min": self.least,
            "max": self.most,
            "met": self.met,
            "why": self.why,
            "rounds_used": self.rounds[0],
            "rounds": self.rounds[1],
            "line": self.objective.line,
        }

    def text(self) -> str:
        """The verdict for a reader."""
        objective = self.objective
        word = {True: "met", False: "MISSED", None: "NOT PROVEN"}[self.met]
        sign = ">=" if objective.at_least else "<="
        what = f"{word:<10}  {self.scenario}  {objective.method} {objective.metric}"
        if self.value is None or self.least is None:
            return f"{what}: {self.why}"
        most = "without end" if self.most is None else shown(self.most)
        used, all_of_them = self.rounds
        parts = [f"{shown(self.value)} ({shown(self.least)}..{most}), must be {sign} {shown(objective.bound)}"]
        parts += [f"{used} of {all_of_them} rounds"] if used < all_of_them else []
        parts += [self.why] if self.why else []
        return f"{what}: {'; '.join(parts)}"


def shown(number: float) -> str:
    """A number as short as it can be told."""
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.4g}"


def value_of(objective: Objective, one: Round) -> float | None:
    """What a round says of an objective, in the unit of its bound; None when it says nothing.

    A call that failed counts as one that takes for ever: where more fail than lie above a quantile, that is infinite.
    """
    if objective.metric in WHOLE:
        return _of_the_whole(objective, one.server)
    ours = _quantile(objective, one.server)
    if ours is None or not objective.against_echo:
        return ours
    theirs = _quantile(objective, one.echo) if one.echo else None
    return ours / theirs if theirs else None


def _quantile(objective: Objective, line: Line) -> float | None:
    summary = line["methods"].get(objective.method)
    if summary is None or (summary["latency"] is None and not summary["failed_share"]):
        return None
    name = objective.metric.partition("_")[0]
    if summary["latency"] is None or summary["failed_share"] > 1 - QUANTILES[name]:
        return math.inf
    return float(summary["latency"][LATENCIES[name]])


def _of_the_whole(objective: Objective, line: Line) -> float | None:
    if objective.metric == "achieved":
        return float(line["achieved_share"])
    if objective.metric == "growth":
        return growth_of(line)
    if objective.metric == "data_bytes":
        before, after = line["data_bytes"]
        return float((after - before) / line["calls"]) if line["calls"] else None
    summary = line["methods"].get(objective.method)
    return float(summary["failed_share"]) if summary else None


def growth_of(line: Line) -> float | None:
    """By how much of itself memory grew in the measured time of a step, beside the tables that the server tells.

    The larger of two: what lies between the medians of the first and the last quarter of the moments, which sees a step;
    and the median of the slopes between all pairs of moments (Theil, 1950; Sen, 1968) times the measured time, which sees
    what grows evenly and is not misled by what comes and goes.
    """
    resident = line["resident_bytes"][0]
    if not resident:
        return None
    # The index of request ids and the movements grow with what was written lately, and are told: they are no leak. They
    # are taken off moment by moment: medians of both would be of moments that were not the same.
    beside = [(one["at_s"], one["resident_bytes"] - one["table_bytes"]) for one in line["memory"]]
    quarter = max(len(beside) // 4, 1)
    first, last = (statistics.median(size for _, size in part) for part in (beside[:quarter], beside[-quarter:]))
    slopes = [(y - x) / (later - at) for (at, x), (later, y) in itertools.combinations(beside, 2) if later > at]
    evenly = statistics.median(slopes) * line["measure_s"] if slopes else 0.0
    return float(max(last - first, evenly) / resident)


def spoiled(objective: Objective, one: Round) -> str | None:
    """Why a round's latencies say nothing: the generator was late, of all calls or of those that the objective is about.

    What it was late by is part of each latency. So a bound that holds does so all the same; one that does not may be missed
    by the generator alone, and a ratio is of both.
    """
    if objective.metric in WHOLE:
        return None
    if one.refused:
        return one.refused
    name = objective.metric.partition("_")[0]
    for line in (one.server, one.echo if objective.against_echo else None):
        summary = line and line["methods"].get(objective.method)
        if not line or not summary or not summary["latency"]:
            continue
        late, told = summary["lag"][LATENCIES[name]], summary["latency"][LATENCIES[name]]
        allowed = max(told * line["lag_share_max"], LAG_FLOOR_US)
        if late > allowed:
            return (
                f"the generator itself began calls {late:,.0f} us late ({name}), {allowed:,.0f} us are allowed beside "
                f"{told:,.0f} us: lower the rate, or give it a faster core"
            )
    return None


def judge(scenario: Scenario, rounds: Sequence[Round]) -> list[Verdict]:
    """Returns a verdict for each objective: the median of the rounds against its bound."""
    return [_judge(scenario.name, objective, rounds) for objective in scenario.objectives]


def _judge(scenario: str, objective: Objective, rounds: Sequence[Round]) -> Verdict:
    latency = objective.metric not in WHOLE
    # A round that was spoiled has been run again: the last of each counts.
    last = list({one.server["seed"]: one for one in rounds}.values())
    used = [one for one in last if not (latency and one.refused)]
    known = [(one, value) for one in used if (value := value_of(objective, one)) is not None]
    late = [why for one in last if (why := spoiled(objective, one))]
    if not known:
        why = late[0] if late else f"no call of {objective.method} was answered"
        return Verdict(scenario, objective, None, None, None, None, why)
    values = [value for _, value in known]
    median, least, most = statistics.median(values), min(values), max(values)
    met: bool | None = objective.holds(median)
    why = _grew(known[-1][0].server) if objective.metric == "growth" else ""
    if 2 * len(known) <= len(last):
        met, why = (
            None,
            f"{len(known)} of {len(last)} rounds could be used: {late[0] if late else 'no call was answered'}",
        )
    elif late and 2 * len(late) >= len(known) and (not met or objective.against_echo):
        met, why = None, late[0]
    elif fewest := _too_few(objective, [one for one, _ in known]):
        met, why = None, fewest
    elif math.isinf(median):
        why = f"more of the calls of {objective.method} failed than may lie above {objective.metric.partition('_')[0]}"
    told = (len(known), len(last))
    return Verdict(scenario, objective, _finite(median), _finite(least), _finite(most), met, why, told)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _too_few(objective: Objective, rounds: Sequence[Round]) -> str:
    """Fewer calls than were expected, so few that they do not tell the quantile; "" when there are enough."""
    needed = calls_needed(objective)
    for one in rounds:
        calls = one.server["methods"][objective.method]["calls"] if needed else 0
        # They are drawn by chance: some fewer than are expected are enough.
        if calls < needed / 2:
            return f"{calls:,} calls of {objective.method} were made in a round, {needed:,} are needed"
    return ""


def _grew(line: Line) -> str:
    before, after = (shown(size / MIB) for size in line["resident_bytes"])
    return f"from {before} to {after} MiB with the tables"
