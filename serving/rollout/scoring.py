"""What is known about a candidate: its time, its errors, its loss, and what would change.

Truth is what later requests bring: a context row of an item for a day that
both versions have forecast. Days with a stock-out hide demand and are no truth.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.rollout.tables import Answered, item_codes
from serving.worker_ipc import TableError, read_table

#: Answers that latency is taken from, the last ones, and how many it takes to say something.
WINDOW_ANSWERS = 512
ANSWERS_MIN = 20
CALLS_MIN = 10
DAYS_MIN = 100
POSITIONS_MIN = 50
#: Forecasts that wait for their truth; the oldest are dropped.
PENDING_MAX = 100_000
#: Forecasts of one item from different days.
ORIGINS_MAX = 4


@dataclass
class _Pending:
    """One item's forecasts by both versions, and the days that have been scored."""

    first_day: int
    #: float32 (2, horizon, levels): active, candidate.
    quantiles: np.ndarray
    levels: np.ndarray
    scored: set[int] = field(default_factory=set)


class Scoreboard:
    """Thread-safe; one for each candidate and stage.

    Args:
        service_level, lead_days: at and for which the units to keep are compared.
    """

    def __init__(self, service_level: float, lead_days: int):
        self._service_level = service_level
        self._lead_days = lead_days
        self._lock = threading.Lock()
        self._times_ms: deque[float] = deque(maxlen=WINDOW_ANSWERS)
        self._pending: OrderedDict[tuple[str, int], _Pending] = OrderedDict()
        self._origins: dict[str, list[int]] = {}
        self._loss = np.zeros(2)
        self._sold = 0.0
        self._changed = 0
        self.answers = 0
        self.errors = 0
        self.days_scored = 0
        self.positions = 0

    def answered(self, seconds: float) -> None:
        """Counts an answer of the candidate."""
        with self._lock:
            self.answers += 1
            self._times_ms.append(seconds * 1e3)

    def failed(self) -> None:
        """Counts a call that the candidate did not answer, or not soundly."""
        with self._lock:
            self.answers += 1
            self.errors += 1

    def compare(self, active: Answered, candidate: Answered) -> None:
        """Takes both versions' forecasts of the same items, to be scored when truth comes."""
        before, after = (units_to_keep(one, self._service_level, self._lead_days) for one in (active, candidate))
        both = np.stack([active.quantiles, candidate.quantiles], axis=1).astype(np.float32)
        levels = np.asarray(active.levels)
        known = np.isfinite(both).all(axis=(1, 2, 3))
        with self._lock:
            comparable = np.isfinite(before) & np.isfinite(after)
            self.positions += int(comparable.sum())
            self._changed += int((before != after)[comparable].sum())
            for index in np.flatnonzero(known):
                self._remember(active.items[index], int(active.first_day[index]), both[index], levels)

    def _remember(self, item: str, first_day: int, quantiles: np.ndarray, levels: np.ndarray) -> None:
        key = (item, first_day)
        if key in self._pending:
            return
        origins = self._origins.setdefault(item, [])
        if len(origins) == ORIGINS_MAX:
            del self._pending[(item, origins.pop(0))]
        origins.append(first_day)
        self._pending[key] = _Pending(first_day, quantiles, levels)
        while len(self._pending) > PENDING_MAX:
            (old, day), _ = self._pending.popitem(last=False)
            self._origins[old].remove(day)
            if not self._origins[old]:
                del self._origins[old]

    def truth(self, context: bytes | pa.Buffer) -> None:
        """Scores what a request's context says about days that were forecast."""
        with self._lock:
            if not self._pending:
                return
            # Only rows that can be news: a context is mostly days long before.
            since = min(one.first_day for one in self._pending.values())
        try:
            items, days, sold = recent(context, since)
        except (TableError, pa.ArrowException):
            return  # the active version says what is wrong with it
        with self._lock:
            for item, day, units in zip(items, days.tolist(), sold.tolist(), strict=True):
                for first_day in self._origins.get(item, ()):
                    self._score(self._pending[(item, first_day)], day, units)

    def _score(self, pending: _Pending, day: int, units: float) -> None:
        step = day - pending.first_day
        if not 0 <= step < pending.quantiles.shape[1] or step in pending.scored:
            return
        pending.scored.add(step)
        over = units - pending.quantiles[:, step, :].astype(np.float64)
        loss = np.maximum(pending.levels * over, (pending.levels - 1.0) * over)
        self._loss += 2.0 * loss.mean(axis=1)
        self._sold += abs(units)
        self.days_scored += 1

    def numbers(self) -> dict[str, float | None]:
        """What conditions look at, by name; None for what is not known yet."""
        with self._lock:
            times = np.asarray(self._times_ms)
            active, candidate = self._loss.tolist()
            scored = self.days_scored >= DAYS_MIN and self._sold > 0.0
            compared = self.positions >= POSITIONS_MIN
            return {
                "p50_ms": float(np.percentile(times, 50)) if len(times) >= ANSWERS_MIN else None,
                "p99_ms": float(np.percentile(times, 99)) if len(times) >= ANSWERS_MIN else None,
                "error_rate": self.errors / self.answers if self.answers >= CALLS_MIN else None,
                "wql": candidate / self._sold if scored else None,
                "wql_active": active / self._sold if scored else None,
                "wql_ratio": (candidate / active if active > 0.0 else math.inf) if scored else None,
                "promises_changed": self._changed / self.positions if compared else None,
            }


def units_to_keep(answer: Answered, service_level: float, lead_days: int) -> np.ndarray:
    """Units that cover the demand of `lead_days` at the service level, whole.

    The sum of the means, plus the root of the summed squares of what the
    quantile lies above the mean: days taken as independent. The level is the
    first one forecast that is not below the service level, else the last.

    Returns:
        float64 of shape (items,); NaN where nothing was forecast.
    """
    levels = np.asarray(answer.levels)
    index = min(int(np.searchsorted(levels, service_level - 1e-9)), len(levels) - 1)
    days = slice(0, min(lead_days, answer.horizon))
    mean = answer.mean[:, days]
    above = np.maximum(answer.quantiles[:, days, index] - mean, 0.0)
    # A float's last digit is no unit.
    kept: np.ndarray = np.ceil(mean.sum(axis=1) + np.sqrt((above**2).sum(axis=1)) - 1e-6)
    return kept


def recent(context: bytes | pa.Buffer, since: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Items, days and sales of the in-stock rows from a day on.

    Raises:
        TableError, ArrowException: the table is no context.
    """
    table = read_table(context, "context")
    for name in ("timestamp", "target"):
        if name not in table.column_names:
            raise TableError(f"context has no column {name!r}")
    table = table.append_column("day", table["timestamp"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False))
    keep = pc.greater_equal(table["day"], pa.scalar(since, pa.int32()).cast(pa.date32()))
    sold = table["target"].cast(pa.float64(), safe=False)
    keep = pc.and_(keep, pc.fill_null(pc.is_finite(sold), False))
    if "stockout" in table.column_names:
        keep = pc.and_(keep, pc.less_equal(pc.fill_null(table["stockout"].cast(pa.float64()), 0.0), 0.0))
    rows = table.filter(keep)
    if rows.num_rows == 0:
        return [], np.empty(0, np.int64), np.empty(0)
    items = item_codes(rows, "context")
    days = rows["day"].cast(pa.int32()).to_numpy().astype(np.int64)
    return items.cast(pa.string()).to_pylist(), days, rows["target"].cast(pa.float64()).to_numpy()
