"""Naive, statistical and boosted forecasters, and ensembles of any."""

import numpy as np
import pyarrow as pa
import pytest

from models import Climatology, InputError
from models.baselines import packages
from models.baselines.ensemble import Ensemble, fit_weights
from models.baselines.lightgbm import BoostingPlan, LightGBMForecaster
from models.baselines.naive import SeasonalNaive
from models.baselines.statistical import AutoARIMA, AutoETS, filled
from models.catalogue import open_model, shipped
from models.evaluation import evaluate, origins
from tests.models.tables import table

LEVELS = (0.1, 0.5, 0.9)
SMALL = BoostingPlan(rounds_max=20, rows_in_leaf_min=5)
MAKERS = {
    "seasonal-naive": SeasonalNaive,
    "autoets": AutoETS,
    "autoarima": AutoARIMA,
    "lightgbm": lambda: LightGBMForecaster(plan=SMALL),
    "ensemble": lambda: Ensemble([Climatology(), SeasonalNaive()], [3, 1]),
}


@pytest.fixture(params=MAKERS)
def model(request):
    return MAKERS[request.param]()


def values(forecast):
    return np.column_stack([forecast[name].to_numpy() for name in forecast.column_names[2:]]).astype(float)


def test_odd_series_have_forecasts_within_the_protocol(model):
    rng = np.random.default_rng(3)
    context = table(
        {
            "constant": [4.0] * 60,
            "gaps": [None if day % 5 == 0 else float(rng.poisson(5)) for day in range(60)],
            "huge": (rng.poisson(5, 60) * 1e9).tolist(),
            "new": [3.0],
            "unknown": [None] * 30,
            "zero": [0.0] * 60,
        }
    )
    got = model.predict(context, None, 9, LEVELS)
    assert got.column_names == ["item_id", "timestamp", "mean", "0.1", "0.5", "0.9"]
    by_item = dict(zip(sorted(set(got["item_id"].to_pylist())), values(got).reshape(6, 9, 4), strict=True))
    assert np.isnan(by_item.pop("unknown")).all()
    for name, block in by_item.items():
        assert np.isfinite(block).all(), name
        assert (block >= 0).all(), name
        assert (np.diff(block[:, 1:], axis=1) >= 0).all(), name
    if model.name != "lightgbm":  # its trees serve all items, and here there are five
        assert by_item["constant"] == pytest.approx(4.0)
        assert by_item["zero"] == pytest.approx(0.0)


def test_order_of_rows_does_not_matter(model, weekly):
    shuffled = weekly.take(np.random.default_rng(0).permutation(weekly.num_rows))
    short = weekly.filter(pa.compute.less(weekly["item_id"], "sku-03"))
    shuffled = shuffled.filter(pa.compute.less(shuffled["item_id"], "sku-03"))
    np.testing.assert_allclose(
        values(model.predict(short, None, 5, LEVELS)), values(model.predict(shuffled, None, 5, LEVELS)), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["target"]), "no column 'target'"),
        (lambda t: t.set_column(2, "target", pa.array(["x"] * t.num_rows)), "make it a number"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "twice"),
    ],
)
def test_wrong_tables_are_refused(model, weekly, change, message):
    with pytest.raises(InputError, match=message):
        model.predict(change(weekly), None, 5, LEVELS)


@pytest.mark.parametrize("name", ["seasonal-naive", "autoets", "ensemble"])
def test_ten_times_the_sales_are_ten_times_the_forecast(name, weekly):
    model = MAKERS[name]()
    tenfold = weekly.set_column(2, "target", pa.compute.multiply(weekly["target"], 8.0))
    np.testing.assert_allclose(
        values(model.predict(tenfold, None, 7, LEVELS)), 8.0 * values(model.predict(weekly, None, 7, LEVELS)), rtol=1e-6
    )


def test_seasonal_naive_by_hand():
    # Three weeks; every day sells 1 more than a week before, but for one day of week two that ran out.
    sold = [float(day % 7 + 10 * week) for week in range(3) for day in range(7)]
    got = values(SeasonalNaive().predict(table({"a": sold}), None, 8, (0.5,)))
    assert got[:7, 0].tolist() == [20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0]
    assert got[7, 0] == 20.0
    assert got[0, 1] == 30.0  # every weekly difference is 10
    assert got[7, 1] == pytest.approx(20.0 + 10.0 * np.sqrt(2))


def test_seasonal_naive_takes_the_last_day_in_stock():
    out = pa.array([0.0] * 14 + [1.0] * 7)
    got = values(SeasonalNaive().predict(table({"a": [3.0] * 14 + [0.0] * 7}, stockout=out), None, 7, (0.5,)))
    assert got.tolist() == [[3.0, 3.0]] * 7


def test_statistical_models_see_unknown_days_as_their_weekday():
    series = np.tile(np.arange(7.0), 6)
    series[17] = np.nan
    assert filled(np.concatenate([[np.nan] * 3, series]))[17] == 3.0


def test_lightgbm_learns_a_promotion_and_repeats_itself():
    rng = np.random.default_rng(1)
    promoted = (rng.random((40, 98)) < 0.3).astype(float)
    sold = rng.poisson(4 + 16 * promoted)
    names = [f"i{index:02d}" for index in range(40)]
    past = table(
        {name: sold[index, :84].astype(float) for index, name in enumerate(names)},
        promotion=pa.array(promoted[:, :84].ravel()),
    )
    ahead = table({name: promoted[index, 84:] for index, name in enumerate(names)}, first_day=20_084)
    ahead = ahead.rename_columns(["item_id", "timestamp", "promotion"])
    model = LightGBMForecaster(plan=SMALL)
    got = model.predict(past, ahead, 14, LEVELS)
    median = got["0.5"].to_numpy().reshape(40, 14)
    assert median[promoted[:, 84:] == 1].mean() > 2 * median[promoted[:, 84:] == 0].mean()
    assert got.equals(LightGBMForecaster(plan=SMALL).predict(past, ahead, 14, LEVELS))


def test_one_huge_item_does_not_blind_the_trees_to_the_others():
    rng = np.random.default_rng(3)
    series = {"huge": (rng.poisson(5, 60) * 1e9).tolist()}
    for index in range(20):
        series[f"busy-{index:02d}"] = rng.poisson(5.0, 60).astype(float).tolist()
        series[f"constant-{index:02d}"] = [4.0] * 60
        series[f"zero-{index:02d}"] = [0.0] * 60
    model = LightGBMForecaster(plan=BoostingPlan(rounds_max=60, rows_in_leaf_min=5))
    mean = values(model.predict(table(series), None, 7, LEVELS))[:, 0].reshape(61, 7)
    busy, constant, huge, zero = np.split(mean, [20, 40, 41])
    assert busy.mean() == pytest.approx(5.0, rel=0.1)
    assert constant == pytest.approx(4.0, rel=0.1)
    assert huge.mean() == pytest.approx(5e9, rel=0.2)
    assert zero.max() < 0.4


def test_text_columns_are_features_when_asked_for(weekly):
    shop = pa.array(["north" if item < "sku-05" else "south" for item in weekly["item_id"].to_pylist()])
    with_shop = weekly.append_column("shop", shop)
    plain = LightGBMForecaster(plan=SMALL).predict(weekly, None, 5, LEVELS)
    assert plain.equals(LightGBMForecaster(plan=SMALL).predict(with_shop, None, 5, LEVELS))
    asked = LightGBMForecaster(plan=SMALL, categories=True)
    assert list(asked.fit(with_shop, None, 5, LEVELS).fitted.categories) == ["shop"]
    assert asked.predict(with_shop, None, 5, LEVELS).num_rows == 50


def test_lightgbm_trained_before_refuses_what_it_was_not_trained_for(weekly):
    model = LightGBMForecaster(plan=SMALL).fit(weekly, None, 7, LEVELS)
    assert model.predict(weekly, None, 5, LEVELS).num_rows == 50
    for horizon, levels in ((8, LEVELS), (5, (0.25,))):
        with pytest.raises(InputError, match="fit it again"):
            model.predict(weekly, None, horizon, levels)


def test_dropping_stocked_out_days_forecasts_demand_and_keeping_them_sales():
    rng = np.random.default_rng(5)
    out = (rng.random((40, 90)) < 0.4).astype(float)
    sold = np.where(out > 0, 0.0, 10.0)
    context = table({f"i{index:02d}": row for index, row in enumerate(sold)}, stockout=pa.array(out.ravel()))
    mean = {
        kind: values(LightGBMForecaster(kind, plan=SMALL).predict(context, None, 7, LEVELS))[:, 0].mean()
        for kind in ("drop", "keep")
    }
    assert mean["drop"] == pytest.approx(10.0, rel=0.02)
    assert mean["keep"] == pytest.approx(6.0, rel=0.15)


def test_an_ensemble_averages_quantiles(weekly):
    parts = [values(model.predict(weekly, None, 7, LEVELS)) for model in (Climatology(), SeasonalNaive())]
    got = values(Ensemble([Climatology(), SeasonalNaive()], [3, 1]).predict(weekly, None, 7, LEVELS))
    np.testing.assert_allclose(got, 0.75 * parts[0] + 0.25 * parts[1])


def test_fitted_weights_are_no_worse_than_either_member(weekly):
    cuts = origins(weekly, 14, 2, 14)
    members = [Climatology(), SeasonalNaive()]
    weights = fit_weights(members, cuts)
    assert weights.sum() == pytest.approx(1.0)
    mixed = evaluate(Ensemble(members, weights), cuts).wql()
    assert mixed <= min(evaluate(member, cuts).wql() for member in members) + 1e-9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ensemble:climatology=0.5,seasonal-naive", "every member a weight"),
        ("ensemble:climatology=x", "with a number"),
        ("ensemble:climatology=0", "not all 0"),
        ("ensemble:climatology,climatology", "name each once"),
        ("ensemble:nothing=1", "no model 'nothing'"),
    ],
)
def test_names_of_ensembles_are_checked(name, message):
    with pytest.raises(InputError, match=message):
        open_model(name)


def test_every_baseline_opens_by_name(weekly):
    for name in ("seasonal-naive", "autoets", "autoarima", "lightgbm", "lightgbm-keep"):
        assert name in shipped()
        assert open_model(name).name == name
    fitted = open_model("ensemble:climatology,seasonal-naive").predict(weekly, None, 7)
    assert fitted.num_rows == 70


def test_an_absent_package_is_named():
    with pytest.raises(InputError, match=r"package no_such_package .*requirements/challengers\.txt"):
        packages.challenger("no_such_package")
