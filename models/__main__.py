"""`python -m models`: train, score and list forecasters."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from models.commands.evaluate import app as evaluate_command
from models.commands.evaluate_simulated import app as evaluate_simulated_command
from models.commands.train import app as train_command
from models.protocol import InputError
from models.registry_commands import app as registry_commands

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()


@app.callback()
def main() -> None:
    """Train, score and list demand forecasters."""


for group in (train_command, evaluate_command, evaluate_simulated_command, registry_commands):
    app.registered_commands += group.registered_commands


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        console.print(f"error: {error}", style="red", highlight=False)
        sys.exit(2)
