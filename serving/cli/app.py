"""Puts the commands together, and says what went wrong in one line."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bespeak import BespeakError
from serving.cli import bench, checks, configuration, demo, doctor, imports, journal, processes, rebalance, refresh
from serving.cli.output import Failure, errors
from serving.config import ConfigError
from serving.worker_config import WorkerConfigError

# Everything behind the command goes to another program, --help included.
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    name="serving",
    help="Starts and operates a Bespeak service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="BESPEAK_CONFIG",
            help="Configuration file, TOML. Without it, bespeak.toml where there is one.",
        ),
    ] = None,
) -> None:
    context.obj = config


app.command("up")(processes.up)
app.command("server")(processes.server)
app.command("worker")(processes.worker)
app.command("check")(checks.check)
app.command("reserve")(checks.reserve)
app.command("refresh")(refresh.refresh)
app.command("rebalance")(rebalance.rebalance)
app.add_typer(imports.app, name="import")
app.add_typer(journal.app, name="journal")
app.command("demo", context_settings=_HANDED_ON)(demo.demo)
app.command("bench", context_settings=_HANDED_ON)(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("config")(configuration.config)


def main() -> NoReturn:
    """Runs the command line and leaves with its status: 0 well, 1 failed, 2 wrongly called."""
    try:
        app(standalone_mode=True, prog_name="python -m serving")
    except (ConfigError, WorkerConfigError) as wrong:
        _leave(str(wrong), 2)
    except Failure as failed:
        _leave(str(failed), failed.status)
    except BespeakError as failed:
        _leave(str(failed), 1)
    sys.exit(0)


def _leave(message: str, status: int) -> NoReturn:
    for line in message.splitlines():
        errors.print(f"[bold red]error:[/] {_plain(line)}", highlight=False, soft_wrap=True)
    sys.exit(status)


def _plain(text: str) -> str:
    """Brackets in a message are no markup."""
    return text.replace("[", r"\[")
