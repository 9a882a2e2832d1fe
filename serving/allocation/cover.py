"""What positions have and will be asked for: stock against quantiles of total demand."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NORMAL = NormalDist()
DAYS_MAX = 366
#: Days in a key of position and horizon.
KEY = 1_000


class RebalancingError(ValueError):
    """A table cannot be used; the message says which column or value and what to do."""


@dataclass(frozen=True)
class Cover:
    """Positions with a forecast, sorted by item and location."""

    item: pa.Array
    location: pa.Array
    #: int64 (positions,): units that are not spoken for, buffers included, at most what lies there.
    stock: np.ndarray
    #: float64 (positions,): expected demand over the days of cover.
    mean: np.ndarray
    #: float64 (levels,), ascending.
    levels: np.ndarray
    #: float64 (positions, levels): never falling.
    quantiles: np.ndarray
    #: Positions without a forecast, which are left alone.
    unknown: int

    def at(self, level: float) -> np.ndarray:
        """Quantile of demand at a level, float64 (positions,).

        Linear in the normal score between two levels and beyond the highest; below the lowest it is that one's. So are
        buffers worked out (docs/concepts/buffers.md).
        """
        scores = np.array([NORMAL.inv_cdf(each) for each in self.levels])
        score = NORMAL.inv_cdf(level)
        if len(scores) == 1 or score <= scores[0]:
            return np.asarray(self.quantiles[:, 0])
        above = int(np.clip(np.searchsorted(scores, score), 1, len(scores) - 1))
        share = (score - scores[above - 1]) / (scores[above] - scores[above - 1])
        low, high = self.quantiles[:, above - 1], self.quantiles[:, above]
        return np.asarray(low + share * (high - low))


def cover_of(positions: pa.Table, totals: pa.Table, days: int) -> Cover:
    """Joins positions and forecasts of totals.

    Args:
        positions: item, location, unrestricted, buffer, available, as the server's table of that name has them.
        totals: item, location, horizon_days, mean, and a column a level; a level may be null.
        days: of demand that is to be covered.

    Raises:
        RebalancingError: a column is missing, or a number is none.
    """
    if not 1 <= days <= DAYS_MAX:
        raise RebalancingError(f"cover of {days} days: name 1 to {DAYS_MAX}")
    have, stock = _stock(positions)
    names = sorted((name for name in totals.column_names if _is_level(name)), key=float)
    _require(totals, ("item", "location", "horizon_days", "mean"), "forecast_totals")
    if not names:
        raise RebalancingError("forecast_totals has no column of a quantile, such as 0.9: push totals with quantiles")
    keys = pc.binary_join_element_wise(*_pair(totals), "\x00")
    place = pc.fill_null(pc.index_in(keys, value_set=have), -1).to_numpy().astype(np.int64)
    horizon = totals["horizon_days"].cast(pa.int64()).to_numpy()
    kept = np.flatnonzero(place >= 0)
    kept = kept[np.argsort(place[kept] * KEY + horizon[kept], kind="stable")]
    values = np.column_stack([totals[name].cast(pa.float64()).to_numpy()[kept] for name in ("mean", *names)])
    known, mean, quantiles = _over(days, place[kept], horizon[kept], values)
    pairs = [text.split("\x00") for text in have.take(pa.array(known)).to_pylist()]
    return Cover(
        item=pa.array([pair[0] for pair in pairs], pa.string()),
        location=pa.array([pair[1] for pair in pairs], pa.string()),
        stock=stock[known],
        mean=mean,
        levels=np.array([float(name) for name in names]),
        quantiles=quantiles,
        unknown=len(have) - len(known),
    )


def _stock(positions: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Names of the positions, sorted, and what of each is not spoken for."""
    _require(positions, ("item", "location", "unrestricted", "buffer", "available"), "positions")
    names = pc.binary_join_element_wise(*_pair(positions), "\x00").combine_chunks()
    order = pc.sort_indices(names)
    lying, buffer, free = (
        pc.fill_null(positions[name].cast(pa.int64()), 0).to_numpy()[order.to_numpy()]
        for name in ("unrestricted", "buffer", "available")
    )
    names = names.take(order)
    if len(pc.unique(names)) != len(names):
        raise RebalancingError("positions has a position twice: give each item and location one row")
    return names, np.maximum(0, np.minimum(lying, free + buffer))


def _over(
    days: int, place: np.ndarray, horizon: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and quantiles over so many days of each position that has any; rows sorted by place and horizon.

    Between two horizons, and beyond the last, the mean is linear in the days, and the distance of a quantile from it
    linear in their square root, which is exact for independent days (docs/concepts/buffers.md).
    """
    known, first = np.unique(place, return_index=True)
    last = np.append(first[1:], len(place)) - 1
    right = np.clip(np.searchsorted(place * KEY + horizon, known * KEY + days), first, last)
    left = np.maximum(right - 1, first)
    left_mean, left_far, left_days = _parts(values, horizon, left)
    right_mean, right_far, right_days = _parts(values, horizon, right)
    # With one horizon alone, or before the first, the other end is no demand in no days.
    alone = left == right
    left_mean, left_far, left_days = (
        np.where(alone.reshape((-1,) + (1,) * (each.ndim - 1)), 0, each) for each in (left_mean, left_far, left_days)
    )
    share = (days - left_days) / (right_days - left_days)
    root = (np.sqrt(days) - np.sqrt(left_days)) / (np.sqrt(right_days) - np.sqrt(left_days))
    mean = np.maximum(0, left_mean + share * (right_mean - left_mean))
    far = left_far + root[:, None] * (right_far - left_far)
    return known, mean, np.maximum.accumulate(np.maximum(0, mean[:, None] + far), axis=1)


def _parts(values: np.ndarray, horizon: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, distances of the quantiles from it, and days of some rows; an unknown level is as the one below it."""
    mean, quantiles = values[rows, 0], values[rows, 1:].copy()
    quantiles[:, 0] = np.where(np.isnan(quantiles[:, 0]), mean, quantiles[:, 0])
    quantiles = np.fmax.accumulate(quantiles, axis=1)
    if np.isnan(mean).any():
        raise RebalancingError("forecast_totals has a mean that is null: push a number")
    return mean, quantiles - mean[:, None], horizon[rows].astype(float)


def _pair(table: pa.Table) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    return table["item"].cast(pa.string()), table["location"].cast(pa.string())


def _require(table: pa.Table, names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise RebalancingError(f"{what} has no column {', '.join(missing)}: it needs {', '.join(names)}")


def _is_level(name: str) -> bool:
    try:
        return 0 < float(name) < 1
    except ValueError:
        return False
