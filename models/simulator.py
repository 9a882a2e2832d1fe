"""A seeded simulator of daily retail demand whose truth is known.

Each series is a Poisson, negative-binomial or hurdle count around a rate made
of level, weekday, season, trend, price, promotion and holiday effects. Sales
are what demand left of the stock: on stock-out days they are cut, and the true
demand is kept beside them. The same seed gives the same arrays on every run
with the same numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

YEAR_DAYS = 365.25
#: Dates drawn for the first simulated day: 2015-01-01 to 2026-12-31.
FIRST_DAY_RANGE = (16436, 20819)
GROUP_ITEMS_MAX = 16


@dataclass(frozen=True)
class Simulated:
    """Arrays of shape (items, days) unless said."""

    #: First simulated day as days since 1970-01-01, int64, shape (items,).
    first_day: np.ndarray
    #: Units wanted, float32.
    demand: np.ndarray
    #: Units sold, float32: demand cut by stock-outs. NaN before the launch of an item.
    sales: np.ndarray
    #: Share of the day without stock, float32.
    stockout: np.ndarray
    #: Price over the item's usual price, float32, 1 when not discounted.
    price: np.ndarray
    #: The same over the list price: here list and usual price are one.
    price_ratio: np.ndarray
    #: 1 on promotion days, else 0, float32.
    promotion: np.ndarray
    #: 1 on public holidays, else 0, float32.
    holiday: np.ndarray
    #: Degrees Celsius, float32.
    temperature: np.ndarray
    #: Millimetres a day, float32.
    precipitation: np.ndarray
    #: Expected demand of the day, float32: what a perfect forecaster would call the mean.
    rate: np.ndarray
    #: Items with the same number share a calendar, weather and part of their season,
    #: week and drift, int64, shape (items,), ascending from 0.
    group: np.ndarray
    #: What the time of the year and of the month adds to the logarithm of the rate, float32.
    season: np.ndarray
    #: Percent more demand for a percent less price, float32, shape (items,).
    elasticity: np.ndarray
    #: Share of the rate that there is in the item's life: 0 before its launch, rising to 1 after it, falling to 0 at
    #: its end, float32.
    alive: np.ndarray
    #: First day that it is sold and first day that it is on its way out, int64, shape (items,); 0 and `days` where
    #: that lies outside.
    launch_day: np.ndarray
    end_day: np.ndarray


def simulate(items: int, days: int, seed: int) -> Simulated:
    """Simulates items, alone and in groups, over the same number of days."""
    rng = np.random.default_rng(seed)
    group, lead = _groups(rng, items)
    alike = rng.random(items)[lead][:, None]  # how much of its ways an item has from its group

    def shared(values: np.ndarray) -> np.ndarray:
        return alike * values[lead] + (1.0 - alike) * values

    first_day = rng.integers(*FIRST_DAY_RANGE, size=items)[lead]
    day = first_day[:, None] + np.arange(days)
    level = np.exp(rng.uniform(np.log(0.04), np.log(60.0), items))
    weekday = shared(_weekday(rng, items, day))
    season = shared(_season(rng, items, day))
    drift = shared(_drift(rng, items, days))
    price, promotion, price_effect, elasticity = _prices(rng, items, days)
    holiday, holiday_effect = _holidays(rng, lead, day)
    temperature, precipitation, weather_effect = _weather(rng, lead, day)
    log_rate = np.log(level)[:, None] + weekday + season + drift + price_effect + holiday_effect + weather_effect
    rate = np.exp(np.clip(log_rate, -8.0, 9.0))
    alive, launch_day, end_day = _life(rng, items, days)
    launched = np.arange(days) >= launch_day[:, None]
    rate = rate * alive

    demand = _counts(rng, rate)
    stockout, sales = _stockouts(rng, demand)
    decimals = rng.random(items) < 0.25  # weighed goods and normalised units
    unit = np.where(decimals, np.exp(rng.normal(-1.0, 0.7, items)), 1.0)[:, None]
    return Simulated(
        first_day.astype(np.int64),
        (demand * unit).astype(np.float32),
        np.where(launched, sales * unit, np.nan).astype(np.float32),
        stockout.astype(np.float32),
        price.astype(np.float32),
        price.astype(np.float32),
        promotion.astype(np.float32),
        holiday.astype(np.float32),
        temperature.astype(np.float32),
        precipitation.astype(np.float32),
        (rate * unit).astype(np.float32),
        group,
        season.astype(np.float32),
        elasticity.astype(np.float32),
        alive.astype(np.float32),
        launch_day,
        end_day,
    )


def _groups(rng: np.random.Generator, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Each item's group, and the group's first item: half of the groups are of one."""
    size = np.where(rng.random(items) < 0.5, 1, rng.integers(2, GROUP_ITEMS_MAX + 1, items))
    starts = np.cumsum(size) - size
    starts = starts[starts < items]
    group = np.searchsorted(starts, np.arange(items), side="right") - 1
    return group.astype(np.int64), starts[group]


def _weather(rng: np.random.Generator, lead: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Temperature, precipitation and what they do to an item, often nothing."""
    items, days = len(day), len(day[0])
    angle = 2.0 * np.pi * (day % YEAR_DAYS) / YEAR_DAYS
    swing = rng.uniform(0.0, 14.0, (items, 1))
    usual = rng.uniform(5.0, 25.0, (items, 1)) - swing * np.cos(angle - rng.uniform(-0.5, 0.5, (items, 1)))
    off = _autoregressive(rng, items, days, rng.uniform(0.6, 0.9, items), rng.uniform(0.8, 2.5, items))
    wet = rng.random((items, days)) < rng.uniform(0.05, 0.6, (items, 1))
    rain = np.where(wet, rng.gamma(0.8, 8.0, (items, days)), 0.0)
    usual, off, rain = usual[lead], off[lead], rain[lead]
    touched = rng.random((items, 1)) < 0.5
    effect = rng.normal(0.0, 0.02, (items, 1)) * off + rng.normal(-0.03, 0.08, (items, 1)) * np.log1p(rain)
    return usual + off, rain, np.where(touched, effect, 0.0)


def _weekday(rng: np.random.Generator, items: int, day: np.ndarray) -> np.ndarray:
    """Log effect of the weekday: an item's own pattern, sometimes closed on one day."""
    strength = rng.gamma(1.5, 0.17, items)
    pattern = rng.normal(0.0, 1.0, (items, 7))
    weekend = np.array([0.0, 0.0, 0.0, 0.1, 0.5, 1.0, 0.8])
    pattern = 0.6 * pattern + rng.normal(0.6, 0.8, items)[:, None] * weekend
    pattern = (pattern - pattern.mean(axis=1, keepdims=True)) * strength[:, None]
    closed = rng.random(items) < 0.06
    pattern[closed, rng.integers(0, 7, items)[closed]] = -6.0
    # 1970-01-01 was a Thursday; weekday 0 is Monday.
    return np.take_along_axis(pattern, (day + 3) % 7, axis=1)


def _season(rng: np.random.Generator, items: int, day: np.ndarray) -> np.ndarray:
    """Log effect of the time of year: two harmonics, and for some items a short season."""
    angle = 2.0 * np.pi * (day % YEAR_DAYS) / YEAR_DAYS
    size = rng.gamma(1.2, 0.14, (2, items, 1))
    phase = rng.uniform(0.0, 2.0 * np.pi, (2, items, 1))
    wave = size[0] * np.sin(angle + phase[0]) + 0.5 * size[1] * np.sin(2.0 * angle + phase[1])
    peaked = rng.random((items, 1)) < 0.1
    bump = 1.8 * np.exp((np.cos(angle - rng.uniform(0.0, 2.0 * np.pi, (items, 1))) - 1.0) * 12.0)
    # The month's pay days.
    month = 0.12 * rng.random((items, 1)) * np.cos(2.0 * np.pi * day / 30.44)
    return wave + np.where(peaked, bump, 0.0) + month


def _drift(rng: np.random.Generator, items: int, days: int) -> np.ndarray:
    """Log level over time: a trend, a mean-reverting walk and a few lasting shifts."""
    trend = rng.normal(0.0, 0.35, items)[:, None] * np.linspace(-0.5, 0.5, days)
    walk = _autoregressive(rng, items, days, rng.uniform(0.97, 0.999, items), rng.gamma(1.2, 0.022, items))
    noise = _autoregressive(rng, items, days, rng.uniform(0.0, 0.7, items), rng.gamma(1.3, 0.12, items))
    shifts = rng.normal(0.0, 0.5, (items, days)) * (rng.random((items, days)) < 0.5 / 365.0)
    return trend + walk + noise + np.cumsum(shifts, axis=1)


def _autoregressive(
    rng: np.random.Generator, items: int, days: int, memory: np.ndarray, size: np.ndarray
) -> np.ndarray:
    shock = rng.normal(0.0, 1.0, (days, items)) * size
    out = np.empty((days, items))
    state = np.zeros(items)
    for step in range(days):
        state = memory * state + shock[step]
        out[step] = state
    return out.T


def _prices(rng: np.random.Generator, items: int, days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Price ratio, promotion flag and their log effect, with a dip after each promotion; and the elasticity."""
    per_year = rng.choice([0.0, 3.0, 10.0, 20.0], items, p=[0.35, 0.3, 0.25, 0.1])
    price = np.ones((items, days))
    promotion = np.zeros((items, days))
    dip = np.zeros((items, days))
    starts = rng.random((items, days)) < per_year[:, None] / 365.0
    for item, start in zip(*np.nonzero(starts), strict=True):
        length = int(rng.integers(2, 15))
        depth = rng.choice([0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
        price[item, start : start + length] = 1.0 - depth
        promotion[item, start : start + length] = 1.0
        dip[item, start + length : start + 2 * length] = depth
    dip *= 1.0 - promotion
    elasticity = rng.gamma(1.3, 1.2, items)[:, None]
    display = rng.gamma(0.8, 0.25, items)[:, None]
    effect = -elasticity * np.log(price) + display * promotion - 0.5 * rng.random((items, 1)) * dip
    return price, promotion, effect, elasticity[:, 0]


def _holidays(rng: np.random.Generator, lead: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Public holidays of each group's own country, with build-up before them."""
    items = len(lead)
    dates = rng.integers(0, 365, (items, 9))[lead]
    of_year = (day % YEAR_DAYS).astype(np.int64)
    flag = (of_year[:, :, None] == dates[:, None, :]).any(axis=2).astype(float)
    ahead = np.zeros_like(flag)
    for before in (1, 2, 3):
        ahead[:, :-before] = np.maximum(ahead[:, :-before], flag[:, before:] * (1.0 - 0.25 * before))
    effect = rng.normal(0.1, 0.5, (items, 1)) * flag + rng.gamma(1.0, 0.2, (items, 1)) * ahead
    return flag, effect


def _life(rng: np.random.Generator, items: int, days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the rate that is alive, and the days of launch and of the end's begin."""
    step = np.arange(days)
    launch = np.where(rng.random(items) < 0.3, rng.integers(0, days, items), -1)[:, None]
    ramp = rng.uniform(1.0, 40.0, (items, 1))
    alive = np.where(launch < 0, 1.0, np.clip((step - launch + 1) / ramp, 0.0, 1.0))
    end = np.where(rng.random(items) < 0.08, rng.integers(days // 3, days, items), 10 * days)[:, None]
    alive = alive * np.exp(-np.clip(step - end, 0, None) / rng.uniform(1.0, 30.0, (items, 1)))
    return alive, np.maximum(launch[:, 0], 0), np.minimum(end[:, 0], days)


def _counts(rng: np.random.Generator, rate: np.ndarray) -> np.ndarray:
    """Units wanted: Poisson, negative binomial, or buyers who each take several units."""
    items = len(rate)
    kind = rng.choice(3, items, p=[0.25, 0.5, 0.25])
    shape = np.exp(rng.uniform(np.log(0.5), np.log(20.0), (items, 1)))
    mixed = rate * rng.gamma(shape, 1.0 / shape, rate.shape)
    batch = np.exp(rng.uniform(0.0, np.log(12.0), (items, 1)))
    buyers = rng.poisson(np.where(kind[:, None] == 2, rate / batch, 0.0))
    # Each buyer takes a geometric number of units with mean `batch`.
    extra = rng.negative_binomial(np.maximum(buyers, 1), 1.0 / batch)
    lumpy = np.where(buyers > 0, buyers + extra, 0)
    smooth = rng.poisson(np.where(kind[:, None] == 0, rate, mixed))
    return np.where(kind[:, None] == 2, lumpy, smooth).astype(float)


def _stockouts(rng: np.random.Generator, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of each day without stock, and what could be sold in the rest of it."""
    items, days = demand.shape
    chance = rng.choice([0.0, 0.01, 0.05, 0.15, 0.35], items, p=[0.4, 0.25, 0.15, 0.12, 0.08])[:, None]
    # A stock-out is likelier on a day of high demand, and may last some days.
    busy = demand > np.quantile(demand, 0.8, axis=1, keepdims=True)
    begins = rng.random((items, days)) < chance * np.where(busy, 1.8, 0.6)
    share = np.where(begins, rng.beta(1.2, 1.5, (items, days)), 0.0)
    for lasting in (1, 2, 3):
        goes_on = begins[:, :-lasting] & (rng.random((items, days - lasting)) < 0.25 / lasting)
        share[:, lasting:] = np.maximum(share[:, lasting:], goes_on * 1.0)
    sold = rng.binomial(demand.astype(np.int64), 1.0 - share)
    return share, sold.astype(float)
