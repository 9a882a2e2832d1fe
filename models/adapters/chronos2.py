"""Chronos-2 from weights of your own.

Ansari et al. 2025, "Chronos-2: From univariate to universal forecasting". The
package chronos-forecasting runs it; the weights are read from a directory that
you name, with config.json and model.safetensors as they are published. Nothing
is ever downloaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.baselines.packages import challenger
from models.panel import Panel
from models.protocol import InputError, PanelForecaster
from models.quantiles import at_levels, mean_of

COVARIATES = ("price", "promotion", "holiday")
#: Series in a pass, covariates counted too, as its authors use.
BATCH_SERIES = 256
#: Read before the package is imported; both keep its libraries off the network.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class Chronos2Forecaster(PanelForecaster):
    """Quantiles of a Chronos-2 model.

    Stocked-out days are given to it as not known. A covariate takes part when
    it is known somewhere ahead. Between the levels of the model quantiles are
    interpolated, beyond them they stay at the outer one; the mean is the
    integral of that function, where the package itself gives the median.
    """

    def __init__(self, pipeline: Any, name: str, version: str, covariates: Sequence[str] = COVARIATES):
        self.pipeline = pipeline
        self.name = name
        self.version = version
        self.covariates = tuple(covariates)
        self.context_days = int(pipeline.model.chronos_config.context_length)

    @classmethod
    def load(cls, directory: Path, name: str = "chronos2", version: str = "") -> Chronos2Forecaster:
        """Reads config.json and model.safetensors of a directory.

        Raises:
            InputError: chronos-forecasting is not installed, or the directory
                holds no Chronos-2 model that stands for itself.
        """
        if not (directory / "config.json").is_file():
            raise InputError(f"{directory} has no config.json: name the directory of a Chronos-2 model")
        if (directory / "adapter_config.json").exists():
            raise InputError(f"{directory} holds an adapter without its base model: merge it first")
        os.environ.update(OFFLINE)
        chronos = challenger("chronos")
        try:
            pipeline = chronos.Chronos2Pipeline.from_pretrained(str(directory), local_files_only=True)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
            raise InputError(f"{directory} holds no Chronos-2 model that can be read: {error}") from error
        pipeline.model.eval()
        return cls(pipeline, name, version or fingerprint(directory))

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`."""
        out = np.full((panel.items, horizon, 1 + len(quantiles)), np.nan)
        in_stock = np.where(panel.stockout > 0.0, np.nan, panel.target).astype(np.float32)
        some = np.isfinite(in_stock).any(axis=1, keepdims=True)
        target = np.where(some, in_stock, panel.target)
        known = np.isfinite(target)
        chosen = np.flatnonzero(known.any(axis=1))
        if not len(chosen):
            return out
        names = [name for name, v in panel.covariates.items() if np.isfinite(v[chosen, panel.days :]).any()]
        inputs = []
        for item in chosen:
            first = int(known[item].argmax())
            series: dict[str, Any] = {"target": target[item, first:]}
            if names:
                known_of = {name: panel.covariates[name][item] for name in names}
                series["past_covariates"] = {name: v[first : panel.days] for name, v in known_of.items()}
                series["future_covariates"] = {name: v[panel.days :][:horizon] for name, v in known_of.items()}
            inputs.append(series)
        own = list(self.pipeline.quantiles)
        made, _ = self.pipeline.predict_quantiles(
            inputs, prediction_length=horizon, quantile_levels=own, batch_size=BATCH_SERIES
        )
        values = np.stack([np.asarray(one.float().numpy())[0] for one in made])
        if values.shape != (len(chosen), horizon, len(own)):
            raise RuntimeError(f"{self.name} gave shape {values.shape}, not {(len(chosen), horizon, len(own))}")
        units = np.sort(np.maximum(values, 0.0), axis=-1)
        out[chosen, :, 0] = mean_of(units, own)
        out[chosen, :, 1:] = at_levels(units, own, quantiles)
        return out


def fingerprint(directory: Path) -> str:
    """Ten digits of the SHA-256 over the model's files."""
    digest = hashlib.sha256()
    for path in sorted(directory.glob("*")):
        if path.suffix in (".json", ".safetensors", ".bin"):
            digest.update(path.name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:10]
