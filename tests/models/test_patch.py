"""The transformer as a forecaster: shapes, order, missing values, symmetries, files."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from models import DEFAULT_QUANTILES, Forecaster, InputError
from models.panel import panel_from_tables
from models.patch import PatchConfig, PatchForecaster
from models.patch.checkpoint import save_checkpoint
from models.patch.features import batch_from_panel
from models.patch.forecaster import TOTAL_QUANTILES, parts
from models.patch.network import PatchNetwork, level_widths, mean_of
from models.patch.training import Training, TrainingPlan
from models.patch.windows import SimulatedWindows
from models.quantiles import at_levels
from tests.models.tables import FIRST_DAY, table

# One thread: threads that wait for each other crawl on a machine that is also compiling.
torch.set_num_threads(1)
CONFIG = PatchConfig(context_patches=10, width=32, layers=2, heads=2, hidden=48, group_layers=(0, 1), day_width=16)


@pytest.fixture(scope="module")
def model():
    """A small network, some steps into its training, so that its answers are not its bias."""
    source = SimulatedWindows(CONFIG, seed=3, batch_items=64, chunk_items=128)
    training = Training(CONFIG, TrainingPlan(steps=12, warmup_steps=2, learning_rate=1e-2, seed=3), source)
    list(training.run(12))
    return PatchForecaster(training.network, "small", "test")


def values(forecast, quantiles=DEFAULT_QUANTILES):
    names = ["mean", *(f"{q:g}" for q in quantiles)]
    return np.column_stack([forecast[name].to_numpy(zero_copy_only=False) for name in names])


def test_it_is_a_forecaster_with_the_documented_table(model, weekly):
    got = model.predict(weekly, None, 10)
    assert isinstance(model, Forecaster)
    assert got.column_names == ["item_id", "timestamp", "mean", *(f"{q:g}" for q in DEFAULT_QUANTILES)]
    assert got.num_rows == 100
    assert got["timestamp"].cast(pa.int32()).to_pylist()[:10] == list(range(FIRST_DAY + 90, FIRST_DAY + 100))


SERIES = {
    "constant": [5.0] * 60,
    "all zero": [0.0] * 60,
    "huge": [1e9, 2e9, 0.5e9] * 20,
    "tiny": [1e-9, 0.0, 2e-9] * 20,
    "one sale long ago": [3.0] + [0.0] * 59,
    "a spike at the end": [0.0] * 59 + [1e6],
    "a single day": [4.0],
    "mostly not known": [None] * 50 + [2.0] + [None] * 9,
    "longer than the context": [1.0, 2.0] * 400,
}


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_any_series_gets_ordered_finite_quantiles(model, series):
    levels = (0.005, 0.1, 0.5, 0.77, 0.9, 0.999)
    got = values(model.predict(table({"a": series}), None, 28, levels), levels)
    assert np.isfinite(got).all()
    assert (got >= 0).all()
    assert (np.diff(got[:, 1:], axis=1) >= 0).all()
    assert (got[:, 0] <= got[:, -1]).all()


def test_an_item_without_a_known_day_has_no_forecast(model):
    got = model.predict(table({"a": [None] * 9, "b": [2.0] * 9}), None, 7)
    assert [column.null_count for column in got.columns] == [0, 0] + [7] * 10
    np.testing.assert_allclose(values(got)[7:], values(model.predict(table({"b": [2.0] * 9}), None, 7)), rtol=1e-4)


def test_items_do_not_influence_each_other(model, weekly):
    together = values(model.predict(weekly, None, 14)).reshape(10, 14, -1)
    for index in (0, 4, 9):
        alone = weekly.filter(pa.compute.equal(weekly["item_id"], f"sku-{index:02d}"))
        np.testing.assert_allclose(values(model.predict(alone, None, 14)), together[index], rtol=1e-3, atol=1e-4)


def test_a_multiple_of_the_sales_has_the_same_multiple_as_forecast(model, weekly):
    at = weekly.column_names.index("target")
    thousandfold = weekly.set_column(at, "target", pa.compute.multiply(weekly["target"], 1024.0))
    np.testing.assert_allclose(
        values(model.predict(thousandfold, None, 7)),
        1024 * values(model.predict(weekly, None, 7)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_unknown_days_before_the_first_known_one_change_nothing(model):
    series = [float(3 + day % 7) for day in range(60)]
    short, padded = table({"a": series}), table({"a": [None] * 40 + series}, first_day=FIRST_DAY - 40)
    np.testing.assert_allclose(values(model.predict(short, None, 7)), values(model.predict(padded, None, 7)), rtol=1e-3)


def test_a_promotion_known_ahead_changes_its_day(model, weekly):
    days = pa.array(np.arange(FIRST_DAY + 90, FIRST_DAY + 97), pa.int32()).cast(pa.date32())
    promotion = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    future = pa.table({"item_id": ["sku-03"] * 7, "timestamp": days, "promotion": promotion, "price": [1.0] * 7})
    plain, promoted = (values(model.predict(weekly, ahead, 7)).reshape(10, 7, -1) for ahead in (None, future))
    changed = np.abs(plain - promoted).max(axis=(1, 2)) > 1e-6
    assert np.flatnonzero(changed).tolist() == [3]


def test_a_horizon_beyond_the_training_is_refused(model, weekly):
    with pytest.raises(InputError, match="horizon is 29: model small forecasts at most 28 days"):
        model.predict(weekly, None, 29)


def test_levels_between_and_beyond_the_networks_own():
    units = np.array([[[0.0, 2.0, 6.0]]])
    got = at_levels(units, (0.25, 0.5, 0.75), (0.1, 0.25, 0.375, 0.5, 0.6, 0.9))
    np.testing.assert_allclose(got[0, 0], [0.0, 0.0, 1.0, 2.0, 3.6, 6.0])


def test_the_mean_of_a_quantile_function_is_its_integral():
    # 0.25 x 0 + 0.25 x 1 + 0.25 x 4 + 0.25 x 6.
    assert mean_of(torch.tensor([[0.0, 2.0, 6.0]]), level_widths((0.25, 0.5, 0.75))).item() == pytest.approx(2.75)


def test_totals_are_ordered_over_levels_and_over_days(model, weekly):
    got = model.predict_totals(weekly, None)
    assert got.column_names == ["item_id", "horizon_days", "mean", *(f"{q:g}" for q in TOTAL_QUANTILES)]
    assert got["horizon_days"].to_pylist()[:6] == [1, 2, 3, 7, 14, 28]
    units = np.column_stack([got[f"{q:g}"].to_numpy() for q in TOTAL_QUANTILES]).reshape(10, 6, -1)
    assert (units >= 0).all()
    assert (np.diff(units, axis=2) >= 0).all()
    assert (np.diff(units, axis=1) >= 0).all()
    mean = values(model.predict(weekly, None, 28))[:, 0].reshape(10, 28)
    np.testing.assert_allclose(got["mean"].to_numpy().reshape(10, 6)[:, 3], mean[:, :7].sum(axis=1), rtol=1e-4)


def test_an_item_that_never_sells_has_no_quantile_above_its_zero_mass(model):
    sure = PatchForecaster(PatchNetwork(CONFIG), "sure", "1")
    sure.network.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        sure.network.days.out.bias[-1] = 2.0  # about 88 % sure of nothing
        sure.network.days.out.weight[-1] = 0.0
    got = values(sure.predict(table({"a": [3.0, 0.0, 5.0] * 20}), None, 7))
    assert (got[:, 1:9] == 0).all()
    assert (got[:, 9] > 0).all()


GROUPED = {f"g{i}": [float(i + day % 7) for day in range(70)] for i in range(6)}


def grouped(names, order=None):
    rows = table({name: GROUPED[name] for name in (order or GROUPED)})
    group = [names[item] for item in rows["item_id"].to_pylist()]
    return rows.append_column("group", pa.array(group))


@pytest.fixture(scope="module")
def social(model):
    """The same, with groups that matter."""
    network = PatchNetwork(CONFIG)
    network.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        for block in network.blocks:
            block.group.out.weight.normal_(std=1.0, generator=torch.Generator().manual_seed(1))
    return PatchForecaster(network, "social", "1")


def test_a_group_looks_at_itself_and_at_nobody_else(social):
    alone = values(social.predict(table(GROUPED), None, 7)).reshape(6, 7, -1)
    pairs = values(social.predict(grouped(dict(zip(GROUPED, "aabbcd", strict=True))), None, 7)).reshape(6, 7, -1)
    changed = np.abs(pairs - alone).max(axis=(1, 2)) > 1e-4
    assert changed.tolist() == [True] * 4 + [False] * 2


def test_the_order_of_items_and_rows_changes_nothing(social):
    names = dict(zip(GROUPED, "aaabbb", strict=True))
    straight = grouped(names)
    shuffled = grouped(names, [*GROUPED][::-1]).take(pa.array(np.random.default_rng(1).permutation(6 * 70)))
    np.testing.assert_allclose(
        values(social.predict(straight, None, 7)), values(social.predict(shuffled, None, 7)), rtol=1e-3, atol=1e-5
    )


def test_a_forecast_of_sales_is_another_than_one_of_demand(model):
    rows = table({"a": [4.0, 2.0, 0.0] * 25})
    rows = rows.append_column("stockout", pa.array([0.0, 0.4, 1.0] * 25))
    sales = PatchForecaster(model.network, "small", "test", as_sales=True)
    assert not np.allclose(values(model.predict(rows, None, 7)), values(sales.predict(rows, None, 7)), rtol=1e-3)


def test_units_refused_are_an_input(model):
    rows = table({"a": [4.0, 2.0, 0.0] * 25})
    told = rows.append_column("unmet", pa.array([0.0, 0.0, 9.0] * 25))
    assert not np.allclose(values(model.predict(rows, None, 7)), values(model.predict(told, None, 7)), rtol=1e-3)


def test_new_covariates_and_categories_start_without_influence(model, weekly):
    wider = replace(CONFIG, covariates=(*CONFIG.covariates[::-1], "visitors"), static={"shop": ("s1", "s2")})
    network = PatchNetwork(wider)
    network.take_over(model.network)
    rows = weekly.append_column("visitors", pa.array(np.arange(900.0))).append_column("shop", pa.array(["s1"] * 900))
    np.testing.assert_allclose(
        values(PatchForecaster(network, "wider", "1").predict(rows, None, 7)),
        values(model.predict(weekly, None, 7)),
        rtol=1e-3,
        atol=1e-5,
    )
    with pytest.raises(InputError, match="cannot start from a network of"):
        PatchNetwork(replace(CONFIG, width=16)).take_over(model.network)


def test_a_category_that_was_not_in_training_counts_as_unknown(model):
    network = PatchNetwork(replace(CONFIG, static={"shop": ("s1", "s2")}))
    network.take_over(model.network)
    with torch.no_grad():
        network.static[0].weight[1:].fill_(0.5)
    rows = table({"a": [3.0] * 60, "b": [3.0] * 60, "c": [3.0] * 60})
    shops = rows.append_column("shop", pa.array(["s1"] * 60 + ["new"] * 60 + [None] * 60, pa.string()))
    got = values(PatchForecaster(network, "wider", "1").predict(shops, None, 7)).reshape(3, 7, -1)
    assert not np.allclose(got[0], got[1], rtol=1e-3)
    np.testing.assert_allclose(got[1], got[2], rtol=1e-3)


def test_a_checkpoint_reads_back_the_same(model, weekly, tmp_path):
    version = save_checkpoint(model.network, tmp_path / "small", {"command": "test"})
    again = PatchForecaster.load(tmp_path / "small", "small", version)
    assert again.config == CONFIG
    np.testing.assert_allclose(
        values(again.predict(weekly, None, 7)), values(model.predict(weekly, None, 7)), rtol=0.02, atol=1e-3
    )
    assert save_checkpoint(again.network, tmp_path / "copy", {}) == version
    twice = PatchForecaster.load(tmp_path / "copy", "copy", version)
    assert twice.predict(weekly, None, 7).equals(again.predict(weekly, None, 7))
    with torch.no_grad():
        next(again.network.parameters()).add_(0.1)
    assert save_checkpoint(again.network, tmp_path / "other", {}) != version


@pytest.mark.parametrize("damage", ["missing", "cut", "of another shape"])
def test_a_damaged_checkpoint_is_refused(model, tmp_path, damage):
    save_checkpoint(model.network, tmp_path, {})
    weights = tmp_path / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        save_checkpoint(
            PatchNetwork(PatchConfig(width=16, layers=1, heads=2, hidden=8, group_layers=())), tmp_path / "other", {}
        )
        weights.write_bytes((tmp_path / "other/model.safetensors").read_bytes())
    with pytest.raises(InputError, match="holds no patch model that can be read"):
        PatchForecaster.load(tmp_path, "small", "1")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 0.05)])
def test_another_precision_says_nearly_the_same(model, weekly, precision, tolerance):
    other = PatchForecaster(PatchNetwork(CONFIG), "other", "1")
    other.network.load_state_dict(model.network.state_dict())
    report = other.prepare(precision=precision, device="cpu")
    assert (report.precision, report.compiled, report.device) == (precision, False, "cpu")
    eager, after = values(model.predict(weekly, None, 14)), values(other.predict(weekly, None, 14))
    assert np.abs(eager - after).sum() < tolerance * np.abs(eager).sum()


def test_a_padded_pass_says_the_same(social):
    panel = panel_from_tables(grouped(dict(zip(GROUPED, "aaabbb", strict=True))), None, 28, CONFIG.context_days)
    batch = batch_from_panel(panel, CONFIG, 10)
    assert batch.group is not None
    with torch.inference_mode():
        plain, padded = social.network(batch), social.network(batch.padded(9))
    assert len(padded.mean) == 9
    for name, found in vars(padded.first(6)).items():
        np.testing.assert_allclose(found, getattr(plain, name), rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_precision_or_device_that_is_not_there_is_refused(model):
    with pytest.raises(InputError, match="precision is 'int4': choose one of"):
        PatchForecaster(model.network, "other", "1").prepare(precision="int4")
    with pytest.raises(InputError, match="device 'cuda:99' cannot be used"):
        PatchForecaster(PatchNetwork(CONFIG), "other", "1").prepare(device="cuda:99")


@pytest.mark.parametrize("seed", range(5))
def test_a_pass_is_never_larger_than_asked_and_cuts_only_groups_that_are(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, 40)
    group = np.repeat(rng.permutation(40), sizes)
    members = np.flatnonzero(rng.random(len(group)) < 0.9)
    members = members[np.argsort(group[members], kind="stable")]
    cut = list(parts(members, group, 12))
    assert np.concatenate(cut).tolist() == members.tolist(), f"seed {seed}"
    assert all(1 <= len(part) <= 12 for part in cut)
    for one in np.unique(group[members]):
        held = sum(bool((group[part] == one).any()) for part in cut)
        assert held == 1 or (group[members] == one).sum() > 12, f"seed {seed}, group {one}"
    assert [len(part) for part in parts(np.arange(25), None, 12)] == [12, 12, 1]
    assert list(parts(np.arange(0), None, 12)) == []
