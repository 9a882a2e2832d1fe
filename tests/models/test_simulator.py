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
