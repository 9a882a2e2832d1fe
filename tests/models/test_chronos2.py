"""The Chronos-2 adapter on a small model of its own class with random weights."""

import json

import numpy as np
import pyarrow as pa
import pytest

from models import InputError
from models.catalogue import open_model
from tests.models.tables import table

LEVELS = (0.1, 0.5, 0.9)
pytestmark = pytest.mark.timeout(600)  # importing transformers takes long on a busy machine


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    import torch
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model

    torch.manual_seed(0)
    own = {
        "context_length": 64,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "output_patch_size": 8,
        "max_output_patches": 4,
        "quantiles": [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
        "use_reg_token": True,
        "use_arcsinh": True,
        "time_encoding_scale": 64,
    }
    config = Chronos2CoreConfig(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, chronos_config=own)
    config.architectures = ["Chronos2Model"]
    path = tmp_path_factory.mktemp("chronos2")
    Chronos2Model(config).save_pretrained(path)
    return path


def values(forecast):
    return np.column_stack([forecast[name].to_numpy() for name in forecast.column_names[2:]]).astype(float)


def test_it_forecasts_within_the_protocol(directory, weekly):
    model = open_model(f"chronos2:{directory}")
    assert model.context_days == 64
    got = values(model.predict(weekly, None, 10, LEVELS))
    assert got.shape == (100, 4)
    assert np.isfinite(got).all()
    assert (got >= 0).all()
    assert (np.diff(got[:, 1:]) >= 0).all()
    again = open_model(f"chronos2:{directory}")
    assert again.version == model.version
    np.testing.assert_array_equal(values(again.predict(weekly, None, 10, LEVELS)), got)


def test_stocked_out_days_are_not_known_and_unknown_items_null(directory):
    model = open_model(f"chronos2:{directory}")
    sold = np.random.default_rng(0).poisson(5, 40).astype(float)
    hidden = [None if day % 4 == 0 else value for day, value in enumerate(sold)]
    out = pa.array([float(day % 4 == 0) for day in range(40)] + [0.0] * 40)
    stocked = model.predict(table({"a": sold, "b": [None] * 40}, stockout=out), None, 5, LEVELS)
    unknown = model.predict(table({"a": hidden, "b": [None] * 40}), None, 5, LEVELS)
    assert stocked.equals(unknown)
    assert stocked["0.5"].null_count == 5


def test_covariates_ahead_are_used(directory):
    model = open_model(f"chronos2:{directory}")
    sold = np.random.default_rng(0).poisson(5, 40).astype(float)
    past = table({"a": sold}, price=pa.array(np.where(np.arange(40) % 3, 2.0, 1.0)))

    def ahead(price):
        return table({"a": price}, first_day=20_040).rename_columns(["item_id", "timestamp", "price"])

    cheap, dear = (model.predict(past, ahead([price] * 5), 5, LEVELS) for price in (1.0, 9.0))
    assert not cheap.equals(dear)


def test_a_directory_without_a_model_is_refused(directory, tmp_path):
    with pytest.raises(InputError, match=r"has no config\.json"):
        open_model(f"chronos2:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(InputError, match="holds no Chronos-2 model"):
        open_model(f"chronos2:{tmp_path}")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="adapter without its base model"):
        open_model(f"chronos2:{tmp_path}")
