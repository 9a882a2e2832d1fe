"""Climatology against values worked out by hand and against a plain loop."""

import numpy as np
import pyarrow as pa
import pytest

from models import Climatology, InputError
from models.climatology import SAMPLES_MIN, WINDOW_DAYS
from tests.models.tables import table


def predicted(context, horizon=7, quantiles=(0.1, 0.5, 0.9)):
    return Climatology().predict(context, None, horizon, quantiles)


def test_each_weekday_has_its_own_samples():
    # Eight weeks; on the weekday of day 1 after the end: 1..8, else always 5.
    values = [(week + 1.0) if day == 0 else 5.0 for week in range(8) for day in range(7)]
    table_ = predicted(table({"a": values}), 8, (0.25, 0.5, 0.75))
    first = table_.slice(0, 1).to_pylist()[0]
    # Positions p(n+1)-1 with n = 8: 1.25, 3.5, 5.75.
    assert (first["mean"], first["0.25"], first["0.5"], first["0.75"]) == (4.5, 2.25, 4.5, 6.75)
    assert table_["mean"].to_pylist()[1:7] == [5.0] * 6
    assert table_["mean"][7].as_py() == 4.5


def test_quantiles_beyond_the_samples_are_the_outermost():
    values = [float(week) for week in range(8) for _ in range(7)]
    row = predicted(table({"a": values}), 1, (0.01, 0.99)).to_pylist()[0]
    assert (row["0.01"], row["0.99"]) == (0.0, 7.0)


def test_stocked_out_days_are_no_samples():
    values = [10.0] * 49 + [0.0] * 7
    out = pa.array([0.0] * 49 + [0.4] * 7)
    assert predicted(table({"a": values}, stockout=out))["mean"].to_pylist() == [10.0] * 7


def test_an_item_always_stocked_out_falls_back_to_its_sales():
    values = [2.0] * 20
    assert predicted(table({"a": values}, stockout=pa.array([1.0] * 20)))["0.5"].to_pylist() == [2.0] * 7


def test_a_short_history_is_pooled_over_weekdays():
    assert predicted(table({"a": [1.0, 2.0, 3.0]}))["0.5"].to_pylist() == [2.0] * 7


def test_only_the_last_eight_weeks_count():
    values = [1000.0] * 300 + [1.0] * WINDOW_DAYS
    assert predicted(table({"a": values}))["mean"].to_pylist() == [1.0] * 7


def test_an_item_without_a_known_day_has_no_forecast():
    got = predicted(table({"a": [None] * 20, "b": [1.0] * 20}))
    assert got.filter(pa.compute.equal(got["item_id"], "a"))["0.5"].null_count == 7
    assert got.filter(pa.compute.equal(got["item_id"], "b"))["0.5"].null_count == 0


def by_loop(values, stockout, step, levels):
    """The definition in the module's docstring, one value at a time."""
    last = len(values) - 1
    window = range(max(0, last - WINDOW_DAYS + 1), last + 1)
    known = [d for d in window if not np.isnan(values[d])]
    in_stock = [d for d in known if stockout[d] == 0]
    same = [d for d in in_stock if (last + 1 + step - d) % 7 == 0]
    chosen = same if len(same) >= SAMPLES_MIN else in_stock or known
    samples = sorted(float(values[d]) for d in chosen)
    if not samples:
        return [np.nan] * (1 + len(levels))
    out = [sum(samples) / len(samples)]
    for level in levels:
        at = min(max(level * (len(samples) + 1) - 1, 0), len(samples) - 1)
        low = int(at)
        high = min(low + 1, len(samples) - 1)
        out.append(samples[low] + (samples[high] - samples[low]) * (at - low))
    return out


@pytest.mark.parametrize("seed", range(8))
def test_as_the_definition_says(seed):
    rng = np.random.default_rng(seed)
    levels = (0.05, 0.3, 0.5, 0.95)
    items, stock = {}, []
    for index in range(6):
        days = int(rng.integers(1, 120))
        values = rng.poisson(3, days).astype(float)
        values[rng.random(days) < rng.choice([0, 0.3, 0.95])] = np.nan
        items[f"i{index}"] = values
        stock.append(np.where(rng.random(days) < rng.choice([0, 0.5]), 0.5, 0.0))
    context = table(
        {k: [None if np.isnan(x) else x for x in v] for k, v in items.items()}, stockout=pa.array(np.concatenate(stock))
    )
    got = predicted(context, 10, levels)
    columns = ["mean", "0.05", "0.3", "0.5", "0.95"]
    values = np.column_stack([got[c].to_numpy() for c in columns]).reshape(6, 10, 5)
    for index, (series, out) in enumerate(zip(items.values(), stock, strict=True)):
        for step in range(10):
            np.testing.assert_allclose(values[index, step], by_loop(series, out, step, levels), rtol=1e-6)


@pytest.mark.parametrize(
    ("horizon", "quantiles", "message"),
    [
        (0, (0.5,), "horizon is 0"),
        (366, (0.5,), "horizon is 366"),
        (7, (), "0 quantile levels"),
        (7, (0.0,), "level 0.0"),
        (7, (0.5, 0.5), "0.5 follows 0.5"),
        (7, (float("nan"),), "level nan"),
    ],
)
def test_arguments_out_of_range_are_refused(weekly, horizon, quantiles, message):
    with pytest.raises(InputError, match=message):
        predicted(weekly, horizon, quantiles)
