"""Models by name: those that ship with the tree, and those of a registry."""

from __future__ import annotations

import json
from pathlib import Path

from models.climatology import Climatology
from models.protocol import Forecaster, InputError, PanelForecaster

CHECKPOINTS = Path(__file__).parent / "checkpoints"


class UnknownModelError(InputError):
    """No model has that name."""


def shipped() -> tuple[str, ...]:
    """Names that `open_model` takes."""
    stored = sorted(path.parent.name for path in CHECKPOINTS.glob("*/manifest.json"))
    return (Climatology.name, *stored)


def open_model(name: str, registry: Path | None = None) -> Forecaster | PanelForecaster:
    """Loads a model, ready to predict.

    Args:
        name: one of `shipped()`, or a reference into the registry: see `models.registry`.

    Raises:
        UnknownModelError: there is no registry and the name is not one of `shipped()`.
        InputError: its files cannot be read or are not those that were stored.
    """
    if name == Climatology.name:
        return Climatology()
    directory = CHECKPOINTS / name
    if name not in shipped():
        if registry is not None:
            from models.registry import Registry

            return Registry(registry).open(name)
        raise UnknownModelError(
            f"no model {name!r} ships here, only {list(shipped())}: name one of them, or give a registry"
        )
    from models.patch import PatchForecaster

    manifest = json.loads((directory / "manifest.json").read_text())
    return PatchForecaster.load(directory, name, manifest["version"])
