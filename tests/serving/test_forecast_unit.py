"""A loaded model answers through the worker's unit as it does when asked directly."""

import asyncio
import dataclasses
import threading

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
from serving.deployments.health import BrokenModelError
from serving.deployments.jobs import ForecastJob
from serving.worker_backend import BackendAwayError
from serving.worker_config import WorkerConfig
from serving.worker_ipc import read_table, write_table
from serving.worker_local import LocalBackend
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
    unit._model._run.network.register_forward_hook(lambda *_: passes.append(1))
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


@pytest.fixture
def unit(trained):
    one = ForecastUnit(trained, WorkerConfig(models=(trained,)))
    yield one
    one.close()


def job_of(rows, horizon=7):
    return ForecastJob("mine", write_table(rows), b"", horizon, (0.5,), None)


def broken_pass(*_):
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("fault", ["weights", "device"])
def test_a_model_that_breaks_gives_no_answer_and_fails_its_health_check(unit, fault):
    asyncio.run(unit.check_health())
    network = unit._model._run.network
    if fault == "weights":
        with torch.no_grad():
            network.join.fill_(torch.nan)
        said = r"mine@\S+ is broken: 140 of 140 values are no numbers that were when it was loaded"
    else:
        network.register_forward_pre_hook(broken_pass)
        said = "is broken: RuntimeError: CUDA error: an illegal memory access"
    with pytest.raises(BrokenModelError, match=said):
        asyncio.run(unit.forecast(job_of(table(SERIES))))
    with pytest.raises(BrokenModelError, match=said):
        asyncio.run(unit.check_health())


def test_what_a_model_cannot_answer_does_not_break_it(unit):
    never = table({**SERIES, "d": [None] * 60})
    got = read_table(asyncio.run(unit.forecast(job_of(never))).table, "forecast")
    assert got["mean"].null_count == 7
    late = asyncio.run(unit.forecast(job_of(never, horizon=200)))
    assert "horizon is 200" in late.message

    def fails_on_three(_, given):
        if len(given[0].target) == 3:
            raise RuntimeError("no luck with three")

    unit._model._run.network.register_forward_pre_hook(fails_on_three)
    with pytest.raises(RuntimeError, match="no luck with three") as caught:
        asyncio.run(unit.forecast(job_of(table(SERIES))))
    assert not isinstance(caught.value, BrokenModelError)
    asyncio.run(unit.check_health())


def test_a_check_waits_for_its_turn_and_a_long_pass_is_no_illness(unit, monkeypatch):
    monkeypatch.setattr("serving.deployments.forecast.HEALTH_WAIT_S", 0.0)
    over = threading.Event()
    unit._computing.submit(over.wait)

    async def checked():
        await unit.check_health()
        first = unit._checking
        await unit.check_health()
        assert unit._checking is first
        assert not first.done()
        over.set()
        await first

    asyncio.run(checked())


def test_a_local_worker_with_a_broken_model_says_that_it_cannot(trained):
    async def asked():
        backend = LocalBackend(WorkerConfig(models=(trained,)))
        await backend.load(trained)
        backend._units[trained]._model._run.network.register_forward_pre_hook(broken_pass)
        try:
            await backend.forecast(trained, job_of(table(SERIES)))
        finally:
            await backend.stop()

    with pytest.raises(BackendAwayError, match=r"is broken: RuntimeError: CUDA error.*start the worker again"):
        asyncio.run(asked())
