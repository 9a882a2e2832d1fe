"""Whether what was measured is what was asked for."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loadtests.slo.file import WHOLE, Objective, Scenario

Line = dict[str, Any]
LATENCIES = {"p50": "p50_us", "p99": "p99_us", "p999": "p999_us"}


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
        value: median over the rounds, in the unit of the bound; None when it was not measured.
        met: None when it was not measured, which is no proof.
        why: why it was not measured.
    """

    scenario: str
    objective: Objective
    value: float | None
    least: float | None
    most: float | None
    met: bool | None
    why: str = ""

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
            "line": self.objective.line,
        }

    def text(self) -> str:
        """The verdict for a reader."""
        objective = self.objective
        word = {True: "met", False: "MISSED", None: "NOT PROVEN"}[self.met]
        sign = ">=" if objective.at_least else "<="
        what = f"{word:<10}  {self.scenario}  {objective.method} {objective.metric}"
        if self.value is None or self.least is None or self.most is None:
            return f"{what}: {self.why}"
        spread = f"{shown(self.value)} ({shown(self.least)}..{shown(self.most)})"
        return f"{what}: {spread}, must be {sign} {shown(objective.bound)}"


def shown(number: float) -> str:
    """A number as short as it can be told."""
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.4g}"


def value_of(objective: Objective, one: Round) -> float | None:
    """What a round says of an objective, in the unit of its bound; None when it says nothing."""
    if objective.metric in WHOLE:
        return _of_the_whole(objective, one.server)
    methods = one.server["methods"]
    if objective.method not in methods:
        return None
    name, _, unit = objective.metric.partition("_")
    latency = methods[objective.method]["latency"]
    if latency is None:
        return None
    ours = float(latency[LATENCIES[name]])
    if unit == "us":
        return ours
    theirs = one.echo and one.echo["methods"].get(objective.method, {}).get("latency")
    return ours / theirs[LATENCIES[name]] if theirs and theirs[LATENCIES[name]] else None


def _of_the_whole(objective: Objective, line: Line) -> float | None:
    if objective.metric == "achieved":
        return float(line["achieved_share"])
    if objective.metric == "growth":
        before, after = line["resident_bytes"]
        # The index of request ids and the movements grow with what was written lately, and are told: they are no leak.
        tables_before, tables_after = line["table_bytes"]
        return float((after - before - (tables_after - tables_before)) / before) if before else None
    if objective.metric == "data_bytes":
        before, after = line["data_bytes"]
        return float((after - before) / line["calls"]) if line["calls"] else None
    summary = line["methods"].get(objective.method)
    return float(summary["failed_share"]) if summary else None


def judge(scenario: Scenario, rounds: Sequence[Round]) -> list[Verdict]:
    """Returns a verdict for each objective: the median of the rounds against its bound."""
    return [_judge(scenario.name, objective, rounds) for objective in scenario.objectives]


def _judge(scenario: str, objective: Objective, rounds: Sequence[Round]) -> Verdict:
    latency = objective.metric not in WHOLE
    used = [one for one in rounds if not (latency and one.refused)]
    values = [value for one in used if (value := value_of(objective, one)) is not None]
    if not values:
        refused = [one.refused for one in rounds if one.refused]
        why = refused[0] if refused else f"no call of {objective.method} was answered"
        return Verdict(scenario, objective, None, None, None, None, why)
    median = statistics.median(values)
    return Verdict(scenario, objective, median, min(values), max(values), objective.holds(median))
