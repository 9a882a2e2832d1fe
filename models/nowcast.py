"""The rest of today's demand, from what was expected of the day and what has sold so far.

The definition that the engine's own nowcast (rust_core/demand) must reproduce,
and its score on hourly sales. docs/concepts/demand.md has the reasoning.

    python -m models.nowcast HOURLY.parquet    # a JSON line a prior and hour
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.climatology import SAMPLES_MIN, WINDOW_DAYS

HOURS = 24
# What a day, and a weekday, keeps of its weight when the next one is learned.
KEPT_A_DAY, KEPT_A_WEEK = 0.98, 0.9
# How much the common spread counts against own sums, in units times dispersion.
PLACE_PRIOR, ITEM_PRIOR, WEEKDAY_PRIOR = 300.0, 75.0, 100.0
# How much the expected pace counts against the pace seen, in units of dispersion.
COMMON_STRENGTH, ITEM_STRENGTH, OWN_STRENGTH = 20.0, 15.0, 30.0
SHARE_MIN = 1e-9


def pooled_dispersion(mean: np.ndarray, dispersion: np.ndarray) -> float:
    """Dispersion of all positions, each weighing as much as is expected of it; 1 where nothing is."""
    total = float(mean.sum())
    return float((mean * dispersion).sum()) / total if total > 0 else 1.0


def rest_of_day(
    item: np.ndarray,
    location: np.ndarray,
    mean: np.ndarray,
    dispersion: np.ndarray,
    elapsed: np.ndarray,
    rest: np.ndarray,
    sold: np.ndarray,
) -> np.ndarray:
    """Mean demand that is still to come today.

    Args:
        item: int of shape (positions,), numbers from 0.
        location: the same of locations.
        mean: units expected of the day before it began.
        dispersion: variance of a day's demand over its mean, at least 1.
        elapsed: share of the day's demand that has passed while the position was in stock.
        rest: share that is still to come.
        sold: units sold so far.

    Returns:
        float64 of shape (positions,), units.
    """
    pooled = pooled_dispersion(mean, dispersion)
    expected = mean * elapsed
    common = COMMON_STRENGTH * pooled
    expected = expected * (common + sold.sum()) / (common + expected.sum())
    expected = expected * _pace(location, sold, expected, common)
    carried = _pace(item, sold, expected, ITEM_STRENGTH * pooled)
    expected = expected * carried
    own = OWN_STRENGTH * dispersion
    return np.asarray(mean * carried * (own + sold) / (own + expected) * rest)


def _pace(group: np.ndarray, sold: np.ndarray, expected: np.ndarray, strength: float) -> np.ndarray:
    """Posterior mean of the pace of each position's group."""
    sums = np.bincount(group, sold), np.bincount(group, expected)
    return np.asarray(((strength + sums[0]) / (strength + sums[1]))[group])


@dataclass
class Profile:
    """How a day's demand spreads over its hours, learned from days that are over.

    Args:
        items: number of items.
        locations: number of locations.
    """

    items: int
    locations: int
    everything: np.ndarray = field(default_factory=lambda: np.full(HOURS, 1 / HOURS))
    weekdays: np.ndarray = field(default_factory=lambda: np.zeros((7, HOURS)))

    def __post_init__(self) -> None:
        """Starts without anything learned."""
        self.by_item = np.zeros((self.items, HOURS))
        self.by_location = np.zeros((self.locations, HOURS))

    def learn(self, day: int, item: np.ndarray, location: np.ndarray, sales: np.ndarray) -> None:
        """Learns a day from sales of shape (positions, 24), of positions that were in stock all day."""
        total = sales.sum(axis=0)
        self.everything = self.everything * KEPT_A_DAY + total
        self.weekdays[day % 7] = self.weekdays[day % 7] * KEPT_A_WEEK + total
        self.by_item *= KEPT_A_DAY
        self.by_location *= KEPT_A_DAY
        np.add.at(self.by_item, item, sales)
        np.add.at(self.by_location, location, sales)

    def shares(self, day: int, item: np.ndarray, location: np.ndarray, dispersion: float) -> np.ndarray:
        """Shares of the day's hours, shape (positions, 24); each row adds up to 1."""
        common = np.maximum(self.everything / self.everything.sum(), SHARE_MIN)
        weekday = _drawn(self.weekdays[day % 7], common, WEEKDAY_PRIOR * dispersion)
        places = _drawn(self.by_location, common, PLACE_PRIOR * dispersion)
        items = _drawn(self.by_item, common, ITEM_PRIOR * dispersion)
        shares = places[location] * (items / common)[item] * (weekday / common)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _drawn(own: np.ndarray, towards: np.ndarray, strength: float) -> np.ndarray:
    return (own + strength * towards) / (own.sum(axis=-1, keepdims=True) + strength)


@dataclass(frozen=True)
class Hourly:
    """Hourly sales of a panel: series x days x 24, in stock where `out` is False."""

    item: np.ndarray
    location: np.ndarray
    sales: np.ndarray
    out: np.ndarray
    #: Shape (series, days): no hour from 6 to 22 was out of stock.
    in_stock: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> Hourly:
        """Reads the hourly half of FreshRetailNet-50K.

        Args:
            path: Parquet of item_id ("store_product"), timestamp, sale_hundredths_by_hour (24 numbers) and
                stockout_hours_bitmask; every series has every day.
        """
        table = pq.read_table(path)
        table = table.set_column(table.schema.get_field_index("item_id"), "item_id", table["item_id"].cast("string"))
        table = table.sort_by([("item_id", "ascending"), ("timestamp", "ascending")])
        names = table["item_id"].to_pylist()
        series = sorted(set(names))
        shape = len(series), len(names) // len(series)
        sales = table["sale_hundredths_by_hour"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        mask = table["stockout_hours_bitmask"].to_numpy().reshape(shape)
        out = (mask[:, :, None] >> np.arange(HOURS)) & 1 == 1
        stores, products = zip(*(name.split("_") for name in series), strict=True)
        return cls(
            np.unique(products, return_inverse=True)[1],
            np.unique(stores, return_inverse=True)[1],
            sales.reshape(*shape, HOURS).astype(np.float64),
            out,
            ~out[:, :, 6:22].any(axis=2),
        )


def climatology_prior(totals: np.ndarray, day: int) -> np.ndarray:
    """Mean of `models.climatology` for `day` from the days before it; NaN in `totals` is a day out of stock."""
    window = totals[:, max(0, day - WINDOW_DAYS) : day]
    weekday = totals[:, [d for d in range(max(0, day - WINDOW_DAYS), day) if (day - d) % 7 == 0]]
    enough = np.isfinite(weekday).sum(axis=1) >= SAMPLES_MIN
    return np.where(enough, _mean(weekday), _mean(window))


def level_prior(totals: np.ndarray, day: int, kept: float = 0.84, weeks: float = 20.0) -> np.ndarray:
    """An exponentially weighted level times a weekday factor drawn to that of all series: the strongest prior here."""
    series = len(totals)
    level, weight = np.zeros(series), np.zeros(series)
    own, seen = np.zeros((series, 7)), np.zeros((series, 7))
    common = np.full((2, 7), 1e-9)
    mean, factor = np.full(series, np.nan), np.ones(series)
    for past in range(day + 1):
        weekday = past % 7
        mean = np.divide(level, weight, out=np.full(series, np.nan), where=weight > 0)
        base = np.nan_to_num(mean)
        ratio = common[0] / common[1]
        pulled = own[:, weekday] + weeks * (ratio / ratio.mean())[weekday] * base
        factor = np.where(base > 0, pulled / (seen[:, weekday] + weeks) / np.maximum(base, 1e-9), 1.0)
        if past == day:
            break
        known = np.isfinite(totals[:, past])
        sold = np.where(known, totals[:, past], 0.0)
        level = level * kept + sold / np.clip(np.where(factor > 0, factor, 1.0), 0.3, 3.0)
        weight = weight * kept + known
        own[:, weekday] += sold
        seen[:, weekday] += known
        if past:
            common *= 0.99
            common[:, weekday] += sold.sum(), base[known].sum()
    return np.asarray(mean * factor)


def _mean(samples: np.ndarray) -> np.ndarray:
    count = np.isfinite(samples).sum(axis=1)
    return np.divide(np.nansum(samples, axis=1), count, out=np.full(len(samples), np.nan), where=count > 0)


def dispersion_of(totals: np.ndarray, day: int) -> np.ndarray:
    """Variance over mean of the in-stock days of the window; 1 where there are fewer than two, and at least 1."""
    window = totals[:, max(0, day - WINDOW_DAYS) : day]
    count = np.isfinite(window).sum(axis=1)
    mean = _mean(window)
    squares = np.nansum((window - mean[:, None]) ** 2, axis=1)
    ratio = np.divide(squares, (count - 1) * mean, out=np.ones(len(window)), where=(count > 1) & (mean > 0))
    return np.maximum(ratio, 1.0)


Prior = Callable[[np.ndarray, int], np.ndarray]
PRIORS: dict[str, Prior] = {"climatology": climatology_prior, "level": level_prior}


def score(hourly: Hourly, prior: Prior, hour: int, days: Iterable[int]) -> dict[str, float]:
    """Error of the day's total at an hour against that of the same prior the evening before.

    Only days without a stock-out are scored. A profile knows the days up to the one before yesterday.

    Returns:
        `nowcast` and `day_ahead`, sums of absolute errors over sums of sales, and their `ratio`.
    """
    totals = np.where(hourly.in_stock, hourly.sales.sum(axis=2), np.nan)
    profile = Profile(hourly.item.max() + 1, hourly.location.max() + 1)
    sums = np.zeros(3)
    wanted = set(days)
    for day in range(max(wanted) + 1):
        if day >= 2:
            whole = hourly.in_stock[:, day - 2]
            profile.learn(day - 2, hourly.item[whole], hourly.location[whole], hourly.sales[whole, day - 2])
        if day not in wanted:
            continue
        mean = prior(totals, day)
        known = np.isfinite(mean)
        item, location, mean = hourly.item[known], hourly.location[known], mean[known]
        dispersion = dispersion_of(totals, day)[known]
        shares = profile.shares(day, item, location, pooled_dispersion(mean, dispersion))
        elapsed = (shares * ~hourly.out[known, day])[:, :hour].sum(axis=1)
        sold = hourly.sales[known, day, :hour].sum(axis=1)
        rest = rest_of_day(item, location, mean, dispersion, elapsed, shares[:, hour:].sum(axis=1), sold)
        truth = totals[known, day]
        scored = np.isfinite(truth)
        sums += [
            np.abs(sold + rest - truth)[scored].sum(),
            np.abs(mean - truth)[scored].sum(),
            truth[scored].sum(),
        ]
    return {"nowcast": sums[0] / sums[2], "day_ahead": sums[1] / sums[2], "ratio": sums[0] / sums[1]}


def main(path: str) -> None:
    """Prints the score of each prior over the last 28 days, at 9, 12, 15 and 18 h."""
    hourly = Hourly.read(path)
    days = hourly.sales.shape[1]
    for name, prior in PRIORS.items():
        for hour in (9, 12, 15, 18):
            found = score(hourly, prior, hour, range(days - 28, days))
            row = {"prior": name, "hour": hour} | {key: round(value, 4) for key, value in found.items()}
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
