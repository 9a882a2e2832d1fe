"""The trained network behind the `Forecaster` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.panel import Panel
from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import batch_from_panel
from models.patch.network import PatchNetwork
from models.protocol import InputError, PanelForecaster

#: Context lengths, in patches, that a pass is padded to.
BUCKETS = (4, 8, 12, 16, 24, 32, 52)
ITEMS_PER_PASS = 512


class PatchForecaster(PanelForecaster):
    """Quantiles from a patch transformer; see the model card for what was measured."""

    def __init__(self, network: PatchNetwork, name: str, version: str):
        self.network = network.eval()
        self.config = network.config
        self.name = name
        self.version = version
        self.context_days = self.config.context_days
        self.covariates = self.config.covariates
        self.buckets = (*(b for b in BUCKETS if b < self.config.context_patches), self.config.context_patches)

    @staticmethod
    def load(directory: Path, name: str, version: str) -> PatchForecaster:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: the directory holds no such model, or its weights do not
                fit its config.
        """
        try:
            network = PatchNetwork(PatchConfig.load(directory / "config.json"))
            stored = load_file(directory / "model.safetensors")
            network.load_state_dict({key: value.float() for key, value in stored.items()})
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{directory} holds no patch model that can be read: {error}") from error
        return PatchForecaster(network, name, version)

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`.

        Raises:
            InputError: the horizon is longer than the model was trained for.
        """
        if horizon > self.config.horizon_days:
            raise InputError(
                f"horizon is {horizon}: model {self.name} forecasts at most {self.config.horizon_days} days"
            )
        out = np.full((panel.items, horizon, 1 + len(quantiles)), np.nan)
        known = np.isfinite(panel.target)
        some = known.any(axis=1)
        first = np.where(some, known.argmax(axis=1), panel.days)
        patches = -(-(panel.days - first) // PATCH_DAYS)
        bucket = np.searchsorted(self.buckets, patches)
        for index, length in enumerate(self.buckets):
            members = np.flatnonzero(some & (bucket == index))
            for start in range(0, len(members), ITEMS_PER_PASS):
                chosen = members[start : start + ITEMS_PER_PASS]
                units = self.forward(panel.rows(chosen), length)[:, :horizon]
                out[chosen] = at_levels(units, self.config.levels, quantiles)
        return out

    def forward(self, panel: Panel, context_patches: int) -> np.ndarray:
        """One pass: quantiles in units at the network's own levels, float32 (items, horizon days, levels)."""
        with torch.inference_mode():
            scaled, scale = self.network(batch_from_panel(panel, self.config, context_patches))
            units = torch.sinh(scaled).clamp(min=0.0) * scale[:, :, None]
        return np.asarray(units.numpy(), np.float32)


def at_levels(units: np.ndarray, levels: Sequence[float], asked: Sequence[float]) -> np.ndarray:
    """Mean and the asked quantiles from those at the network's levels.

    Between two levels the quantile is interpolated linearly; beyond the outer
    levels it stays at the outer one. The mean is the integral of that function.

    Returns:
        float64 (items, days, 1 + asked).
    """
    own = np.asarray(levels)
    want = np.clip(np.asarray(asked), own[0], own[-1])
    above = np.clip(np.searchsorted(own, want), 1, len(own) - 1)
    share = (want - own[above - 1]) / (own[above] - own[above - 1])
    values = units.astype(np.float64)
    between = values[..., above - 1] * (1.0 - share) + values[..., above] * share
    widths = np.diff(own, prepend=0.0, append=1.0)
    edges = np.concatenate([values[..., :1], values, values[..., -1:]], axis=-1)
    mean = ((edges[..., 1:] + edges[..., :-1]) / 2.0 * widths).sum(axis=-1)
    # The average of two equal floats may differ from them in the last digit.
    return np.concatenate([mean[..., None], np.maximum.accumulate(between, axis=-1)], axis=-1)
