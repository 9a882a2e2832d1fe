"""Training: it learns, repeats itself, and goes on where it stopped."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import InputError
from models.catalogue import CHECKPOINTS, open_model, shipped
from models.climatology import Climatology
from models.patch import PatchConfig
from models.patch.training import Training, TrainingPlan, loss_of, windows
from models.simulated import score

# One thread: threads that wait for each other crawl on a machine that is also compiling.
torch.set_num_threads(1)
CONFIG = PatchConfig(context_patches=9, width=16, layers=1, heads=2, hidden=16)
PLAN = TrainingPlan(steps=30, batch_items=64, warmup_steps=3, learning_rate=1e-2, seed=5, chunk_items=192)


def weights(network):
    return torch.cat([value.flatten() for value in network.state_dict().values()]).numpy()


def test_the_same_seed_gives_the_same_weights_and_the_loss_falls():
    runs = [Training(CONFIG, PLAN) for _ in range(2)]
    fixed = next(windows(replace(PLAN, seed=99), CONFIG))
    before = loss_of(runs[0].network, fixed).item()
    for run in runs:
        assert len(list(run.run(100))) == 30
    np.testing.assert_array_equal(weights(runs[0].average), weights(runs[1].average))
    assert loss_of(runs[0].network, fixed).item() < 0.95 * before


def test_a_stopped_run_ends_like_one_that_was_not(tmp_path):
    whole = Training(CONFIG, PLAN)
    list(whole.run(30))
    first = Training(CONFIG, PLAN)
    list(first.run(13))
    first.save(tmp_path / "state")
    second = Training(CONFIG, PLAN)
    second.load(tmp_path / "state")
    assert second.step == 13
    list(second.run(30))
    np.testing.assert_array_equal(weights(whole.average), weights(second.average))


def test_a_state_of_another_plan_or_a_torn_one_is_refused(tmp_path):
    run = Training(CONFIG, PLAN)
    run.save(tmp_path / "state")
    with pytest.raises(InputError, match="of another plan"):
        Training(CONFIG, replace(PLAN, steps=31)).load(tmp_path / "state")
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot take up"):
        run.load(tmp_path / "state")


def test_windows_hide_what_a_caller_may_not_know():
    window = next(windows(PLAN, CONFIG))
    known = window.batch.known.bool()
    assert (window.batch.target[~known] == 0).all()
    assert 0.5 < known.float().mean() < 0.99
    given = torch.isfinite(window.batch.covariates)
    assert 0.5 < given.float().mean() < 0.8
    # The truth is demand: also where the sale was cut, and never less than nothing.
    truth = window.truth[torch.isfinite(window.truth)]
    assert (truth >= 0).all()


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


def test_the_command_trains_and_the_model_runs(tmp_path):
    command = [
        sys.executable,
        "-m",
        "models",
        "train",
        "--out",
        str(tmp_path / "mine"),
        "--steps",
        "2",
        "--threads",
        "1",
        "--batch-items",
        "32",
        "--chunk-items",
        "32",
        "--score-items",
        "50",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "mine/manifest.json").read_text())
    assert manifest["version"] in done.stdout
    assert not (tmp_path / "mine/training.state").exists()


def test_models_import_without_ray_and_torch():
    code = "import sys, models, models.catalogue; print([m for m in ('ray', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
