"""What a rollout left behind: one JSON file an alias, replaced by rename.

    root/NAME/rollouts/ALIAS.json

A worker that starts goes on from it. The alias itself says which version is
active; the file says which candidate stands beside it, and how far it got.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from models.registry import DEFAULT_ALIAS, RegistryError, allowed
from models.replacing import replace_text

Stage = Literal["none", "shadow", "canary", "aborted"]
STAGES: tuple[Stage, ...] = ("none", "shadow", "canary", "aborted")
FILE_BYTES_MAX = 1 << 16


@dataclass(frozen=True)
class Rollout:
    """State of one route, without its scores."""

    name: str
    alias: str = DEFAULT_ALIAS
    #: Version beside the active one, or that was there until it was aborted.
    candidate: str = ""
    stage: Stage = "none"
    #: Share of the items, 0 to 1.
    share: float = 0.0
    abort_if: str = ""
    #: Level and days for which the units to keep are compared.
    service_level: float = 0.9
    lead_days: int = 7
    #: What happened last.
    said: str = ""

    @property
    def route(self) -> str:
        """What requests name."""
        return self.name if self.alias == DEFAULT_ALIAS else f"{self.name}@{self.alias}"

    @property
    def live(self) -> bool:
        """Whether the candidate gets traffic."""
        return self.stage in ("shadow", "canary")


def path_of(root: Path, name: str, alias: str) -> Path:
    """Where the state of a route lies."""
    return root / allowed(name, "name") / "rollouts" / f"{allowed(alias, 'alias')}.json"


def read_rollout(root: Path, name: str, alias: str = DEFAULT_ALIAS) -> Rollout | None:
    """Reads the state of a route; None where there has been no rollout.

    Raises:
        RegistryError: the file is not one that was written here.
    """
    path = path_of(root, name, alias)
    if not path.exists():
        return None
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict):
            raise TypeError("it is no JSON object")
        found = Rollout(**{**_known(stored), "name": name, "alias": alias})
        if found.stage not in STAGES or not 0.0 <= found.share <= 1.0:
            raise ValueError(f"stage {found.stage!r} with share {found.share!r}")
    except (OSError, ValueError, TypeError) as error:
        raise RegistryError(f"cannot read {path}: {error}; remove the file to start without its rollout") from error
    return found


def _known(stored: dict[str, Any]) -> dict[str, Any]:
    """The fields of this version; one that a later version added is left out."""
    return {one.name: stored[one.name] for one in fields(Rollout) if one.name in stored}


def write_rollout(root: Path, rollout: Rollout) -> None:
    """Replaces the state of a route; after a crash it is the old or the new one."""
    replace_text(path_of(root, rollout.name, rollout.alias), json.dumps(asdict(rollout), indent=1) + "\n")


def rollouts_of(root: Path, name: str) -> list[Rollout]:
    """The states of all routes of a model."""
    found = [read_rollout(root, name, path.stem) for path in sorted((root / name / "rollouts").glob("*.json"))]
    return [one for one in found if one is not None]


def routes_of(root: Path) -> list[Rollout]:
    """The states of all routes that a rollout has made."""
    return [one for path in sorted(root.glob("*/rollouts")) for one in rollouts_of(root, path.parent.name)]
