"""Rolling origins: nothing of the future leaks, and the scores are the known ones."""

import importlib.util
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from models import Climatology, InputError
from models.__main__ import app
from models.catalogue import open_model
from models.commands.rows import read_rows
from models.evaluation import evaluate, origins, ratio
from models.protocol import forecast_schema
from models.svg import ticks
from tests.models.tables import FIRST_DAY, table
from tests.models.test_metrics import SCORER


class Perfect:
    """Knows the truth; fails when it is shown it."""

    name, version = "perfect", "1"

    def __init__(self, truth):
        self.truth = truth

    def predict(self, context, future, horizon, quantiles):
        last = pa.compute.max(context["timestamp"])
        assert future is None or "target" not in future.column_names
        days = self.truth["timestamp"]
        ahead = self.truth.filter(
            pa.compute.and_(
                pa.compute.greater(days, last),
                pa.compute.is_in(self.truth["item_id"], context["item_id"].combine_chunks()),
            )
        )
        offset = pa.compute.subtract(ahead["timestamp"].cast(pa.int32()), last.cast(pa.int32()))
        ahead = ahead.filter(pa.compute.less_equal(offset, horizon)).sort_by(
            [("item_id", "ascending"), ("timestamp", "ascending")]
        )
        columns = [ahead["item_id"], ahead["timestamp"]] + [ahead["target"]] * (1 + len(quantiles))
        return pa.Table.from_arrays(columns, schema=forecast_schema(quantiles))


def test_a_perfect_forecast_scores_zero(weekly):
    scores = evaluate(Perfect(weekly), origins(weekly, 14, 3, 7)).summary()
    assert (scores["wql"], scores["mase"], scores["bias_mean"]) == (0, 0, 0)
    assert scores["rows"] == 3 * 14 * 10
    assert scores["coverage_80"] == 1


def test_origins_are_where_they_should_be(weekly):
    cuts = origins(weekly, 14, 3, 7)
    assert [cut.day for cut in cuts] == [FIRST_DAY + 89 - 14 - 14, FIRST_DAY + 89 - 14 - 7, FIRST_DAY + 89 - 14]
    for cut in cuts:
        assert pa.compute.max(cut.context["timestamp"].cast(pa.int32())).as_py() == cut.day
        assert np.isfinite(cut.truth).all()


def test_scores_are_the_outside_scorers(weekly):
    (cut,) = origins(weekly, 14, 1, 1)
    ours = evaluate(Climatology(), [cut]).summary()
    forecast = Climatology().predict(cut.context, None, 14)
    if SCORER.exists():
        spec = importlib.util.spec_from_file_location("scorer", SCORER)
        scorer = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(scorer)
        theirs = scorer.evaluate(weekly.to_pandas(), forecast.to_pandas(), by_horizon=True)
        for name in ("rows", "wql", "msql", "mase", "bias_mean", "coverage_80"):
            assert ours[name] == pytest.approx(theirs[name]), name
        assert ours["calibration"] == theirs["calibration"]
        np.testing.assert_allclose(ours["wql_by_step"], list(theirs["wql_by_step"].values()), atol=1e-4)
    assert ours["wql"] > 0


def test_an_item_that_ended_early_is_forecast_from_the_origin():
    data = table({"a": [2.0] * 60, "b": [3.0] * 30})
    (cut,) = origins(data, 10, 1, 1)
    forecast = Climatology().predict(cut.context, None, 10)
    assert set(forecast["timestamp"].cast(pa.int32()).to_pylist()) == set(range(cut.day + 1, cut.day + 11))
    assert np.isnan(cut.truth[1]).all()
    assert evaluate(Climatology(), [cut]).summary()["rows"] == 10


def test_stocked_out_days_can_be_left_out():
    out = pa.array([0.0] * 55 + [1.0] * 5)
    data = table({"a": [4.0] * 55 + [0.0] * 5}, stockout=out)
    cuts = origins(data, 10, 1, 1)
    assert evaluate(Climatology(), cuts).summary()["wql"] > 0.5
    in_stock = evaluate(Climatology(), cuts, in_stock_only=True).summary()
    assert (in_stock["wql"], in_stock["rows"]) == (0, 5)


def test_the_ratio_of_a_model_to_itself_is_one_without_doubt(weekly):
    scores = evaluate(Climatology(), origins(weekly, 14, 2, 7))
    assert ratio(scores, scores) == (1, 1, 1)


def test_the_interval_holds_the_ratio(weekly):
    cuts = origins(weekly, 14, 2, 7)

    class Doubled(Climatology):
        def predict_panel(self, panel, horizon, quantiles):
            return 2 * super().predict_panel(panel, horizon, quantiles)

    middle, low, high = ratio(evaluate(Doubled(), cuts), evaluate(Climatology(), cuts))
    assert 1 < low < middle < high


def test_too_short_data_is_refused(weekly):
    with pytest.raises(InputError, match="spans 90 days, too few for 9 origins"):
        origins(weekly, 14, 9, 10)
    with pytest.raises(InputError, match="no column 'target'"):
        origins(weekly.drop_columns(["target"]), 14, 1, 1)


def test_the_command_writes_scores_and_a_report(weekly, tmp_path):
    pyarrow.parquet.write_table(weekly, tmp_path / "sales.parquet")
    arguments = ["--model", "climatology", "--horizon", "14", "--origins", "2", "--out", str(tmp_path / "report.html")]
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "sales.parquet"), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    expected = evaluate(Climatology(), origins(weekly, 14, 2, 7)).summary()
    assert f"{expected['wql']:.4f}" in done.stdout
    page = (tmp_path / "report.html").read_text()
    assert f"{expected['wql']:.4g}" in page
    charts = re.findall(r"<svg.*?</svg>", page)
    assert len(charts) == 2 + 4 + 6
    for chart in charts:
        assert "nan" not in chart
        ET.fromstring(chart)


def test_the_last_model_is_held_against_each_other_one(weekly, tmp_path):
    pyarrow.parquet.write_table(weekly, tmp_path / "sales.parquet")
    last = "ensemble:seasonal-naive=0.5,climatology=0.5"
    models = [word for name in ("seasonal-naive", "climatology", last) for word in ("--model", name)]
    arguments = [str(tmp_path / "sales.parquet"), *models, "--horizon", "14", "--seed", "3"]
    done = CliRunner().invoke(app, ["evaluate", *arguments], catch_exceptions=False)
    (cut,) = origins(weekly, 14, 1, 1)
    middle, low, high = ratio(evaluate(open_model(last), [cut]), evaluate(Climatology(), [cut]), seed=3)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{last} over ")]
    assert line == f"{last} over climatology: {middle:.3f} ({low:.3f}-{high:.3f})"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"cannot read .*damaged\.parquet"):
        read_rows(damaged)
    command = [sys.executable, "-m", "models", "evaluate", str(tmp_path / "missing.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot read" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.4, 1, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (-56, 28, [-40, -20, 0, 20]),
        (1, 28, [5, 10, 15, 20, 25]),
        (0, 3e9, [0, 5e8, 1e9, 1.5e9, 2e9, 2.5e9, 3e9]),
        (0, 1e-9, [0, 2e-10, 4e-10, 6e-10, 8e-10, 1e-9]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected, rel=1e-9, abs=1e-20)
