"""Which positions need a new forecast, and why."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeAlias

import pyarrow as pa

Place: TypeAlias = tuple[str, str]
"""Item and location."""


class Why(enum.Enum):
    """The first reason that applies."""

    NEW = "without a forecast"
    DAYS = "with new days"
    MODEL = "of another model"
    AGE = "too old"


@dataclass(frozen=True)
class Kept:
    """A forecast that the server keeps."""

    model: str
    computed_at_ms: int
    first_day: date


def kept_forecasts(table: pa.Table) -> dict[Place, Kept]:
    """Reads the server's table of forecasts: one entry a position."""
    by = ["item", "location", "model", "computed_at_ms"]
    found = table.group_by(by).aggregate([("day", "min")])
    return {
        (row["item"], row["location"]): Kept(row["model"], row["computed_at_ms"], row["day_min"])
        for row in found.to_pylist()
    }


def last_days(history: pa.Table) -> dict[Place, date]:
    """The last day of each position."""
    found = history.group_by(["item", "location"]).aggregate([("timestamp", "max")])
    return {(row["item"], row["location"]): row["timestamp_max"] for row in found.to_pylist()}


def dirty(
    last: Mapping[Place, date], kept: Mapping[Place, Kept], makers: Sequence[str], now_ms: int, age_ms: int
) -> dict[Place, Why]:
    """Decides for each position of the history; what is fresh is left out.

    Args:
        last: last day of history.
        kept: forecasts that the server keeps.
        makers: NAME@VERSION of what would forecast: the active version, and a canary.
        now_ms: UTC milliseconds since 1970.
        age_ms: a forecast is made again when it is older.
    """

    def why(place: Place) -> Why | None:
        known = kept.get(place)
        if known is None:
            return Why.NEW
        if last[place] + timedelta(days=1) > known.first_day:
            return Why.DAYS
        if known.model not in makers:
            return Why.MODEL
        return Why.AGE if now_ms - known.computed_at_ms > age_ms else None

    return {place: reason for place in last if (reason := why(place)) is not None}
