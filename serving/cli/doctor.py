"""`doctor`: is this machine fit to serve?"""

import typer

from serving.cli.output import Json, console, print_json
from serving.config import load
from serving.doctor import Level, examine

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Check versions, disk, clock and ports. Leaves with status 1 when something would not work."""
    findings = list(examine(load(context.obj).config))
    if as_json:
        print_json(findings)
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            colour = _COLOURS[finding.level]
            console.print(f"[{colour}]{finding.level:4}[/]  {finding.check:{width}}  ", end="")
            console.print(finding.message, markup=False, soft_wrap=True)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(1)
