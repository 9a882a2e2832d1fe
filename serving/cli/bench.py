"""`bench`: measures against the targets with the programs of the tree."""

import os
import sys
from pathlib import Path

import typer

from serving.cli.output import Failure

REPO = Path(__file__).resolve().parents[2]


def bench(context: typer.Context) -> None:
    """Measure against the targets, beside peers (--peers), prove objectives (--slo, --search), or have things happen (--chaos)."""
    if not (REPO / "loadtests/measure.py").is_file():
        raise Failure(f"{REPO / 'loadtests'} is not there: run this from a checkout of the tree, not from an image")
    command = [sys.executable, "-m", "loadtests.measure", *context.args]
    os.chdir(REPO)
    # In the place of this process: whoever ends it ends the measurement.
    os.execv(sys.executable, command)
