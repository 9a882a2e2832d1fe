"""One round: what is due is forecast in chunks, and then pushed in parts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bespeak import Client
from models.protocol import level_name
from serving.refresh.compute import Compute, Forecasts
from serving.refresh.dirty import Place, Why, dirty, kept_forecasts, last_days

QUANTILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
TOTALS_FROM = 0.5
TOTALS_DAYS = (1, 2, 3, 7, 14, 28)
PUSH_ROWS_MAX = 1_000_000
"""The server takes 4,000,000 rows a push (`ROWS_MAX` in rust_core/demand). A part of this size takes it seconds."""


@dataclass(frozen=True)
class Plan:
    """What a round does.

    Attributes:
        model: the worker's model; "" is its default.
        horizon: days ahead.
        age_ms: a forecast is made again when it is older.
        chunk: series of one call of the worker.
        context_days: most recent days of history that are sent.
        push_rows: most rows by day of one push; at least `horizon`.
    """

    model: str = ""
    horizon: int = 28
    age_ms: int = 24 * 3_600_000
    chunk: int = 512
    context_days: int = 512
    push_rows: int = PUSH_ROWS_MAX


@dataclass
class Report:
    """What a round did."""

    model: str
    positions: int = 0
    due: Counter[Why] = field(default_factory=Counter)
    unknown: int = 0
    silent: int = 0
    pushed: int = 0
    days: int = 0
    totals: int = 0
    approximate: bool = False
    buffers_changed: int = 0
    seconds: float = 0.0
    stopped: bool = False

    def __str__(self) -> str:
        due = ", ".join(f"{count} {why.value}" for why, count in self.due.items()) or "none due"
        said = [f"{self.pushed} of {self.positions} positions by {self.model} ({due})"]
        if self.pushed:
            said.append(f"{self.days} days and {self.totals} totals pushed, {self.buffers_changed} buffers moved")
        if self.approximate:
            said.append("totals made of the forecasts by day: the model has no head for them")
        if self.unknown:
            said.append(f"{self.unknown} positions unknown to the engine left out")
        if self.silent:
            said.append(f"{self.silent} positions without a known day left out")
        if self.stopped:
            said.append("stopped early")
        return "; ".join([*said, f"{self.seconds:.1f} s"])


def refresh(
    client: Client,
    compute: Compute,
    history: pa.Table,
    plan: Plan,
    stop: Callable[[], bool] = lambda: False,
    future: pa.Table | None = None,
) -> Report:
    """Forecasts what is due and pushes it.

    Args:
        client: the server.
        compute: the worker.
        history: as `serving.refresh.history` reads it.
        plan: what to do.
        stop: asked between two chunks; once true, what is done is pushed and the round ends.
        future: `item`, `location`, `timestamp` and covariates known ahead; None for none.

    Raises:
        ComputeAwayError: the worker is away; nothing was pushed.
        BespeakError: the server is away, or refuses; the parts that it took before are no longer due.
    """
    started = time.monotonic()
    now_ms = time.time_ns() // 1_000_000
    makers = compute.makers(plan.model)
    report = Report(makers[0])
    known = set(_places(client.positions_table()))
    last = last_days(history)
    report.positions = len(last)
    within = {place: day for place, day in last.items() if place in known}
    report.unknown = len(last) - len(within)
    due = dirty(within, kept_forecasts(client.forecasts()), makers, now_ms, plan.age_ms)
    report.due.update(due.values())
    made: list[Forecasts] = []
    places = sorted(due)
    rows = _rows_of(history, places)
    ahead = None if future is None else _rows_of(future, places)
    # A chunk is never divided, so it must fit into a part.
    size = max(1, min(plan.chunk, plan.push_rows // max(1, plan.horizon)))
    for first in range(0, len(places), size):
        if stop():
            report.stopped = True
            break
        chunk = range(first, min(first + size, len(places)))
        context = _context(history, rows, chunk, plan.context_days)
        planned = None if future is None or ahead is None else _context(future, ahead, chunk, None)
        totals = [days for days in TOTALS_DAYS if days <= plan.horizon]
        made.extend(compute.forecast(context, planned, plan.horizon, QUANTILES, totals, plan.model))
    if made:
        _push(client, made, places, plan.push_rows, now_ms, report)
    report.seconds = time.monotonic() - started
    return report


def _places(table: pa.Table) -> list[Place]:
    return list(zip(table["item"].to_pylist(), table["location"].to_pylist(), strict=True))


def _rows_of(table: pa.Table, places: Sequence[Place]) -> list[np.ndarray]:
    """Row numbers of each place, in the order of the table."""
    rows: dict[Place, list[int]] = {place: [] for place in places}
    for number, place in enumerate(_places(table)):
        if place in rows:
            rows[place].append(number)
    return [np.array(rows[place], np.int64) for place in places]


def _context(table: pa.Table, rows: list[np.ndarray], chunk: range, days: int | None) -> pa.Table:
    """The rows of some places under names of their own, which sort as the places do."""
    kept = [rows[number] if days is None else rows[number][-days:] for number in chunk]
    names = np.repeat([f"{number:09d}" for number in chunk], [len(each) for each in kept])
    picked = table.take(pa.array(np.concatenate(kept))).drop_columns(
        [name for name in ("item", "location", "item_id") if name in table.column_names]
    )
    return picked.add_column(0, "item_id", pa.array(names, pa.string()))


def _push(
    client: Client, made: list[Forecasts], places: Sequence[Place], rows_max: int, now_ms: int, report: Report
) -> None:
    makers = list(dict.fromkeys(each.made_by for each in made))
    report.model = ", ".join(makers)
    report.approximate = any(each.approximate for each in made)
    below = [level_name(level) for level in QUANTILES if level < TOTALS_FROM]
    for maker in makers:
        for part in _parts([each for each in made if each.made_by == maker], rows_max):
            days = _named(pa.concat_tables([each.days for each in part]), places).rename_columns({"timestamp": "day"})
            totals = _named(pa.concat_tables([each.totals for each in part]), places).drop_columns(below)
            report.silent += sum(len(pc.unique(each.days["item_id"])) for each in part) - len(set(_places(days)))
            if not days.num_rows:
                continue
            # What is due is told by the days, so they come last: should the server go away between the two, the next
            # round makes both again.
            followed = client.push_forecast_totals(totals, maker, now_ms)
            pushed = client.push_forecasts(days, maker, now_ms)
            report.pushed += pushed.positions
            report.days += pushed.rows
            report.totals += followed.rows
            report.buffers_changed += followed.buffers_changed


def _parts(made: Sequence[Forecasts], rows_max: int) -> Iterator[list[Forecasts]]:
    """What is pushed together: whole chunks, which are of whole positions. A position has no more totals than days."""
    part: list[Forecasts] = []
    rows = 0
    for each in made:
        if part and rows + each.days.num_rows > rows_max:
            yield part
            part, rows = [], 0
        part.append(each)
        rows += each.days.num_rows
    if part:
        yield part


def _named(table: pa.Table, places: Sequence[Place]) -> pa.Table:
    """Puts the names of positions in the place of the worker's ids; rows of which nothing is known are left out."""
    table = table.filter(pc.is_valid(table["mean"]))
    numbers = pc.cast(table["item_id"], pa.int64())
    items = pa.array([item for item, _ in places], pa.string())
    locations = pa.array([location for _, location in places], pa.string())
    named = table.drop_columns(["item_id"])
    named = named.add_column(0, "item", items.take(numbers.combine_chunks()))
    return named.add_column(1, "location", locations.take(numbers.combine_chunks()))
