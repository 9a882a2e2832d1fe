"""`bench`: measures against the targets with the load generator of the tree."""

import subprocess
from pathlib import Path

import typer

from serving.cli.output import Failure

LOADTESTS = Path(__file__).resolve().parents[2] / "loadtests" / "run"


def bench(context: typer.Context) -> None:
    """Measure the service and its peers; JSON lines out. --help lists the load generator's options."""
    if not LOADTESTS.is_file():
        raise Failure(f"{LOADTESTS} is not there: run this from a checkout of the tree, not from an image")
    raise typer.Exit(subprocess.run([LOADTESTS, *context.args], check=False).returncode)
