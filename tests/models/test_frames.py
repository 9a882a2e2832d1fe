"""Forecasts of data frames and arrays are those of the tables."""

import numpy as np
import polars as pl
import pytest

from models import Climatology, InputError
from models.frames import predict_df, predict_quantiles


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_frame_gives_a_frame_of_its_kind(weekly, kind):
    names = {"item_id": "sku", "timestamp": "day", "target": "sold"}
    frame = weekly.rename_columns(list(names.values()))
    frame = frame.to_pandas() if kind == "pandas" else pl.from_arrow(frame)
    columns = {"id_column": "sku", "timestamp_column": "day", "target": "sold"}
    got = predict_df(Climatology(), frame, prediction_length=7, quantile_levels=[0.1, 0.9], **columns)
    assert type(got) is type(frame)
    assert list(got.columns) == ["sku", "day", "target_name", "predictions", "0.1", "0.9"]
    expected = Climatology().predict(weekly, None, 7, (0.1, 0.9))
    for ours, theirs in (("predictions", "mean"), ("0.1", "0.1"), ("0.9", "0.9")):
        np.testing.assert_array_equal(got[ours].to_numpy(), expected[theirs].to_numpy())
    assert str(got["day"].to_list()[0])[:10] == str(expected["timestamp"][0])


def test_arrays_keep_their_order():
    quantiles, mean = predict_quantiles(Climatology(), [np.full(20 + n, float(n)) for n in range(12)], 3, [0.5])
    assert quantiles.shape == (12, 3, 1)
    assert mean[:, 0].tolist() == [float(n) for n in range(12)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict_df(Climatology(), {"a": 1}, prediction_length=3), "give a pandas or polars DataFrame"),
        (lambda: predict_quantiles(Climatology(), [], 3), "no series given"),
        (lambda: predict_quantiles(Climatology(), [np.empty(0)], 3), "series 0 has shape"),
        (lambda: predict_quantiles(Climatology(), [np.ones((2, 2))], 3), "series 0 has shape"),
        (lambda: predict_df(Climatology(), pl.DataFrame({"a": [1]}), prediction_length=3), "no column 'item_id'"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
