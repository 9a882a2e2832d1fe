"""The Triton adapter against a real Triton server."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models import Climatology, InputError
from models.adapters.triton import TritonError, TritonForecaster
from models.catalogue import open_model
from tests.models.tables import table
from tests.models.triton.server import environment, free_ports, triton_server

pytestmark = pytest.mark.timeout(600)  # the first run builds the server's environment


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    environment()
    models = Path(__file__).parent / "triton"
    with triton_server(models, tmp_path_factory.mktemp("triton") / "log") as address:
        yield address


def test_its_answer_is_the_models(server, weekly):
    model = open_model(f"triton:{server}/climatology")
    assert (model.name, model.version, model.context_days) == (f"triton:{server}/climatology", "1", 56)
    got = model.predict(weekly, None, 21, (0.1, 0.5, 0.95))
    assert got.equals(Climatology().predict(weekly, None, 21, (0.1, 0.5, 0.95)))


@pytest.mark.parametrize("seed", range(4))
def test_gaps_stock_outs_and_unknown_items_travel(server, seed):
    rng = np.random.default_rng(seed)
    items, out = {}, []
    for index in range(7):
        days = int(rng.integers(1, 90))
        values = rng.poisson(4, days).astype(float).tolist()
        items[f"i{index}"] = [None if rng.random() < 0.2 or index == 3 else value for value in values]
        out.append(np.where(rng.random(days) < 0.2, 0.5, 0.0))
    context = table(items, stockout=pa.array(np.concatenate(out)))
    got = TritonForecaster.connect(f"{server}/climatology").predict(context, None, 9)
    assert got.equals(Climatology().predict(context, None, 9))
    assert got["mean"].null_count == 9


def test_many_items_are_sent_in_parts(server, monkeypatch):
    monkeypatch.setattr("models.adapters.triton.ITEMS_PER_CALL", 7)
    context = table({f"i{index:02d}": [float(index)] * 20 for index in range(30)})
    got = TritonForecaster.connect(f"{server}/climatology").predict(context, None, 3)
    assert got.equals(Climatology().predict(context, None, 3))


def test_a_wrong_shape_is_refused(server, weekly):
    model = TritonForecaster.connect(f"{server}/wrong_shape")
    with pytest.raises(TritonError, match=r"shape \(10, 6, 4\) as FORECAST, not floats of shape \(10, 7, 4\)"):
        model.predict(weekly, None, 7, (0.1, 0.5, 0.9))


def test_a_slow_model_is_given_up(server, weekly):
    model = TritonForecaster(server, "slow", call_seconds=0.3)
    begun = time.monotonic()
    with pytest.raises(TritonError, match=r"gave no forecast within 0\.3 s"):
        model.predict(weekly, None, 7)
    assert time.monotonic() - begun < 5


def test_what_cannot_be_opened_says_why(server):
    (closed,) = free_ports(1)
    for where, message in [
        (f"{server}/absent", "no model 'absent' on the Triton server"),
        (f"127.0.0.1:{closed}/climatology", "no model 'climatology' on the Triton server"),
        (f"{server}/batched", "has max_batch_size 8"),
        ("climatology", "write it as HOST:PORT/MODEL"),
        ("host/climatology", "write it as HOST:PORT/MODEL"),
    ]:
        with pytest.raises(InputError, match=message):
            open_model(f"triton:{where}")
