"""A loaded model answers through the worker's unit as it does when asked directly."""

import asyncio
import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from models.catalogue import open_model
from models.patch import PatchConfig
from models.patch.checkpoint import save_checkpoint
from models.patch.network import PatchNetwork
from models.protocol import DEFAULT_QUANTILES
from serving.deployments.forecast import ForecastUnit
from serving.deployments.jobs import ForecastJob
from serving.worker_config import WorkerConfig
from serving.worker_ipc import read_table, write_table
from tests.models.tables import table

torch.set_num_threads(1)
CONFIG = PatchConfig(
    context_patches=6,
    width=16,
    layers=2,
    heads=2,
    hidden=16,
    day_width=8,
    group_layers=(0,),
    static={"shop": ("s1", "s2")},
)
SERIES = {name: [float(3 + (day * step) % 7) for day in range(60)] for step, name in enumerate("abc", 1)}
SHOPS = ["s1"] * 60 + ["s2"] * 60 + ["new"] * 60


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network in which categories, groups and units refused matter."""
    torch.manual_seed(1)
    network = PatchNetwork(CONFIG)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    directory = tmp_path_factory.mktemp("model") / "mine"
    save_checkpoint(network, directory, {})
    return str(directory)


@pytest.mark.parametrize(
    ("name", "values"),
    [("shop", SHOPS), ("group", ["g"] * 180), ("unmet", [0.0, 0.0, 4.0] * 60), ("price", [1.0, 0.5, 0.8] * 60)],
)
def test_every_column_that_the_model_knows_reaches_it(trained, name, values):
    rows = table(SERIES)
    told = rows.append_column(name, pa.array(values))
    model = open_model(trained)
    expected = model.predict(told, None, 7)
    plain = model.predict(rows, None, 7)
    assert not np.allclose(expected["mean"].to_numpy(), plain["mean"].to_numpy(), rtol=1e-3)
    unit = ForecastUnit(trained, WorkerConfig(models=(trained,)))
    try:
        job = ForecastJob(trained, write_table(told), b"", 7, DEFAULT_QUANTILES, None)
        answer = asyncio.run(unit.forecast(job))
    finally:
        unit.close()
    got = read_table(answer.table, "forecast")
    for column in ("mean", "0.1", "0.9"):
        np.testing.assert_allclose(got[column].to_numpy(), expected[column].to_numpy(), rtol=1e-4, atol=1e-5)


def test_totals_come_from_the_same_pass_as_the_days(trained):
    rows = table(SERIES)
    model = open_model(trained)
    levels = (0.5, 0.9)
    days, totals = model.predict(rows, None, 7, levels), model.predict_totals(rows, None, levels)
    unit = ForecastUnit(trained, WorkerConfig(models=(trained,)))
    passes = []
    unit._model._run.register_forward_hook(lambda *_: passes.append(1))
    try:
        job = ForecastJob(trained, write_table(rows), b"", 7, levels, None, (2, 7, 28))
        answer = asyncio.run(unit.forecast(job))
    finally:
        unit.close()
    assert len(passes) == 1
    assert not answer.totals_approximate
    got, got_totals = read_table(answer.table, "forecast"), read_table(answer.totals, "totals")
    wanted = totals.filter(pc.is_in(totals["horizon_days"], pa.array([2, 7, 28], pa.int32())))
    for one, other in ((got, days), (got_totals, wanted)):
        assert one.schema.equals(other.schema)
        assert one.select(one.column_names[:2]).equals(other.select(one.column_names[:2]))
        for column in ("mean", "0.5", "0.9"):
            np.testing.assert_allclose(one[column].to_numpy(), other[column].to_numpy(), rtol=1e-4, atol=1e-5)


def test_a_total_that_the_model_has_no_head_for_is_made_of_days(trained):
    unit = ForecastUnit(trained, WorkerConfig(models=(trained,)))
    try:
        job = ForecastJob(trained, write_table(table(SERIES)), b"", 7, (0.5,), None, (2, 5))
        answer = asyncio.run(unit.forecast(job))
        late = asyncio.run(unit.forecast(dataclasses.replace(job, totals=(2, 9))))
        turned = asyncio.run(unit.forecast(dataclasses.replace(job, totals=(7, 2))))
    finally:
        unit.close()
    assert answer.totals_approximate
    assert read_table(answer.totals, "totals")["horizon_days"].to_pylist()[:2] == [2, 5]
    assert "of a forecast of 7" in late.message
    assert "ascending" in turned.message
