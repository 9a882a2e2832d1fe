"""Never worse than seasonal naive and climatology: what the command says, and how it ends."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from models import Climatology, InputError
from models.__main__ import app
from models.catalogue import open_model
from models.comparison import compare
from models.evaluation import origins
from models.patch import PatchConfig
from models.patch.checkpoint import save_checkpoint
from models.patch.network import PatchNetwork
from models.verdict import Verdict, must_be_there, verdicts
from tests.models.tables import table

CONFIG = PatchConfig(context_patches=4, width=16, layers=1, heads=2, hidden=16, group_layers=(), day_width=8)


@pytest.mark.parametrize(
    ("low", "high", "said", "within"),
    [
        (0.90, 0.98, "no worse", True),
        (0.90, 1.00, "no worse", True),
        (0.97, 1.004, "open", False),
        (1.00, 1.10, "open", False),
        (1.01, 1.10, "worse", False),
        (None, None, "open", False),
    ],
)
def test_the_interval_decides(low, high, said, within):
    one = Verdict("mine", "climatology", 1.0, low, high)
    assert (one.said, one.within(1.0)) == (said, within)
    assert one.within(1.2) == (high is not None)


class Times(Climatology):
    """Climatology times a factor."""

    def __init__(self, name, factor):
        super().__init__()
        self.name, self.factor = name, factor

    def predict_panel(self, panel, horizon, quantiles):
        return self.factor * super().predict_panel(panel, horizon, quantiles)


@pytest.fixture(scope="module")
def sales():
    rng = np.random.default_rng(5)
    rate = rng.uniform(5.0, 20.0, (40, 1)) * np.tile([1.0, 1.0, 1.0, 1.2, 1.5, 2.0, 0.5], 20)
    return table({f"item {number:02d}": row.tolist() for number, row in enumerate(rng.poisson(rate).astype(float))})


def test_models_are_judged_against_both_and_references_are_not(sales):
    models = [open_model("seasonal-naive"), Climatology(), Times("same", 1.0), Times("double", 2.0)]
    found = {(one.model, one.reference): one.said for one in verdicts(compare(models, origins(sales, 28, 1, 7)))}
    assert found == {
        ("same", "seasonal-naive"): "no worse",  # climatology knows more than one week
        ("same", "climatology"): "no worse",  # 1 in every draw
        ("double", "seasonal-naive"): "worse",
        ("double", "climatology"): "worse",
    }


def test_the_command_ends_by_the_verdict_only_when_asked(sales, tmp_path):
    torch.manual_seed(0)
    network = PatchNetwork(CONFIG)
    with torch.no_grad():  # forecasts some times too much
        network.days.out.bias[network.middle] = 1.5
    save_checkpoint(network, tmp_path / "much", {})
    pq.write_table(sales, tmp_path / "sales.parquet")
    arguments = ["evaluate", str(tmp_path / "sales.parquet"), "--model", "seasonal-naive", "--model", "climatology"]
    arguments += ["--model", str(tmp_path / "much"), "--json", str(tmp_path / "scores.json")]

    def ran(*more):
        return CliRunner().invoke(app, [*arguments, *more])

    plain = ran()
    assert plain.exit_code == 0
    assert re.search(r"against seasonal-naive: worse, \d+\.\d{3} \(\d+\.\d{3}-\d+\.\d{3}\)\n", plain.stdout)
    assert re.search(r"against climatology: worse, ", plain.stdout)
    stored = json.loads((tmp_path / "scores.json").read_text())["verdicts"]
    assert [(one["reference"], one["verdict"]) for one in stored] == [
        ("seasonal-naive", "worse"),
        ("climatology", "worse"),
    ]
    assert ran("--ratio-max", "1").exit_code == 1
    assert ran("--ratio-max", "100").exit_code == 0


@pytest.mark.parametrize("models", [["climatology", "mine"], ["seasonal-naive", "climatology"], ["mine"]])
def test_a_verdict_that_cannot_be_given_is_refused(models):
    with pytest.raises(InputError, match="a verdict needs seasonal-naive and climatology and another model"):
        must_be_there(models)
