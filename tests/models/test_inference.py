"""The network for answers says what the one that is trained says, whatever is known of the items."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.panel import Panel, panel_from_tables
from models.patch import PatchConfig, PatchForecaster
from models.patch.features import batch_from_panel
from models.patch.inference import FusedNetwork
from models.patch.network import PatchNetwork
from models.patch.side_by_side import AHEAD, SideBySide
from tests.models.tables import table

torch.set_num_threads(1)
CONFIG = PatchConfig(
    context_patches=6, width=32, layers=3, heads=2, hidden=48, group_layers=(0, 2), day_width=8, static={"shop": ("a", "b")}
)  # fmt: skip
CASES = ("plain", "gaps", "late", "stockout", "unmet", "covariates", "dates", "sales", "static", "group")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(4)
    made = PatchNetwork(CONFIG).eval()
    with torch.no_grad():  # nothing in it is without influence
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def batch(rng, known, items=9, length=6):
    days = CONFIG.context_days
    sold = rng.poisson(rng.uniform(0.2, 30.0, (items, 1)), (items, days)).astype(np.float32)
    if "gaps" in known:
        sold[rng.random(sold.shape) < 0.3] = np.nan
    if "late" in known:  # whole patches are unknown
        sold[np.arange(days) < rng.integers(0, days, items)[:, None]] = np.nan
    stockout = np.zeros_like(sold)
    if "stockout" in known:
        stockout = np.where(rng.random(sold.shape) < 0.2, rng.random(sold.shape), 0.0).astype(np.float32)
    covariates = {}
    if "covariates" in known:
        for name in rng.choice(CONFIG.covariates, 3, replace=False):
            values = rng.uniform(0.5, 1.5, (items, days + 28)).astype(np.float32)
            values[rng.random(values.shape) < 0.2] = np.nan
            covariates[name] = values
    unmet = None
    if "unmet" in known:
        unmet = np.where(rng.random(sold.shape) < 0.5, rng.poisson(2.0, sold.shape), np.nan).astype(np.float32)
    last = rng.integers(18_000, 20_000, items) if "dates" in known else np.full(items, 19_000)
    shops = {"shop": rng.choice(["a", "b", "c"], items)} if "static" in known else {}
    panel = Panel(None, last, sold, stockout, covariates, unmet, None, shops)
    made = batch_from_panel(panel, CONFIG, length, as_sales="sales" in known)
    return replace(made, group=torch.from_numpy(rng.integers(0, 3, items))) if "group" in known else made


@pytest.mark.parametrize("known", [(), *((case,) for case in CASES), CASES, CASES[:-1]])
@pytest.mark.parametrize("length", [2, 6])
def test_it_says_what_the_network_says(network, known, length):
    fused = FusedNetwork(network, torch.float32)
    rng = np.random.default_rng(len(known) + length)
    with torch.inference_mode():
        for items in (1, 9):
            asked = batch(rng, known, items, length)
            kept = {name: value.clone() for name, value in vars(asked).items() if value is not None}
            wanted, found = network(asked), fused(asked)
            for name, value in vars(wanted).items():
                np.testing.assert_allclose(getattr(found, name), value, rtol=2e-4, atol=2e-5, err_msg=f"{known} {name}")
            for name, value in kept.items():
                assert torch.equal(getattr(asked, name).nan_to_num(), value.nan_to_num()), f"{name} was written over"


def test_in_bfloat16_it_is_as_near_as_the_network_is(network):
    fused, plain = FusedNetwork(network, torch.bfloat16), network.computing("cpu", torch.bfloat16)
    rng = np.random.default_rng(8)
    with torch.inference_mode():
        asked = batch(rng, CASES[:-1], 40)
        exact = network(asked)
        for name, value in vars(exact).items():
            off = (getattr(fused(asked), name) - value).abs().mean()
            assert off <= 2.0 * (getattr(plain(asked), name) - value).abs().mean() + 1e-6, name


def test_a_prepared_forecaster_says_the_same_in_parts_of_any_size(network):
    rng = np.random.default_rng(3)
    rows = table({f"item {number:03d}": rng.poisson(4.0, 70).astype(float).tolist() for number in range(150)})
    model, other = PatchForecaster(network, "plain", "1"), PatchForecaster(network, "fused", "1")
    other.prepare()
    assert isinstance(other._run.network, FusedNetwork)
    for one, two in zip(
        model.predict(rows, None, 28).columns[2:], other.predict(rows, None, 28).columns[2:], strict=True
    ):
        np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=1e-3, atol=1e-4)


@pytest.fixture
def beside():
    torch.set_num_threads(3)
    yield SideBySide()
    torch.set_num_threads(1)


def test_passes_beside_each_other_have_a_core_each_and_leave_the_others_theirs(beside):
    together = threading.Barrier(3)

    def work(_):
        together.wait(30)  # all threads are at work at the same time
        return torch.get_num_threads()

    assert list(beside.in_order(work, range(9))) == [1] * 9
    assert torch.get_num_threads() == 3
    with ThreadPoolExecutor(1) as another:
        assert another.submit(torch.get_num_threads).result() == 3


def test_results_come_in_the_order_of_the_jobs_and_few_are_begun_ahead(beside):
    taken = []

    def jobs():
        for job in range(100):
            taken.append(job)
            yield job

    found = beside.in_order(lambda job: job * job, jobs())
    for job in range(10):
        assert next(found) == job * job
        assert len(taken) <= job + AHEAD * beside.threads + 1
    found.close()
    with pytest.raises(ZeroDivisionError):
        list(beside.in_order(lambda job: 1 // (job - 3), range(9)))


def test_passes_at_the_same_time_say_what_they_say_one_by_one(network):
    rng = np.random.default_rng(4)
    rows = {f"item {n:03d}": rng.poisson(4.0, int(rng.integers(20, 80))).astype(float).tolist() for n in range(300)}
    model = PatchForecaster(network, "fused", "1")
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        model.prepare()
        torch.set_num_threads(1)
        assert model._side_by_side.threads == threads
        found.append(model.predict(table(rows), None, 28))
    for one, two in zip(found[0].columns[2:], found[1].columns[2:], strict=True):
        np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=1e-4, atol=1e-5)


def test_recorded_passes_are_as_large_as_they_were_tried(network):
    model = PatchForecaster(network, "recorded", "1")
    torch.set_num_threads(3)
    model.prepare()
    torch.set_num_threads(1)
    model.record()
    rows = table({f"item {number:03d}": [1.0] * 70 for number in range(70)})
    panel = panel_from_tables(rows, None, 28, model.context_days)
    assert [len(chosen) for chosen, _ in model.passes(panel)] == [64, 6]


@pytest.mark.parametrize(("items", "parts"), [(1, [1]), (9, [8, 1]), (16, [8, 8]), (80, [32, 32, 16])])
def test_a_panel_is_cut_so_that_every_core_has_a_pass(network, items, parts):
    model = PatchForecaster(network, "fused", "1")
    model.prepare()
    assert model._side_by_side.threads == 1
    model._side_by_side.threads = 2
    rows = table({f"item {number:02d}": [1.0] * 70 for number in range(items)})
    panel = panel_from_tables(rows, None, 28, model.context_days)
    assert [len(chosen) for chosen, _ in model.passes(panel)] == parts
