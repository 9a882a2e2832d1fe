"""Conformal correction: right on average, harmless where nothing is wrong, exact at its edges."""

import numpy as np
import pytest

from models import InputError
from models.calibration import Calibration, fit, level_of, quantile_at

LEVELS = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
TOTAL_DAYS = (1, 7, 28)
TOTAL_LEVELS = (0.5, 0.9, 0.99)


def normal_quantiles(centre, spread, levels):
    from statistics import NormalDist

    z = np.array([NormalDist().inv_cdf(level) for level in levels])
    return np.maximum(centre[..., None] + spread * z, 0.0)


def windows(rng, spread, items=4000):
    """Demand around a known centre, and quantiles that take its spread for `spread` of the real one."""
    centre = rng.uniform(50.0, 200.0, items)
    daily = rng.normal(np.repeat(centre[:, None], 28, 1), 10.0)
    quantiles = normal_quantiles(np.repeat(centre[:, None], 28, 1), 10.0 * spread, LEVELS)
    totals = np.stack(
        [normal_quantiles(centre * days, 10.0 * spread * np.sqrt(days), TOTAL_LEVELS) for days in TOTAL_DAYS], axis=1
    )
    return daily, quantiles, totals


@pytest.mark.parametrize("spread", [0.5, 0.8, 1.0, 2.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_coverage_is_right_on_fresh_data_whatever_the_models_spread(spread, seed):
    rng = np.random.default_rng(seed)
    fitted = fit(
        *windows(rng, spread)[:2],
        LEVELS,
        windows(np.random.default_rng(seed), spread)[2],
        TOTAL_DAYS,
        TOTAL_LEVELS,
        "test",
    )
    daily, quantiles, totals = windows(rng, spread)
    corrected = fitted.of_days(quantiles)
    for column, level in enumerate(LEVELS[1:-1], 1):
        assert (daily <= corrected[..., column]).mean() == pytest.approx(level, abs=0.02), level
    sums = np.stack([daily[:, :days].sum(axis=1) for days in TOTAL_DAYS], axis=1)
    assert (sums <= fitted.of_totals(totals)[..., 1]).mean(axis=0) == pytest.approx(0.9, abs=0.02)


def test_right_quantiles_of_counts_with_many_zeros_stay_as_they_are():
    rng = np.random.default_rng(3)
    from math import exp, factorial

    rate = rng.choice([0.2, 0.7, 2.0], 6000)
    truth = rng.poisson(np.repeat(rate[:, None], 28, 1)).astype(float)
    below = np.stack([np.cumsum([exp(-r) * r**k / factorial(k) for k in range(15)]) for r in (0.2, 0.7, 2.0)])
    table = (below[:, :, None] < np.array(LEVELS)).sum(axis=1).astype(float)
    quantiles = np.repeat(table[np.searchsorted([0.2, 0.7, 2.0], rate)][:, None], 28, 1)
    fitted = fit(truth, quantiles, LEVELS, quantiles[:, :3, [3, 5, 6]], TOTAL_DAYS, TOTAL_LEVELS, "test")
    corrected = fitted.of_days(quantiles)
    for column, level in enumerate(LEVELS):
        under, upto = (truth < corrected[..., column] - 1e-9).mean(), (truth <= corrected[..., column] + 1e-9).mean()
        assert under - 0.03 <= level <= upto + 0.03, level


def test_the_level_of_a_truth_is_where_the_quantile_function_is_it():
    rng = np.random.default_rng(4)
    quantiles = np.array([[1.0, 2.0, 4.0]])
    levels = (0.25, 0.5, 0.9)
    for truth, level in ((0.5, 0.125), (1.5, 0.375), (3.0, 0.7)):
        assert level_of(np.array([truth]), quantiles, levels, rng)[0] == pytest.approx(level)
    beyond = level_of(np.array([5.0, 9.0, 900.0]), np.repeat(quantiles, 3, 0), levels, rng)
    assert (np.diff(beyond) > 0).all()
    assert beyond[0] > 0.9
    tied = level_of(np.zeros(4000), np.repeat([[0.0, 0.0, 3.0]], 4000, 0), levels, rng)
    assert tied.min() >= 0.0
    assert tied.max() <= 0.5
    assert tied.mean() == pytest.approx(0.25, abs=0.02)


def test_reading_a_level_undoes_finding_it():
    rng = np.random.default_rng(5)
    quantiles = np.sort(rng.gamma(2.0, 10.0, (200, len(LEVELS))), axis=1)
    asked = np.array([0.02, 0.3, 0.6, 0.95, 0.995, 0.999])
    units = quantile_at(quantiles, LEVELS, asked)
    assert (np.diff(units, axis=1) >= 0).all()
    for column, level in enumerate(asked):
        np.testing.assert_allclose(level_of(units[:, column], quantiles, LEVELS, rng), level, atol=1e-6)


def test_few_truths_change_nothing():
    rng = np.random.default_rng(6)
    daily, quantiles, totals = windows(rng, 0.3, items=3)
    fitted = fit(daily[:, :2], quantiles[:, :2], LEVELS, totals, TOTAL_DAYS, TOTAL_LEVELS, "test")
    np.testing.assert_allclose(fitted.of_days(quantiles), quantiles, rtol=1e-9)


def test_it_reads_back_the_same_and_refuses_what_it_did_not_write(tmp_path):
    daily, quantiles, totals = windows(np.random.default_rng(7), 0.5)
    fitted = fit(daily, quantiles, LEVELS, totals, TOTAL_DAYS, TOTAL_LEVELS, "three origins")
    fitted.save(tmp_path / "calibration.json")
    again = Calibration.load(tmp_path / "calibration.json")
    np.testing.assert_allclose(again.of_days(quantiles), fitted.of_days(quantiles), rtol=1e-3)
    assert again.fitted_on == "three origins"
    for damage in ("{}", "no json", (tmp_path / "calibration.json").read_text().replace("0.9", "x")):
        (tmp_path / "calibration.json").write_text(damage)
        with pytest.raises(InputError, match="is no calibration"):
            Calibration.load(tmp_path / "calibration.json")
