"""Reads slo.toml: what is run, and what must hold of it. What cannot be proven is refused before anything is run."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

MIXES = {
    "browse": {"check": 80, "reserve": 10, "finish": 8, "supply": 2},
    "checkout": {"check": 20, "reserve": 40, "finish": 35, "supply": 5},
    "ingest": {"check": 10, "reserve": 5, "finish": 5, "supply": 80},
    "flash-sale": {"check": 20, "reserve": 40, "finish": 35, "supply": 5},
    "bulk": {"reserve": 1},
    "allocation": {"allocate": 1},
    "forecast": {"forecast": 1},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "flash-sale": {"keys": "one-hot"},
    "bulk": {"transport": "flight", "connections": 2, "streams": 1},
    # The server makes four plans at once and refuses more; a worker makes one forecast after another.
    "allocation": {"connections": 2, "streams": 2},
    "forecast": {"connections": 2, "streams": 4},
}
"""What comes with a mix of that name, unless the scenario says otherwise."""

SHARES = ("errors", "achieved", "growth")
WHOLE = (*SHARES, "data_bytes")
"""What is asked of a whole scenario, beside the bounds of its methods."""
METHODS = ("check", "reserve", "finish", "supply", "allocate", "forecast")
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
CHOICES = {
    "durability": ("group", "memory"),
    "keys": ("uniform", "zipf", "one-hot"),
    "transport": ("unary", "session", "flight"),
    "arrivals": ("poisson", "constant"),
}
"""What else than a number a setting may be."""
STREAMS_MAX = 190
"""That the generator puts on one connection."""
CALLS_ABOVE = 3
"""Calls that must be expected above a quantile: of fewer it tells nothing."""


class WrongSlo(ValueError):
    """Something in slo.toml is missing, unknown or cannot be proven; the message says where."""


@dataclass(frozen=True)
class Objective:
    """One bound: of a method of a scenario, or of the whole scenario ("all").

    Attributes:
        metric: p50_us, p99_us, p999_us, the same ending in _echo, errors, achieved, growth of the server's memory, or
            data_bytes, by which its data grows a call.
        bound: microseconds, times the echo's, a share, or bytes.
        line: where it stands in the file; 0 for one that nobody wrote.
    """

    method: str
    metric: str
    bound: float
    line: int = 0

    @property
    def at_least(self) -> bool:
        """Whether the bound is the least that there must be."""
        return self.metric == "achieved"

    @property
    def against_echo(self) -> bool:
        """Whether the bound is a ratio to the bare server."""
        return self.metric.endswith("_echo")

    def holds(self, value: float) -> bool:
        """Whether a measured value is on the right side of the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Server:
    """What the server is started with and filled with.

    Attributes:
        receipts, commitments: of each position.
        worker: model of the worker behind it, which is started where a scenario asks for forecasts.
    """

    positions: int = 100_000
    receipts: int = 4
    commitments: int = 8
    durability: str = "group"
    tls: bool = False
    worker: str = "climatology"
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class Generator:
    """How each scenario is run."""

    rounds: int = 3
    warmup_s: float = 2.0
    measure_s: float = 10.0
    drain_s: float = 5.0
    lag_share: float = 0.1
    core: int | None = None


@dataclass(frozen=True)
class Scenario:
    """One load and what must hold under it."""

    name: str
    rate: float
    mix: Mapping[str, int]
    objectives: tuple[Objective, ...] = ()
    keys: str = "uniform"
    transport: str = "unary"
    arrivals: str = "poisson"
    connections: int = 16
    streams: int = 16
    lines: int = 1
    orders: int = 50
    budget_ms: int = 50
    series: int = 10
    horizon: int = 14
    rate_to: float | None = None
    measure_s: float | None = None
    pause: Mapping[str, float] | None = None
    rest: bool = False

    def share(self, method: str) -> float:
        """Share of the calls that are of a method."""
        return 1.0 if method == "all" else self.mix.get(method, 0) / sum(self.mix.values())


@dataclass(frozen=True)
class Slo:
    """All of a file."""

    path: Path
    server: Server
    generator: Generator
    scenarios: tuple[Scenario, ...]
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def asks_worker(self) -> bool:
        """Whether any scenario needs a worker behind the server."""
        return any(scenario.share("forecast") for scenario in self.scenarios)

    def measure_s(self, scenario: Scenario) -> float:
        """Measured seconds of one round of a scenario."""
        return scenario.measure_s or self.generator.measure_s

    def step(self, scenario: Scenario, seed: int, *, echo: bool = False) -> dict[str, Any]:
        """One round of a scenario, as the load generator reads it."""
        given = {
            "name": scenario.name,
            "target": "echo" if echo else "server",
            "transport": scenario.transport,
            "mix": dict(scenario.mix),
            "keys": scenario.keys,
            "arrivals": scenario.arrivals,
            "rate": scenario.rate,
            "rate_to": scenario.rate_to,
            "connections": scenario.connections,
            "streams": scenario.streams,
            "lines": scenario.lines,
            "orders": scenario.orders,
            "budget_ms": scenario.budget_ms,
            "series": scenario.series,
            "horizon": scenario.horizon,
            "warmup_s": self.generator.warmup_s,
            "measure_s": self.measure_s(scenario),
            "drain_s": self.generator.drain_s,
            "lag_share_max": self.generator.lag_share,
            "seed": seed,
            "pause": None if echo else scenario.pause,
            "rest": scenario.rest,
        }
        return {name: value for name, value in given.items() if value is not None}


def read(path: Path) -> Slo:
    """Returns what a file asks for.

    Raises:
        WrongSlo: it is not there, is no TOML, or asks for what cannot be proven.
    """
    try:
        text = path.read_text(encoding="utf-8")
        given = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise WrongSlo(f"{path}: {wrong}") from wrong
    places = _places(text)
    try:
        server = _table(given.pop("server", {}), "server")
        server["cores"] = _cores(server.get("cores", []))
        made = Slo(
            path=path,
            server=_made(Server, server, "server"),
            generator=_made(Generator, _table(given.pop("generator", {}), "generator"), "generator"),
            scenarios=tuple(
                _scenario(_table(one, f"scenario {index + 1}"), index, places)
                for index, one in enumerate(_tables(given.pop("scenario", []), "scenario"))
            ),
        )
        if given:
            raise WrongSlo(f"unknown {', '.join(given)}: there are server, generator and scenario")
        _check(made)
    except WrongSlo as wrong:
        raise WrongSlo(f"{path}: {wrong}") from None
    return made


def _table(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise WrongSlo(f"{where} is {given!r}: give a table")
    return given


def _tables(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list):
        raise WrongSlo(f"{where} is one table: write [[{where}]], there may be several")
    return given


def _cores(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list) or not all(type(core) is int and core >= 0 for core in given):
        raise WrongSlo(f"server: cores is {given!r}: give a list of numbers, such as [0]")
    return tuple(given)


def _number(value: Any, name: str, where: str, *, whole: bool = False, least: float | None = None) -> None:
    is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not is_number or not (value > 0 if least is None else value >= least) or value == float("inf"):
        bound = "above 0" if least is None else f"of at least {least:g}"
        raise WrongSlo(f"{where}: {name} is {value!r}: give a {'whole ' if whole else ''}number {bound}")


def _made(kind: Any, given: dict[str, Any], where: str) -> Any:
    known = [one.name for one in fields(kind)]
    if unknown := set(given) - set(known):
        raise WrongSlo(f"{where}: unknown {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    for one in fields(kind):
        if one.name in given:
            _check_field(given[one.name], one.name, one.default, where)
    return kind(**given)


def _check_field(value: Any, name: str, default: object, where: str) -> None:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise WrongSlo(f"{where}: {name} is {value!r}: give {' or '.join(CHOICES[name])}")
    elif isinstance(default, bool):
        if not isinstance(value, bool):
            raise WrongSlo(f"{where}: {name} is {value!r}: give true or false")
    elif name == "core":
        _number(value, name, where, whole=True, least=0)
    elif isinstance(default, int | float) or name in {"rate", "rate_to", "measure_s"}:
        _number(value, name, where, whole=isinstance(default, int))
    elif isinstance(default, str) and not isinstance(value, str):
        raise WrongSlo(f"{where}: {name} is {value!r}: give a name")


def _scenario(given: dict[str, Any], index: int, places: dict[tuple[int, int, str], int]) -> Scenario:
    name = given.get("name")
    if not isinstance(name, str) or not name:
        raise WrongSlo(f"scenario {index + 1} has no name")
    where = f"scenario {name}"
    if "objectives" in given:
        raise WrongSlo(f"{where}: unknown objectives: write [[scenario.objective]]")
    bounds = _tables(given.pop("objective", []), "scenario.objective")
    given = _with_mix(given, where)
    if "pause" in given:
        _check_pause(given["pause"], where)
    whole = {metric: given.pop(metric) for metric in WHOLE if metric in given}
    objectives = [
        Objective("all", metric, bound, places.get((index, -1, metric), 0)) for metric, bound in whole.items()
    ]
    for number, one in enumerate(bounds):
        method, asked = _bounds(one, where)
        objectives += [
            Objective(method, metric, bound, places.get((index, number, metric), 0)) for metric, bound in asked.items()
        ]
    if not objectives:
        raise WrongSlo(f"{where} asks for nothing: give errors = …, achieved = …, or a [[scenario.objective]]")
    if "rate" not in given:
        raise WrongSlo(f"{where}: rate is missing: give operations a second")
    made: Scenario = _made(Scenario, {**given, "objectives": tuple(objectives)}, where)
    if made.streams > STREAMS_MAX:
        raise WrongSlo(f"{where}: streams is {made.streams}: a connection takes {STREAMS_MAX}, give more connections")
    return made


def _with_mix(given: dict[str, Any], where: str) -> dict[str, Any]:
    mix = given.get("mix")
    if isinstance(mix, str):
        if mix not in MIXES:
            raise WrongSlo(f"{where}: there is no mix {mix}: choose from {', '.join(MIXES)}, or give a table")
        return {**DEFAULTS.get(mix, {}), **given, "mix": MIXES[mix]}
    if not isinstance(mix, dict) or set(mix) - set(METHODS):
        raise WrongSlo(f"{where}: mix is {mix!r}: give a name or weights of {', '.join(METHODS)}")
    for method, weight in mix.items():
        _number(weight, f"mix of {method}", where, whole=True, least=0)
    if not sum(mix.values()):
        raise WrongSlo(f"{where}: mix is {mix!r}: give one method a weight above 0")
    return given


def _check_pause(given: Any, where: str) -> None:
    pause = _table(given, f"{where}: pause")
    if set(pause) != {"at_s", "for_s"}:
        raise WrongSlo(f"{where}: pause is {pause!r}: give at_s and for_s")
    for key, value in pause.items():
        _number(value, f"{key} of pause", where, least=0)


def _bounds(given: Any, where: str) -> tuple[str, dict[str, Any]]:
    """The method of an objective, and its bounds by metric."""
    bounds = dict(_table(given, f"{where}: objective"))
    method = bounds.pop("method", "all")
    if method not in ("all", *METHODS):
        raise WrongSlo(f"{where}: there is no method {method}: choose from all, {', '.join(METHODS)}")
    if not bounds:
        raise WrongSlo(f"{where}: an objective of {method} asks for nothing: give p99_us = …, or another bound")
    return method, bounds


def _check(slo: Slo) -> None:
    if not slo.scenarios:
        raise WrongSlo("there is no [[scenario]]")
    names = [scenario.name for scenario in slo.scenarios]
    if twice := {name for name in names if names.count(name) > 1}:
        raise WrongSlo(f"two scenarios are called {', '.join(twice)}")
    for scenario in slo.scenarios:
        for objective in scenario.objectives:
            _check_objective(slo, scenario, objective)


def _check_objective(slo: Slo, scenario: Scenario, objective: Objective) -> None:
    where = f"line {objective.line}, scenario {scenario.name}"
    name, _, unit = objective.metric.partition("_")
    if objective.metric not in WHOLE and (name not in QUANTILES or unit not in {"us", "echo"}):
        known = [f"{quantile}_{unit}" for unit in ("us", "echo") for quantile in QUANTILES]
        raise WrongSlo(f"{where}: there is no {objective.metric}: choose from {', '.join(known)}, errors")
    if isinstance(objective.bound, bool) or not isinstance(objective.bound, int | float) or not objective.bound >= 0:
        raise WrongSlo(f"{where}: {objective.metric} is {objective.bound!r}: give a number")
    if objective.metric in SHARES and objective.bound > 1:
        raise WrongSlo(f"{where}: {objective.metric} is {objective.bound}: it is a share, give at most 1")
    if not scenario.share(objective.method):
        raise WrongSlo(f"{where}: its mix has no {objective.method}")
    if objective.against_echo and scenario.transport == "flight":
        raise WrongSlo(f"{where}: the echo server knows no Flight: give a bound in microseconds")
    if objective.against_echo and (scenario.share("allocate") or scenario.share("forecast")):
        raise WrongSlo(f"{where}: the echo server knows no plans and no forecasts: give a bound in microseconds")
    if needed := calls_needed(objective):
        # A ramp rises evenly.
        rate = (scenario.rate + (scenario.rate_to or scenario.rate)) / 2
        expected = rate * slo.measure_s(scenario) * scenario.share(objective.method)
        if expected < needed:
            raise WrongSlo(
                f"{where}: {name} of {objective.method} needs {needed:,} calls a round, {expected:,.0f} are expected: "
                "raise measure_s or rate"
            )


def calls_needed(objective: Objective) -> int:
    """Calls of its method that a round must have for an objective to be told."""
    quantile = QUANTILES.get(objective.metric.partition("_")[0])
    return 0 if quantile is None else round(CALLS_ABOVE / (1 - quantile))


def seconds_needed(scenario: Scenario) -> float:
    """Measured seconds that a round needs at the scenario's rate, for each of its quantiles to be told."""
    return max(
        (calls_needed(one) / (scenario.rate * scenario.share(one.method)) for one in scenario.objectives), default=0.0
    )


HEAD = re.compile(r"^\s*\[\[?\s*([\w.]+)\s*\]?\]")
KEY = re.compile(r"^\s*(\w+)\s*=")


def _places(text: str) -> dict[tuple[int, int, str], int]:
    """Line numbers of the keys of scenarios: by scenario, objective (-1 outside) and key."""
    found: dict[tuple[int, int, str], int] = {}
    table, scenario, objective = "", -1, -1
    for number, line in enumerate(text.splitlines(), 1):
        if head := HEAD.match(line):
            table = head[1]
            if table == "scenario":
                scenario, objective = scenario + 1, -1
            elif table == "scenario.objective":
                objective += 1
        elif (key := KEY.match(line)) and table.startswith("scenario"):
            found[scenario, objective if table == "scenario.objective" else -1, key[1]] = number
    return found


def with_server(slo: Slo, **changed: Any) -> Slo:
    """The same with other settings of the server."""
    return replace(slo, server=replace(slo.server, **changed))
