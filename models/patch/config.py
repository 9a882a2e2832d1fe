"""Shape of the network, stored beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

#: A token is one week, so that every token sees each weekday once.
PATCH_DAYS = 7


@dataclass(frozen=True)
class PatchConfig:
    """Everything needed to build the network again."""

    context_patches: int = 73
    horizon_patches: int = 4
    width: int = 96
    layers: int = 4
    heads: int = 4
    hidden: int = 256
    covariates: tuple[str, ...] = ("price", "promotion", "holiday")
    levels: tuple[float, ...] = (
        0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99,
    )  # fmt: skip

    @property
    def context_days(self) -> int:
        """Days of history the network can look at."""
        return self.context_patches * PATCH_DAYS

    @property
    def horizon_days(self) -> int:
        """Longest horizon that it was trained for."""
        return self.horizon_patches * PATCH_DAYS

    def save(self, path: Path) -> None:
        """Writes JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> PatchConfig:
        """Reads what `save` wrote."""
        stored = json.loads(path.read_text())
        stored["covariates"] = tuple(stored["covariates"])
        stored["levels"] = tuple(stored["levels"])
        return PatchConfig(**stored)
