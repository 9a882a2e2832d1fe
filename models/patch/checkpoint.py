"""A trained network as files: config.json, model.safetensors, calibration.json, manifest.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from models.calibration import Calibration
from models.patch.network import PatchNetwork

CALIBRATION_FILE = "calibration.json"


def save_checkpoint(
    network: PatchNetwork, directory: Path, made: dict[str, Any], calibration: Calibration | None = None
) -> str:
    """Writes a checkpoint and returns its version.

    Weights are kept in half precision, which is exact enough for them and takes
    half of the room. The version is taken from all files, so that another model
    never carries the same one.

    Args:
        made: how it came about; stored in the manifest as it is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    network.config.save(directory / "config.json")
    state = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    save_file(state, directory / "model.safetensors")
    names = ["config.json", "model.safetensors"]
    if calibration is not None:
        calibration.save(directory / CALIBRATION_FILE)
        names.append(CALIBRATION_FILE)
    digests = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in sorted(names)}
    version = f"2-{hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:10]}"
    manifest = {
        "name": directory.name,
        "version": version,
        "parameters": sum(value.numel() for value in network.parameters()),
        "sha256": digests,
        **made,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return version
