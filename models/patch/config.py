"""Shape of the network, stored beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: A token is two weeks, so that every token sees each weekday twice.
PATCH_DAYS = 14


@dataclass(frozen=True)
class PatchConfig:
    """Everything needed to build the network again."""

    context_patches: int = 37
    horizon_patches: int = 2
    width: int = 192
    layers: int = 4
    heads: int = 4
    hidden: int = 576
    #: Numbers that a day is described by on its way into a token, and out of one.
    day_width: int = 40
    #: Layers that also attend over the items of a group.
    group_layers: tuple[int, ...] = (1, 2)
    covariates: tuple[str, ...] = ("price", "price_ratio", "promotion", "holiday", "temperature", "precipitation")
    #: Categories seen in training, by static column; a value that is not among them counts as unknown.
    static: dict[str, tuple[str, ...]] = field(default_factory=dict)
    levels: tuple[float, ...] = (
        0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99,
    )  # fmt: skip
    #: Days over which demand is totalled, and the levels of those totals.
    total_days: tuple[int, ...] = (1, 2, 3, 7, 14, 28)
    total_levels: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)

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
        stored: dict[str, Any] = json.loads(path.read_text())
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
        }
        known["static"] = {name: tuple(values) for name, values in stored["static"].items()}
        return PatchConfig(**known)


#: Sizes by name: about 2 and 10 million parameters.
SIZES = {
    "nano": PatchConfig(),
    "small": PatchConfig(width=416, layers=6, heads=8, hidden=1152, day_width=64, group_layers=(1, 3)),
}
