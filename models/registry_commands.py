"""`python -m models push|list|show|promote|rollback`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.catalogue import open_model, shipped
from models.protocol import InputError
from models.registry import DEFAULT_ALIAS, Registry, Version

app = typer.Typer()
console = Console()
Root = Annotated[Path, typer.Option("--registry", envvar="BESPEAK_MODEL_REGISTRY", help="Directory of the registry.")]
Alias = Annotated[str, typer.Option(help="Alias to move.")]
Reference = Annotated[str, typer.Argument(help="NAME@VERSION, NAME@ALIAS or NAME.")]


def told(found: Version, what: str) -> None:
    """Says what a command did."""
    aliases = f", alias {', '.join(found.aliases)}" if found.aliases else ""
    console.print(f"{what} {found.reference}{aliases}", highlight=False)


@app.command()
def push(
    source: Annotated[Path, typer.Argument(help="Directory that training wrote, or with your own model's files.")],
    registry: Root,
    name: Annotated[str | None, typer.Option(help="As which to store it.")] = None,
    loader: Annotated[str | None, typer.Option(help="Class that reads the files, as module:Class.")] = None,
) -> None:
    """Store a model as an immutable version."""
    told(Registry(registry).push(source, name, loader), "stored")


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


@app.command()
def promote(reference: Reference, registry: Root, alias: Alias = DEFAULT_ALIAS) -> None:
    """Let an alias stand for a version."""
    told(Registry(registry).promote(reference, alias), "promoted")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model.")], registry: Root, alias: Alias = DEFAULT_ALIAS
) -> None:
    """Let an alias stand for what it stood for before."""
    told(Registry(registry).rollback(name, alias), "back to")
