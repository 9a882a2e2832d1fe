"""Packages that only some forecasters need."""

from __future__ import annotations

import importlib
from typing import Any

from models.protocol import InputError

CHALLENGERS = "requirements/challengers.txt"


def challenger(package: str, requirements: str = CHALLENGERS) -> Any:
    """Imports an optional package.

    Raises:
        InputError: it is not installed, or fails to load.
    """
    try:
        return importlib.import_module(package)
    except (ImportError, OSError) as error:
        raise InputError(
            f"package {package} cannot be imported ({error}): install what {requirements} lists"
        ) from error
