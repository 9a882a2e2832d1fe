"""`python -m models push|list|show`, and those of `models.rollout_commands`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.catalogue import open_model, shipped
from models.protocol import InputError
from models.registry import Registry
from models.rollout_commands import app as rollout_commands
from models.rollout_commands import told

app = typer.Typer()
console = Console()
Root = Annotated[Path, typer.Option("--registry", envvar="BESPEAK_MODEL_REGISTRY", help="Directory of the registry.")]
Reference = Annotated[str, typer.Argument(help="NAME@VERSION, NAME@ALIAS or NAME.")]


@app.command()
def push(
    source: Annotated[Path, typer.Argument(help="Directory that training wrote, or with your own model's files.")],
    registry: Root,
    name: Annotated[str | None, typer.Option(help="As which to store it.")] = None,
    loader: Annotated[str | None, typer.Option(help="Class that reads the files, as module:Class.")] = None,
    data: Annotated[Path | None, typer.Option(exists=True, help="What it was trained on; its SHA-256 is kept.")] = None,
    metrics: Annotated[Path | None, typer.Option(exists=True, help="JSON object of what was measured.")] = None,
) -> None:
    """Store a model as an immutable version."""
    told(Registry(registry).push(source, name, loader, data, measured(metrics)), "stored")


def measured(path: Path | None) -> dict[str, Any] | None:
    """Reads a file of metrics.

    Raises:
        InputError: it holds no JSON object.
    """
    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is no JSON object: write the metrics as one")
    return found


@app.command(name="list")
def list_models(
    registry: Annotated[
        Path | None, typer.Option(envvar="BESPEAK_MODEL_REGISTRY", help="Directory of the registry.")
    ] = None,
) -> None:
    """List the models that ship here, and those of a registry."""
    table = Table("name", "version", "aliases", "from")
    for name in shipped():
        try:
            table.add_row(name, open_model(name).version, "", "shipped")
        except InputError as missing:
            table.add_row(name, "-", "", str(missing))
    for found in Registry(registry).versions() if registry else []:
        table.add_row(found.name, found.version, ", ".join(found.aliases), "registry")
    console.print(table)


@app.command()
def show(reference: Reference, registry: Root) -> None:
    """Show a version's manifest, its files checked."""
    found = Registry(registry).verify(reference)
    console.print_json(json.dumps({**found.manifest, "aliases": found.aliases}))


app.registered_commands += rollout_commands.registered_commands
