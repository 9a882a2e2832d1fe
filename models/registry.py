"""Models as immutable versions in a directory, with aliases that can be moved.

    root/NAME/versions/VERSION/manifest.json, and the model's files
    root/NAME/aliases/ALIAS           one version a line, the last one holds
    root/NAME/rollouts/ALIAS.json     see `models.rollouts`
    root/NAME/retired/VERSION.json    manifest of a version whose files are gone

A version is copied aside and renamed, and never changes after that: its
manifest has the SHA-256 of each file, which is checked whenever it is opened.
An alias keeps its history, so that it can be rolled back.

A reference is NAME@VERSION, NAME@ALIAS, or NAME for its alias "production".

The manifest says what the model needs and where it comes from (`inputs`,
`quantiles`, `training_data`, `metrics`, `code`), and names the class that reads the files as "module:Class"; it must
have `load(directory, name, version)` and is imported from what is installed
beside the worker. Push only what you would run.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.protocol import Forecaster, InputError, PanelForecaster
from models.replacing import replace_text

DEFAULT_ALIAS = "production"
DEFAULT_LOADER = "models.patch:PatchForecaster"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MANIFEST_BYTES_MAX = 1 << 20


class RegistryError(InputError):
    """A version cannot be stored, found or trusted; the message says what to do."""


@dataclass(frozen=True)
class Version:
    """A stored version."""

    name: str
    version: str
    directory: Path
    manifest: Mapping[str, Any]
    aliases: tuple[str, ...]

    @property
    def reference(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"


class Registry:
    """A directory of models; several processes may use it at once."""

    def __init__(self, root: Path):
        self.root = root

    def push(
        self,
        source: Path,
        name: str | None = None,
        loader: str | None = None,
        training_data: Path | None = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> Version:
        """Stores the model in a directory as a version of its own.

        The version is the manifest's, or else taken from the files' content.
        Pushing the same content again changes nothing.

        Args:
            name: as which to store it; by default the manifest's.
            loader: "module:Class"; by default the manifest's, or the patch transformer's.
            training_data: file that it was trained on; its SHA-256 is stored. By default
                what the manifest says.
            metrics: what was measured; by default what the manifest says.

        Raises:
            RegistryError: there is nothing to store, a name is not allowed, or
                the version is there already with other content or was retired.
            InputError: its class cannot be found or cannot read the files.
        """
        files = (
            sorted(path for path in source.rglob("*") if path.is_file() and path.name != "manifest.json")
            if source.is_dir()
            else []
        )
        if not files:
            raise RegistryError(f"{source} holds no model files: give the directory that training wrote")
        manifest = read_manifest(source) if (source / "manifest.json").exists() else {}
        digests = {str(path.relative_to(source)): sha256(path) for path in files}
        content = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
        name = allowed(name or manifest.get("name") or source.name, "name")
        version = allowed(manifest.get("version") or f"1-{content[:10]}", "version")
        loader = loader or manifest.get("loader") or DEFAULT_LOADER
        described = describe(load_class(loader).load(source, name, version), loader)
        if training_data is not None:
            described["training_data"] = {"file": training_data.name, "sha256": sha256(training_data)}
        if metrics is not None:
            described["metrics"] = dict(metrics)
        stored = {
            "training_data": None,
            "metrics": None,
            **manifest,
            **described,
            "name": name,
            "version": version,
            "loader": loader,
            "sha256": digests,
        }

        if self._history(name, version):
            raise RegistryError(f"{name} has an alias {version}: give the version another name")
        target = self.root / name / "versions" / version
        if self._retired(name, version).exists():
            raise RegistryError(f"{name}@{version} was retired: give this one a new version")
        if target.exists():
            if read_manifest(target)["sha256"] != digests:
                raise RegistryError(
                    f"{name}@{version} is stored with other files: versions never change, so give this one a new version"
                )
            return self.show(f"{name}@{version}")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            for path in files:
                copy = aside / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
            (aside / "manifest.json").write_text(json.dumps(stored, indent=1) + "\n")
            aside.chmod(0o755)
            aside.rename(target)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            if not target.exists():  # else another process stored it first
                raise RegistryError(f"cannot store {name}@{version} in {self.root}: {error}") from error
        return self.show(f"{name}@{version}")

    def versions(self) -> list[Version]:
        """Everything stored, by name and version."""
        found = sorted(self.root.glob("*/versions/*/manifest.json"))
        return [self.show(f"{path.parts[-4]}@{path.parts[-2]}") for path in found if not path.parts[-2].startswith(".")]

    def show(self, reference: str) -> Version:
        """Finds a version.

        Raises:
            RegistryError: there is none.
        """
        name, _, wanted = reference.partition("@")
        allowed(name, "name")
        version = allowed(wanted or DEFAULT_ALIAS, "version")
        history = self._history(name, version)
        version = history[-1] if history else version
        directory = self.root / name / "versions" / version
        if not (directory / "manifest.json").exists():
            known = sorted(path.name for path in directory.parent.glob("*") if not path.name.startswith("."))
            hint = f"it has {known} and aliases {self._aliases(name)}" if known else "nothing of that name is stored"
            raise RegistryError(f"no {reference} in {self.root}: {hint}")
        holding = tuple(alias for alias in self._aliases(name) if self._history(name, alias)[-1] == version)
        return Version(name, version, directory, read_manifest(directory), holding)

    def verify(self, reference: str) -> Version:
        """Finds a version and checks every file against its digest.

        Raises:
            RegistryError: a file is missing, added or changed.
        """
        found = self.show(reference)
        expected: dict[str, str] = found.manifest["sha256"]
        here = {str(path.relative_to(found.directory)) for path in found.directory.rglob("*") if path.is_file()} - {
            "manifest.json"
        }
        if here != set(expected):
            odd = sorted(here.symmetric_difference(expected))
            raise RegistryError(
                f"{found.reference} has other files than it was stored with ({', '.join(odd)}): push it again under a new version"
            )
        for file, digest in expected.items():
            if sha256(found.directory / file) != digest:
                raise RegistryError(
                    f"file {file} of {found.reference} is not the one that was stored: push it again under a new version"
                )
        return found

    def open(self, reference: str) -> Forecaster | PanelForecaster:
        """Verifies a version and loads it.

        Raises:
            RegistryError: see `verify`.
            InputError: the class cannot be found or cannot read the files.
        """
        found = self.verify(reference)
        loader = load_class(found.manifest["loader"])
        model: Forecaster | PanelForecaster = loader.load(found.directory, found.name, found.version)
        return model

    def promote(self, reference: str, alias: str = DEFAULT_ALIAS) -> Version:
        """Lets an alias stand for a version, which is verified first. Where it does, nothing changes."""
        found = self.verify(reference)
        history = self._history(found.name, allowed(alias, "alias"))
        # Twice in a row, it would be what a rollback goes back to.
        if history[-1:] != [found.version]:
            self._set(found.name, alias, [*history, found.version])
        return self.show(found.reference)

    def rollback(self, name: str, alias: str = DEFAULT_ALIAS) -> Version:
        """Lets an alias stand for what it stood for before.

        Raises:
            RegistryError: it has no earlier version.
        """
        before = self.before(name, alias)
        self._set(name, alias, self._history(name, alias)[:-1])
        return self.show(before.reference)

    def before(self, name: str, alias: str = DEFAULT_ALIAS) -> Version:
        """The version that an alias stood for before, verified.

        Raises:
            RegistryError: it has none, or the version was retired.
        """
        history = self._history(allowed(name, "name"), allowed(alias, "alias"))
        if len(history) < 2:
            raise RegistryError(
                f"alias {alias} of {name} has stood for {history or 'nothing'}: there is nothing to go back to"
            )
        if self._retired(name, history[-2]).exists():
            raise RegistryError(
                f"{name}@{history[-2]}, before in alias {alias}, was retired: promote a version instead"
            )
        return self.verify(f"{name}@{history[-2]}")

    def history(self, name: str, alias: str = DEFAULT_ALIAS) -> list[str]:
        """Versions that an alias has stood for, the last one holds; none where there is no such alias."""
        return self._history(allowed(name, "name"), allowed(alias, "alias"))

    def restore(self, name: str, alias: str, history: list[str]) -> None:
        """Gives an alias the history that it had before it was moved; without any there is no such alias.

        Raises:
            OSError: it cannot be written; the alias stands as it does.
        """
        if history:
            self._set(name, alias, history)
        else:
            (self.root / allowed(name, "name") / "aliases" / allowed(alias, "alias")).unlink(missing_ok=True)

    def retire(self, reference: str) -> Version:
        """Takes a version out; its manifest is kept, so that no other ever gets its name.

        Raises:
            RegistryError: it is no NAME@VERSION, or an alias or a rollout uses it.
        """
        from models.rollouts import rollouts_of

        found = self.show(reference)
        if found.reference != reference:
            raise RegistryError(f"{reference} stands for {found.reference}: name the version to retire it")
        if found.aliases:
            raise RegistryError(
                f"alias {', '.join(found.aliases)} of {found.name} stands for {found.version}: promote another version first"
            )
        for rollout in rollouts_of(self.root, found.name):
            if rollout.live and rollout.candidate == found.version:
                raise RegistryError(
                    f"{reference} is the candidate of {rollout.route} in {rollout.stage}: roll it back first"
                )
        kept = self._retired(found.name, found.version)
        replace_text(kept, json.dumps(dict(found.manifest), indent=1) + "\n")
        # Out of sight in one step, so that nobody finds half of it.
        aside = found.directory.with_name(f".retired-{found.version}")
        found.directory.rename(aside)
        shutil.rmtree(aside)
        return found

    def _retired(self, name: str, version: str) -> Path:
        return self.root / name / "retired" / f"{version}.json"

    def _aliases(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.root / name / "aliases").glob("*") if not path.name.startswith("."))

    def _history(self, name: str, alias: str) -> list[str]:
        path = self.root / name / "aliases" / alias
        return path.read_text().split() if path.is_file() else []

    def _set(self, name: str, alias: str, history: list[str]) -> None:
        path = self.root / name / "aliases" / alias
        if (self.root / name / "versions" / alias).exists():
            raise RegistryError(f"{alias} is a version of {name}: choose another name for the alias")
        replace_text(path, "\n".join(history) + "\n")


def allowed(value: Any, what: str) -> str:
    """Returns a name that is safe as one part of a path.

    Raises:
        RegistryError: it is not.
    """
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise RegistryError(f"{what} {value!r} is not allowed: use up to 64 of a-z, 0-9, dot, dash and underscore")
    return value


def read_manifest(directory: Path) -> dict[str, Any]:
    """Reads manifest.json.

    Raises:
        RegistryError: it is no JSON object of a sensible size.
    """
    path = directory / "manifest.json"
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise RegistryError(f"{path} is larger than {MANIFEST_BYTES_MAX} bytes: it is no manifest")
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RegistryError(f"cannot read {path}: {error}") from error
    if not isinstance(manifest, dict):
        raise RegistryError(f"{path} is no JSON object: it is no manifest")
    return manifest


def load_class(loader: str) -> Any:
    """Imports "module:Class".

    Raises:
        InputError: it cannot be imported, or has no `load`.
    """
    module, _, name = loader.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"cannot import {loader!r}: {error}; install its package, or write it as module:Class"
        ) from error
    if not callable(getattr(found, "load", None)):
        raise InputError(f"{loader} has no load(directory, name, version): add it to the class")
    return found


def describe(model: Forecaster | PanelForecaster, loader: str) -> dict[str, Any]:
    """What a loaded model needs, and the code that it runs on.

    A model says more about itself by the attributes `context_days`, `covariates`,
    `horizon_days` and `levels`; what it does not say is null: no limit, any level.
    """
    config = getattr(model, "config", model)
    levels = getattr(config, "levels", None)
    module = sys.modules.get(loader.partition(":")[0])
    file = getattr(module, "__file__", None)
    return {
        "inputs": {
            "context": {"item_id": "string", "timestamp": "date", "target": "number", "stockout": "number, optional"},
            "context_days": getattr(model, "context_days", None),
            "covariates": list(getattr(model, "covariates", ())),
            "horizon_days": getattr(config, "horizon_days", None),
        },
        "quantiles": None if levels is None else list(levels),
        "code": {
            "bespeak": importlib.metadata.version("bespeak"),
            "python": platform.python_version(),
            "loader_sha256": sha256(Path(file)) if file else None,
        },
    }


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
