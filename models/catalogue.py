"""Models by name: those that ship with the tree."""

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


def open_model(name: str) -> Forecaster | PanelForecaster:
    """Loads a model, ready to predict.

    Raises:
        UnknownModelError: the name is not one of `shipped()`.
        InputError: its files cannot be read.
    """
    if name == Climatology.name:
        return Climatology()
    directory = CHECKPOINTS / name
    if name not in shipped():
        raise UnknownModelError(f"no model {name!r} ships here, only {list(shipped())}: name one of them")
    from models.patch import PatchForecaster

    manifest = json.loads((directory / "manifest.json").read_text())
    return PatchForecaster.load(directory, name, manifest["version"])
