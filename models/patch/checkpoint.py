"""A trained network as files: config.json, model.safetensors, manifest.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from models.patch.network import PatchNetwork


def save_checkpoint(network: PatchNetwork, directory: Path, made: dict[str, Any]) -> str:
    """Writes a checkpoint and returns its version.

    The version is taken from the weights, so that other weights never carry
    the same one.

    Args:
        made: how it came about; stored in the manifest as it is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / "model.safetensors"
    network.config.save(directory / "config.json")
    state = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    save_file(state, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    version = f"1-{digest[:10]}"
    parameters = sum(value.numel() for value in network.parameters())
    manifest = {
        "name": directory.name,
        "version": version,
        "parameters": parameters,
        "sha256": {"model.safetensors": digest},
        **made,
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return version
