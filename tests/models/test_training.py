"""Training: it learns, repeats itself, and goes on where it stopped."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from models import InputError
from models.__main__ import app
from models.catalogue import CHECKPOINTS, open_model, shipped
from models.climatology import Climatology
from models.panel import Panel
from models.patch import PatchConfig, PatchForecaster
from models.patch.gradients import Gradients, parts_of
from models.patch.loss import LossPlan, loss_of
from models.patch.network import PatchNetwork
from models.patch.training import Training, TrainingPlan
from models.patch.windows import MixedWindows, PanelWindows, SimulatedWindows
from models.simulated import COVARIATES, score

# One thread: threads that wait for each other crawl on a machine that is also compiling.
torch.set_num_threads(1)
CONFIG = PatchConfig(context_patches=9, width=16, layers=1, heads=2, hidden=16, group_layers=(0,), day_width=8)
PLAN = TrainingPlan(steps=30, warmup_steps=3, learning_rate=1e-2, seed=5)


def simulated(seed=5):
    return SimulatedWindows(CONFIG, seed, batch_items=64, chunk_items=192)


def loss(network, window, config=CONFIG):
    return loss_of(network(window.batch), window, config, LossPlan()).item()


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()]).numpy()


def test_the_same_seed_gives_the_same_weights_and_the_loss_falls():
    runs = [Training(CONFIG, PLAN, simulated()) for _ in range(2)]
    fixed = simulated(99).window(0)
    before = loss(runs[0].network, fixed)
    for run in runs:
        assert len(list(run.run(100))) == 30
    np.testing.assert_array_equal(weights(runs[0].average), weights(runs[1].average))
    assert loss(runs[0].network, fixed) < 0.95 * before


@pytest.mark.parametrize("grouped", [True, False])
def test_gradients_of_parts_are_those_of_the_whole(grouped):
    config = replace(CONFIG, layers=2, group_layers=(0,))
    torch.manual_seed(1)
    network = PatchNetwork(config)
    with torch.no_grad():  # nothing in it is without influence
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    window = SimulatedWindows(config, 3, batch_items=200, chunk_items=400).window(0)
    if not grouped:
        window.batch.group = None
    parts = list(parts_of(window.batch))
    assert len(parts) >= 3
    assert sorted(torch.cat(parts).tolist()) == list(range(200))
    if grouped:
        held = [set(window.batch.group[part].tolist()) for part in parts]
        assert sum(map(len, held)) == len(set.union(*held)), "a group is cut"
    loss_of(network(window.batch), window, config, PLAN.loss).backward()
    wanted = {name: weight.grad for name, weight in network.named_parameters()}
    torch.set_num_threads(2)
    gradients = Gradients(network, PLAN.loss)
    torch.set_num_threads(1)
    assert gradients.set(window) == pytest.approx(loss(network, window, config), rel=1e-5)
    for name, weight in network.named_parameters():
        if wanted[name] is None:
            assert weight.grad is None, name
        else:
            scale = wanted[name].abs().max().item()
            np.testing.assert_allclose(weight.grad, wanted[name], rtol=1e-3, atol=1e-4 * scale, err_msg=name)


def test_a_stopped_run_ends_like_one_that_was_not(tmp_path):
    whole = Training(CONFIG, PLAN, simulated())
    list(whole.run(30))
    first = Training(CONFIG, PLAN, simulated())
    list(first.run(13))
    first.save(tmp_path / "state")
    second = Training(CONFIG, PLAN, simulated())
    second.load(tmp_path / "state")
    assert second.step == 13
    list(second.run(30))
    np.testing.assert_array_equal(weights(whole.average), weights(second.average))


def test_a_state_of_another_plan_or_a_torn_one_is_refused(tmp_path):
    run = Training(CONFIG, PLAN, simulated())
    run.save(tmp_path / "state")
    for other, said in (
        (Training(CONFIG, replace(PLAN, steps=31), simulated()), "with steps 30"),
        (Training(CONFIG, replace(PLAN, batch_items=7), simulated()), "with batch_items 256"),
        (Training(replace(CONFIG, width=2 * CONFIG.width), PLAN, simulated()), "with network "),
        (Training(CONFIG, PLAN, simulated(), PatchNetwork(CONFIG)), "with start : "),
    ):
        with pytest.raises(InputError, match=f"of another plan, {said}"):
            other.load(tmp_path / "state")
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot take up"):
        run.load(tmp_path / "state")


def test_windows_hide_what_a_caller_may_not_know():
    window = simulated().window(0)
    known = window.batch.known.bool()
    assert (window.batch.target[~known] == 0).all()
    assert 0.5 < known.float().mean() < 0.99
    given = torch.isfinite(window.batch.covariates)
    assert 0.5 < given.float().mean() < 0.8
    # The truth is demand: also where the sale was cut, and never less than nothing.
    truth = window.truth[torch.isfinite(window.truth)]
    assert (truth >= 0).all()


def history(days=80, seed=2):
    """Forty items, half of them out of stock on every fifth day."""
    rng = np.random.default_rng(seed)
    sold = rng.poisson(5.0, (40, days)).astype(np.float32)
    out = np.zeros((40, days), np.float32)
    out[:20, ::5] = 0.5
    names = pa.array([f"sku-{index:02d}" for index in range(40)])
    unmet = np.where(out > 0.0, 3.0, 0.0).astype(np.float32)
    return Panel(names, np.full(40, 19_999), sold, out, {"price": np.ones((40, days), np.float32)}, unmet)


def test_windows_of_a_history_are_its_days_in_order():
    panel = history()
    for step in range(20):
        window = PanelWindows(panel, CONFIG, seed=1, batch_items=16, as_sales=0.5).window(step)
        batch, context = window.batch, window.batch.target.shape[1]
        for row in range(16):
            known = batch.known[row].bool()
            past = batch.target[row][known].numpy()
            # Each item's days are a run of some row of the history, and the truth is what follows it.
            end = [
                (item, day)
                for item in range(40)
                for day in range(len(past), 80)
                if np.array_equal(panel.target[item, day - len(past) : day], past)
            ]
            assert len(end) == 1, (step, row, context)
            item, day = end[0]
            truth, told = window.truth[row].numpy(), panel.target[item, day : day + 28].copy()
            if not batch.as_sales[row]:
                told += panel.unmet[item, day : day + 28]
            np.testing.assert_array_equal(truth[: len(told)], told)
            assert np.isnan(truth[len(told) :]).all()
            floor = (panel.stockout[item, day : day + 28] > 0) & (batch.as_sales[row].item() == 0)
            np.testing.assert_array_equal(window.censored[row].numpy()[: len(told)], floor)


def test_a_short_history_is_refused():
    with pytest.raises(InputError, match="spans 28 days: training needs more than 28"):
        PanelWindows(history(28), CONFIG, seed=1)


def test_a_lower_bound_costs_nothing_from_above_and_all_from_below():
    window = PanelWindows(history(), CONFIG, seed=1, batch_items=16, as_sales=0.0).window(3)
    network = Training(CONFIG, PLAN, simulated()).network
    output = network(window.batch)
    only = replace(window, truth=torch.where(window.censored, window.truth, torch.nan))
    plan = LossPlan(censored=1.0, totals=0.0, zero=0.0, mean=0.0)
    high = replace(output, quantiles=torch.full_like(output.quantiles, 6.0))
    low = replace(output, quantiles=torch.zeros_like(output.quantiles))
    assert loss_of(high, only, CONFIG, plan).item() == 0.0
    assert loss_of(low, only, CONFIG, plan).item() > 0.1
    assert loss_of(low, only, CONFIG, replace(plan, censored=0.0)).item() == 0.0


def test_the_loss_in_units_is_the_weighted_quantile_loss():
    network, window = Training(CONFIG, PLAN, simulated()).network, simulated().window(1)
    window = window.rows(torch.nonzero(network(window.batch).scale[:, 0] < 30.0)[:, 0])
    output = network(window.batch)
    plan = LossPlan(totals=0.0, zero=0.0, mean=0.0, scale_power=1.0)
    space, both, units = (
        loss_of(output, window, CONFIG, replace(plan, units=share)).item() for share in (0.0, 0.5, 1.0)
    )
    assert both == pytest.approx((space + units) / 2, rel=1e-5)
    assert abs(space - units) > 0.01 * units
    # The same from what the network says in units, an item by its scale, which no item here exceeds twenty times.
    scale = output.scale.numpy()
    assert scale.max() < 20 * scale.mean()
    levels = np.array(CONFIG.levels)
    said = np.maximum(np.sinh(output.quantiles.detach().numpy()), 0.0) * scale[..., None]
    error = np.minimum(window.truth.numpy(), 100.0 * scale)[..., None] - said
    cost = np.maximum(levels * error, (levels - 1.0) * error).mean(-1)
    known = np.isfinite(cost)
    expected = 2.0 * np.nansum(cost) / (known * scale).sum()
    assert units == pytest.approx(expected, rel=1e-4)


def test_sources_are_mixed_by_the_share_asked():
    real = PanelWindows(history(), CONFIG, seed=1, batch_items=16)
    mixed = MixedWindows(real, simulated(), 0.25, seed=4)
    simulated_steps = sum(len(mixed.window(step).truth) == 64 for step in range(80))
    assert 10 <= simulated_steps <= 32


def test_the_shipped_model_beats_climatology_on_held_out_demand():
    assert "patch-nano" in shipped()
    ours, reference = (score(model, items=600) for model in (open_model("patch-nano"), Climatology()))
    assert ours["wql"] < 0.95 * reference["wql"]
    assert 0.76 < ours["coverage_80"] < 0.9
    assert 0.87 < ours["below_q90"] < 0.94


def test_the_shipped_model_is_what_its_manifest_says():
    import hashlib

    directory = CHECKPOINTS / "patch-nano"
    manifest = json.loads((directory / "manifest.json").read_text())
    digest = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    assert manifest["sha256"]["model.safetensors"] == digest
    assert manifest["version"] == open_model("patch-nano").version
    assert (directory / "model.safetensors").stat().st_size < 10 * 2**20


def test_the_command_trains_and_the_model_runs(tmp_path, weekly):
    arguments = [
        "train",
        "--out",
        str(tmp_path / "mine"),
        "--steps",
        "2",
        "--threads",
        "1",
        "--batch-items",
        "32",
        "--score-items",
        "50",
    ]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / "mine/manifest.json").read_text())
    assert manifest["version"] in done.stdout
    assert not (tmp_path / "mine/training.state").exists()
    assert PatchForecaster.load(tmp_path / "mine", "mine", manifest["version"]).predict(weekly, None, 7).num_rows == 70


def test_models_import_without_ray_and_torch():
    code = "import sys, models, models.catalogue; print([m for m in ('ray', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_prints_the_scores_on_simulated_demand():
    names = ("climatology", "seasonal-naive")
    arguments = [word for name in names for word in ("--model", name)]
    done = CliRunner().invoke(app, ["evaluate-simulated", *arguments, "--items", "80", "--days", "70"])
    assert done.exit_code == 0, done.output
    rows = {line.split("@")[0]: line.split()[1:] for line in done.stdout.splitlines() if "@" in line}
    found = {name: score(open_model(name), 80, 70) for name in names}
    for name in names:
        wanted = [found[name]["wql"], found[name]["wql"] / found["climatology"]["wql"]]
        wanted += [found[name][key] for key in ("coverage_80", "below_q90", "bias_mean")]
        np.testing.assert_allclose([float(word) for word in rows[name]], wanted, atol=6e-4)
    assert rows["climatology"] != rows["seasonal-naive"]


def test_the_command_takes_what_is_known_ahead():
    arguments = ["evaluate-simulated", "--model", "patch-nano", "--items", "80", "--days", "70"]
    known = [word for name in ("price", "temperature") for word in ("--covariate", name)]
    done = CliRunner().invoke(app, [*arguments, *known])
    assert done.exit_code == 0, done.output
    (row,) = [line.split()[1:] for line in done.stdout.splitlines() if "@" in line]
    found = score(open_model("patch-nano"), 80, 70, ("price", "temperature"))
    assert found != score(open_model("patch-nano"), 80, 70)
    wanted = [found[key] for key in ("week_in_q90", "week_stock")]
    np.testing.assert_allclose([float(word) for word in row[-2:]], wanted, atol=6e-4)
    with pytest.raises(InputError, match="no covariate 'weather'"):
        score(Climatology(), 80, 70, ("weather",))


def test_the_shipped_model_holds_a_week_at_a_stock_that_is_worth_it():
    found = score(open_model("patch-nano"), 2000, covariates=COVARIATES)
    assert 0.87 <= found["week_in_q90"] <= 0.93
    assert found["week_stock"] <= 1.45


def test_the_card_has_the_simulated_scores_of_the_manifest():
    manifest = json.loads((CHECKPOINTS / "patch-nano" / "manifest.json").read_text())
    card = (CHECKPOINTS.parent / "cards" / "patch-nano.md").read_text()
    ours, reference = manifest["held_out_simulated"], manifest["climatology_on_the_same"]

    def short(value, digits):
        return f"{abs(value):.{digits}f}"[1:]

    assert f"climatology {short(reference['wql'], 4)}, patch-nano {short(ours['wql'], 4)} (ratio " in card
    assert f"coverage of the 80 % interval {short(ours['coverage_80'], 3)}\n" in card
    assert f"{short(ours['bias_mean'], 3)}; printed by `python -m models evaluate-simulated`" in card
