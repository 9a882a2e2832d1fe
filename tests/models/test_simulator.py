"""Simulated demand: reproducible, and with the effects it claims."""

import numpy as np
import pytest

from models.simulator import simulate


@pytest.fixture(scope="module")
def made():
    return simulate(1500, 400, seed=11)


def test_the_same_seed_gives_the_same_arrays(made):
    again = simulate(1500, 400, seed=11)
    for name, values in vars(made).items():
        np.testing.assert_array_equal(values, getattr(again, name))
    assert not np.array_equal(made.demand, simulate(1500, 400, seed=12).demand)


def test_sales_are_demand_cut_by_stock_outs(made):
    sold = np.isfinite(made.sales)
    assert (made.sales[sold] <= made.demand[sold] + 1e-4).all()
    in_stock = sold & (made.stockout == 0)
    np.testing.assert_array_equal(made.sales[in_stock], made.demand[in_stock])
    out = sold & (made.stockout > 0)
    assert 0.02 < out.mean() < 0.15
    assert made.sales[out].sum() < 0.8 * made.demand[out].sum()


def test_demand_scatters_around_its_rate(made):
    assert made.demand.sum() == pytest.approx(made.rate.sum(), rel=0.05)
    assert (made.demand == 0).mean() > 0.3  # many slow items


def test_promotions_lower_the_price_and_raise_demand(made):
    promoted = made.promotion > 0
    assert (made.price[promoted] < 1).all()
    assert (made.price[~promoted] == 1).all()
    both = promoted.any(axis=1) & (made.rate.min(axis=1) > 0)
    lift = [made.rate[i][promoted[i]].mean() / made.rate[i][~promoted[i]].mean() for i in np.flatnonzero(both)]
    assert 1.2 < np.median(lift) < 6


def test_items_not_launched_have_no_sales_yet(made):
    late = np.isnan(made.sales[:, 0])
    assert 0.1 < late.mean() < 0.5
    assert (made.demand[late, 0] == 0).all()
    np.testing.assert_array_equal(np.isnan(made.sales).sum(axis=1), made.launch_day)


@pytest.fixture(scope="module")
def years():
    """Four years and a day, so that every day of the year has come and the first comes again."""
    return simulate(600, 4 * 365 + 2, seed=21)


def steady(made, rate):
    """Items that are sold throughout, and so many a day."""
    return np.flatnonzero((made.alive.min(axis=1) == 1) & (made.rate.mean(axis=1) > rate))


def test_the_season_comes_again_each_year_and_demand_follows_it(years):
    np.testing.assert_allclose(years.season[:, 1461], years.season[:, 0], atol=0.02)
    day = years.first_day[:, None] + np.arange(years.demand.shape[1])
    month = ((day % 365.25) / 365.25 * 12).astype(int)
    likeness, size = [], []
    for item in steady(years, 3.0):
        parts = [month[item] == number for number in range(12)]
        seen = np.log([years.demand[item][part].mean() + 1e-9 for part in parts])
        true = np.log([np.exp(years.season[item][part]).mean() for part in parts])
        seen, true = seen - seen.mean(), true - true.mean()
        if true.std() > 0.25:  # else four years of drift are larger
            likeness.append(np.corrcoef(seen, true)[0, 1])
            size.append((seen * true).sum() / (true * true).sum())
    assert len(likeness) >= 10
    assert np.median(likeness) > 0.75
    assert 0.75 < np.median(size) < 1.25


def test_demand_answers_to_the_price_as_the_elasticity_says(years):
    found, true = [], []
    for item in steady(years, 5.0):
        promoted = years.promotion[item] > 0
        prices, days = np.unique(years.price[item][promoted], return_counts=True)
        if days.sum() > 100 and len(prices) >= 5:
            sold = [
                np.log(years.demand[item][promoted & (years.price[item] == price)].mean() + 1e-9) for price in prices
            ]
            # Between promotions of one item only the price differs: its display is the intercept's.
            found.append(-np.polyfit(np.log(prices), sold, 1, w=np.sqrt(days))[0])
            true.append(years.elasticity[item])
    assert len(found) >= 30
    assert np.corrcoef(found, true)[0, 1] > 0.9
    slope, start = np.polyfit(true, found, 1)
    assert 0.85 < slope < 1.15
    assert abs(start) < 0.3


def test_an_item_at_its_end_sells_less_each_day_and_then_nothing(years):
    days = years.demand.shape[1]
    ends = years.end_day < days
    assert 0.04 < ends.mean() < 0.14
    followed = np.flatnonzero(ends & (years.end_day < days - 250) & (years.rate.mean(axis=1) > 0.5))
    assert len(followed) >= 8
    for item in followed:
        end = years.end_day[item]
        before, after = years.demand[item, end - 56 : end].mean(), years.demand[item, end + 200 :].mean()
        assert after < 0.05 * before
        assert (np.diff(years.alive[item, end : end + 200]) <= 0).all()
        assert years.alive[item, end + 200] < 0.01
        assert np.isfinite(years.sales[item, end:]).all(), "an item that ended is known to sell nothing"
    going = [years.demand[item, -200:].mean() / years.demand[item, :200].mean() for item in steady(years, 1.0)]
    assert 0.6 < np.median(going) < 1.6
