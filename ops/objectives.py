"""Reads objectives.toml, and refuses what no rule could be made from."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVICE = "bespeak.v1.PromiseService"
LATENCY_BOUNDS_MS = (
    *(0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1, 2, 3, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000),
)
"""Upper bounds of bespeak_request_seconds: a share of calls is known exactly at these alone."""


class WrongObjectives(ValueError):
    """A field of objectives.toml is missing, unknown or out of its range; the message names it."""


@dataclass(frozen=True)
class Objective:
    """What callers of some methods may count on.

    Attributes:
        methods: of PromiseService, by their bare names.
        availability: least share of calls without an error of the server, above 0 and below 1.
        latency: least share of calls answered within latency_ms, above 0 and below 1.
    """

    name: str
    title: str
    methods: tuple[str, ...]
    availability: float
    latency: float
    latency_ms: float

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+", self.name):
            raise WrongObjectives(f"objective.name is {self.name!r}: give small letters, it is part of names")
        if not self.methods:
            raise WrongObjectives(f"objective {self.name}: methods is empty")
        for field in ("availability", "latency"):
            if not 0 < (share := getattr(self, field)) < 1:
                raise WrongObjectives(f"objective {self.name}: {field} is {share}: give a share above 0 and below 1")
        if self.latency_ms not in LATENCY_BOUNDS_MS:
            bounds = ", ".join(map(str, LATENCY_BOUNDS_MS))
            raise WrongObjectives(f"objective {self.name}: latency_ms is {self.latency_ms}: choose from {bounds}")

    @property
    def selector(self) -> str:
        """The matcher of its methods."""
        names = "|".join(self.methods)
        return f'method=~"{SERVICE}/({names})"' if len(self.methods) > 1 else f'method="{SERVICE}/{names}"'

    @property
    def le(self) -> str:
        """latency_ms as the server writes the bound of a bucket."""
        seconds = f"{self.latency_ms / 1_000:.6f}".rstrip("0")
        return f"{seconds}0" if seconds.endswith(".") else seconds


@dataclass(frozen=True)
class Thresholds:
    """Where alerts without a budget begin; the names say the units."""

    journal_sync_p99_ms: float
    journal_pending_records: float
    disk_free_ratio: float
    recovery_minutes: int
    in_flight_ratio: float
    shed_ratio: float
    fallback_ratio: float
    stale_forecast_ratio: float
    worker_queue_p99_s: float
    new_shocks_per_hour: float


@dataclass(frozen=True)
class Objectives:
    """All of objectives.toml."""

    window_days: int
    objectives: tuple[Objective, ...]
    thresholds: Thresholds


def read(path: Path = HERE / "objectives.toml") -> Objectives:
    """Returns the objectives of a file.

    Raises:
        WrongObjectives: a field is missing, unknown or out of its range.
    """
    given = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        objectives = tuple(Objective(**{**one, "methods": tuple(one["methods"])}) for one in given.pop("objective"))
        made = Objectives(given.pop("window_days"), objectives, Thresholds(**given.pop("thresholds")))
    except (KeyError, TypeError) as wrong:
        raise WrongObjectives(f"{path}: {wrong}") from wrong
    if given:
        raise WrongObjectives(f"{path}: unknown {', '.join(given)}")
    for field, value in vars(made.thresholds).items():
        if not value > 0:
            raise WrongObjectives(f"{path}: thresholds.{field} is {value}: give a number above 0")
    return made
