"""Padded and recorded passes say what a plain one says, in every shape, and whatever was asked before."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import InputError
from models.panel import Panel
from models.patch import PatchConfig, PatchForecaster
from models.patch.features import batch_from_panel
from models.patch.forecaster import PADDED_ITEMS
from models.patch.network import PatchNetwork
from models.patch.passes import Padded, Plain, Recorded, all_shapes, repeating
from models.protocol import PassShape

torch.set_num_threads(1)
CONFIG = PatchConfig(context_patches=4, width=16, layers=2, heads=2, hidden=16, group_layers=(0,), day_width=8)
SIZES, LENGTHS = (3, 8), (2, 4)
SHAPES = all_shapes(SIZES, LENGTHS)


def network(seed=0, config=CONFIG):
    torch.manual_seed(seed)
    made = PatchNetwork(config).eval()
    with torch.no_grad():  # a group starts without influence
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def batch(rng, items, length, *, grouped):
    days = CONFIG.context_days
    sold = rng.poisson(rng.uniform(0.5, 30.0, (items, 1)), (items, days)).astype(np.float32)
    sold[rng.random(sold.shape) < 0.1] = np.nan
    panel = Panel(
        None,
        rng.integers(18_000, 20_000, items),
        sold,
        (rng.random(sold.shape) < 0.05).astype(np.float32),
        {"price": rng.uniform(0.5, 1.5, (items, days + 28)).astype(np.float32)},
        group=rng.integers(0, 2, items) if grouped else None,
    )
    made = batch_from_panel(panel, CONFIG, length)
    # Whether few items happen to share a group does not matter here.
    return replace(made, group=torch.from_numpy(panel.group)) if grouped else made


def assert_same(found, wanted):
    for name, value in vars(wanted).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_recorded_and_padded_passes_say_what_a_plain_one_says(seed):
    rng = np.random.default_rng(seed)
    plain = Plain(network(), "cpu")
    others = [Padded(network(), "cpu", SIZES), Recorded(network(), CONFIG, "cpu", SHAPES)]
    with torch.inference_mode():
        for _ in range(40):  # in any order, so that what one pass left in its memory would be seen
            asked = batch(rng, int(rng.integers(1, 9)), int(rng.choice(LENGTHS)), grouped=bool(rng.random() < 0.5))
            for other in others:
                assert_same(other(asked), plain(asked))


def test_an_answer_is_not_written_over_by_the_next():
    rng = np.random.default_rng(1)
    recorded = Recorded(network(), CONFIG, "cpu", SHAPES)
    with torch.inference_mode():
        first = recorded(batch(rng, 8, 4, grouped=False))
        kept = first.quantiles.clone()
        recorded(batch(rng, 8, 4, grouped=False))
    assert torch.equal(first.quantiles, kept)


def test_every_shape_is_recorded_before_the_first_is_asked_and_none_after():
    ran = []

    def recorder(compute):
        again, output = repeating(compute)
        ran.append(tuple(output.quantiles.shape))
        return again, output

    recorded = Recorded(network(), CONFIG, "cpu", SHAPES, recorder)
    assert len(ran) == len(SHAPES) == 8
    with torch.inference_mode():
        recorded(batch(np.random.default_rng(0), 5, 2, grouped=True))
    assert len(ran) == 8


def test_what_is_replayed_is_on_the_same_memory():
    """As on a GPU, where a graph reads and writes what it was recorded with, whoever holds it."""
    at = []

    def seen(given):
        at.append(given.target.data_ptr())
        return network()(given)

    recorded = Recorded(seen, CONFIG, "cpu", [PassShape(8, 56, grouped=False)])
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for items in (8, 3):
            recorded(batch(rng, items, 4, grouped=False))
    assert len(at) == 3
    assert len(set(at)) == 1


def test_callers_in_several_threads_get_their_own_answers():
    rng = np.random.default_rng(2)
    plain, recorded = Plain(network(), "cpu"), Recorded(network(), CONFIG, "cpu", SHAPES)
    asked = [batch(rng, 8, 4, grouped=False) for _ in range(4)]
    wrong = []

    def ask(one):
        with torch.inference_mode():
            wanted = plain(one)
            found = [recorded(one).quantiles for _ in range(20)]
        wrong.extend(one for one in found if not torch.allclose(one, wanted.quantiles, rtol=1e-4, atol=1e-5))

    threads = [threading.Thread(target=ask, args=(one,)) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_shape_that_was_not_recorded_and_one_that_cannot_be_are_named():
    recorded = Recorded(network(), CONFIG, "cpu", SHAPES)
    with torch.inference_mode(), pytest.raises(InputError, match="no pass of 9 series over 28 days was recorded"):
        recorded(batch(np.random.default_rng(0), 9, 2, grouped=False))

    def refusing(compute):
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(InputError, match="8 series over 56 days cannot be recorded: operation not permitted"):
        Recorded(network(), CONFIG, "cpu", SHAPES, refusing)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_forecaster_that_records_says_what_it_said(weekly, precision):
    model, plain = (PatchForecaster(network(), "small", "1") for _ in range(2))
    plain.prepare(precision)
    model.prepare(precision)
    report = model.record()
    assert (report.recorded, report.precision, report.device) == (True, precision, "cpu")
    wanted, found = (
        np.column_stack([c.to_numpy() for c in one.predict(weekly, None, 14).columns[2:]]) for one in (plain, model)
    )
    # The recorded network and the one for answers on a CPU differ by their rounding.
    tolerance = 1e-5 if precision == "float32" else 0.05
    assert np.abs(found - wanted).sum() < tolerance * np.abs(wanted).sum()
    with pytest.raises(InputError, match="replays recorded passes already"):
        model.record()
    assert not model.prepare(precision).recorded
    assert {shape.series for shape in model.pass_shapes} == set(PADDED_ITEMS)
    assert {shape.days for shape in model.pass_shapes} == {14 * length for length in model.buckets}
