"""Scores against a plain loop, and against the outside scorer where it is at hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models import DEFAULT_QUANTILES, Climatology
from models.metrics import coverage, pinball, weighted_quantile_loss

SCORER = Path(__file__).resolve().parents[3] / "shared/tools/evaluate_forecast.py"


def test_pinball_by_hand():
    # 2 x 0.9 x (10 - 8) below, 2 x 0.1 x (12 - 10) above.
    got = pinball(np.array([10.0]), np.array([[8.0, 12.0]]), (0.9, 0.9))
    np.testing.assert_allclose(got, [[3.6, 0.4]])


def test_unknown_truth_is_left_out():
    truth = np.array([[1.0, np.nan]])
    quantiles = np.array([[[2.0], [50.0]]])
    assert weighted_quantile_loss(truth, quantiles, (0.5,)) == 1.0
    assert coverage(truth, np.array([[0.0, 0.0]]), np.array([[2.0, 2.0]])) == 1.0


def test_loss_as_defined(weekly):
    days = weekly.num_rows // 10
    target = weekly["target"].to_numpy().reshape(10, days)
    keep = np.tile(np.arange(days) < days - 14, 10)
    forecast = Climatology().predict(weekly.filter(pa.array(keep)), None, 14)
    quantiles = np.column_stack([forecast[f"{q:g}"].to_numpy() for q in DEFAULT_QUANTILES]).reshape(10, 14, 9)
    truth = target[:, -14:]
    total = 0.0
    for item in range(10):
        for day in range(14):
            for index, level in enumerate(DEFAULT_QUANTILES):
                error = truth[item, day] - quantiles[item, day, index]
                total += 2 * (level * error if error > 0 else (level - 1) * error)
    ours = weighted_quantile_loss(truth, quantiles, DEFAULT_QUANTILES)
    assert ours == pytest.approx(total / 9 / truth.sum())
    if SCORER.exists():
        spec = importlib.util.spec_from_file_location("scorer", SCORER)
        scorer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(scorer)
        theirs = scorer.evaluate(weekly.to_pandas(), forecast.to_pandas())
        assert theirs["rows"] == 140
        assert ours == pytest.approx(theirs["wql"])
        assert coverage(truth, quantiles[..., 0], quantiles[..., -1]) == pytest.approx(theirs["coverage_80"])
