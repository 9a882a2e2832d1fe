"""`bench`: measures against the targets with the load generator of the tree."""

import subprocess
from pathlib import Path

import typer

from serving.cli.output import Failure

LOADTESTS = Path(__file__).resolve().parents[2] / "loadtests" / "run"


def bench(
    arguments: list[str] = typer.Argument(None, help="Handed to the load generator; --help lists them."),  # noqa: B008
) -> None:
    """Measure the service and its peers; JSON lines out. Builds the load generator when it is stale."""
    if not LOADTESTS.is_file():
        raise Failure(f"{LOADTESTS} is not there: run this from a checkout of the tree, not from an image")
    raise typer.Exit(subprocess.run([LOADTESTS, *(arguments or [])], check=False).returncode)
