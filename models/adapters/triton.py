"""A model on a Triton inference server.

The model has these tensors, without a batch dimension of Triton's own
(`max_batch_size: 0`); the first axis is the items:

| tensor | type | shape and meaning |
|---|---|---|
| TARGET | FP32 | (items, days): units sold, NaN where not known; the last column is the item's last day |
| STOCKOUT | FP32 | (items, days): share of the day without stock, 0 to 1 |
| LAST_DAY | INT64 | (items): the last day, days since 1970-01-01 |
| COVARIATES | FP32 | (items, days + horizon, names): NaN where not known; only asked for when the model declares it |
| HORIZON | INT32 | (1): days ahead |
| QUANTILES | FP64 | (levels): ascending |
| FORECAST, output | FP32 or FP64 | (items, horizon, 1 + levels): mean, then the quantiles, units; NaN for an item that it cannot forecast |

The covariates' names, in their order, and the days of history it looks at are
read from the model's parameters `covariates` (comma-separated) and
`context_days`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.baselines.packages import challenger
from models.panel import Panel
from models.protocol import InputError, PanelForecaster

COMPUTE = "requirements/compute.txt"
CONTEXT_DAYS = 364
ITEMS_PER_CALL = 2048
CONNECT_SECONDS = 5.0
CALL_SECONDS = 30.0
MESSAGE_BYTES_MAX = 256 << 20
OUTPUT = "FORECAST"


class TritonError(RuntimeError):
    """The server did not answer, or its answer breaks the contract."""


class TritonForecaster(PanelForecaster):
    """Calls a model on a Triton server over gRPC, in the clear: keep it on this machine or a private network.

    Quantiles of its answer are sorted, and negative values taken as 0.
    """

    def __init__(self, address: str, model: str, *, call_seconds: float = CALL_SECONDS):
        self._grpc = challenger("tritonclient.grpc", COMPUTE)
        self._address = address
        self._model = model
        self._call_seconds = call_seconds
        self.name = f"triton:{address}/{model}"
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        options += [("grpc.max_send_message_length", MESSAGE_BYTES_MAX)]
        self._client = self._grpc.InferenceServerClient(address, channel_args=options)
        try:
            metadata = self._client.get_model_metadata(model, client_timeout=CONNECT_SECONDS)
            config = self._client.get_model_config(model, client_timeout=CONNECT_SECONDS).config
            ready = self._client.is_model_ready(model, client_timeout=CONNECT_SECONDS)
        except self._failure() as error:
            self.close()
            raise InputError(f"no model {model!r} on the Triton server at {address}: {error}") from error
        self.version = metadata.versions[-1] if metadata.versions else "1"
        self._takes = {tensor.name for tensor in metadata.inputs}
        given = {key: value.string_value for key, value in config.parameters.items()}
        self.context_days = _days(given.get("context_days", str(CONTEXT_DAYS)), self.name)
        self.covariates = tuple(name for name in given.get("covariates", "").split(",") if name)
        if config.max_batch_size or not ready or OUTPUT not in {tensor.name for tensor in metadata.outputs}:
            self.close()
            raise InputError(
                f"model {model!r} at {address} has max_batch_size {config.max_batch_size}, ready {ready}, outputs {[t.name for t in metadata.outputs]}: it must be ready, have max_batch_size 0 and output {OUTPUT}"
            )

    @classmethod
    def connect(cls, where: str) -> TritonForecaster:
        """Opens HOST:PORT/MODEL.

        Raises:
            InputError: it is not of that form, nothing answers there, or the
                model is not of the contract.
        """
        address, slash, model = where.partition("/")
        if not slash or not model or ":" not in address:
            raise InputError(f"triton model {where!r}: write it as HOST:PORT/MODEL")
        return cls(address, model)

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`.

        Raises:
            TritonError: no answer in time, or one that is not of the contract.
        """
        parts = [
            self._call(panel.rows(slice(start, start + ITEMS_PER_CALL)), horizon, quantiles)
            for start in range(0, panel.items, ITEMS_PER_CALL)
        ]
        return np.concatenate(parts)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _call(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        tensors: dict[str, np.ndarray] = {
            "TARGET": panel.target.astype(np.float32),
            "STOCKOUT": panel.stockout.astype(np.float32),
            "LAST_DAY": panel.last_day.astype(np.int64),
            "HORIZON": np.asarray([horizon], np.int32),
            "QUANTILES": np.asarray(quantiles, np.float64),
        }
        if "COVARIATES" in self._takes:
            absent = np.full((panel.items, panel.days + horizon), np.nan, np.float32)
            columns = [panel.covariates.get(name, absent) for name in self.covariates]
            tensors["COVARIATES"] = np.stack(columns, axis=2) if columns else absent[:, :, None][:, :, :0]
        inputs = [self._input(name, values) for name, values in tensors.items() if name in self._takes]
        wanted = [self._grpc.InferRequestedOutput(OUTPUT)]
        try:
            answer = self._client.infer(
                self._model, inputs, outputs=wanted, client_timeout=self._call_seconds
            ).as_numpy(OUTPUT)
        except self._failure() as error:
            raise TritonError(f"{self.name} gave no forecast within {self._call_seconds:g} s: {error}") from error
        expected = (panel.items, horizon, 1 + len(quantiles))
        if answer is None or answer.shape != expected or answer.dtype.kind != "f":
            found = "nothing" if answer is None else f"{answer.dtype} of shape {answer.shape}"
            raise TritonError(f"{self.name} gave {found} as {OUTPUT}, not floats of shape {expected}")
        if np.isinf(answer).any():
            raise TritonError(f"{self.name} gave an infinite forecast")
        values = np.maximum(answer.astype(np.float64), 0.0)
        values[..., 1:] = np.sort(values[..., 1:], axis=-1)
        return values

    def _input(self, name: str, values: np.ndarray) -> Any:
        kinds = {"f4": "FP32", "f8": "FP64", "i4": "INT32", "i8": "INT64"}
        made = self._grpc.InferInput(name, list(values.shape), kinds[values.dtype.str[1:]])
        made.set_data_from_numpy(np.ascontiguousarray(values))
        return made

    @staticmethod
    def _failure() -> type[Exception]:
        failure: type[Exception] = challenger("tritonclient.utils", COMPUTE).InferenceServerException
        return failure


def _days(given: str, name: str) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise InputError(f"{name} has parameter context_days {given!r}: give a number of days")
    return int(given)
