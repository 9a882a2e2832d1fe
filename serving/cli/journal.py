"""`journal`: looks into a journal on disk, copies it, and brings it back."""

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from bespeak import _core
from serving.cli.output import Failure, Json, console, print_json, shown_time, table, time_ms
from serving.config import load

MANIFEST = "MANIFEST"

app = typer.Typer(
    help="Look into a journal on disk, copy it, bring it back.", no_args_is_help=True, pretty_exceptions_enable=False
)

Directory = Annotated[Path | None, typer.Argument(help="The journal; left out, the configured one.")]


@app.command("verify")
def verify(context: typer.Context, directory: Directory = None, as_json: Json = False) -> None:
    """Read everything and check it, of a journal or a backup. Leaves with status 1 when it is damaged."""
    where = _directory(context, directory)
    is_backup = (where / MANIFEST).is_file()
    report = _core.journal_verify_backup(where) if is_backup else _core.journal_verify(where)
    if as_json:
        print_json(report)
    elif is_backup:
        console.print(f"[green]whole[/]: backup of {report['files']} files up to revision {report['revision']:,}")
    else:
        said = f"{report['records']:,} records in {report['segments']:,} segments"
        console.print(f"[green]whole[/]: {said}, {len(report['snapshots'])} snapshots")
        if report["torn_bytes"]:
            console.print(f"unfinished: {report['torn_bytes']} bytes that nobody was told of; the next start cuts them")
            console.print(report["torn_where"], markup=False)
        for index in report["stale_indexes"]:
            console.print(f"the next start builds an index again: {index}", markup=False)


@app.command("stats")
def stats(context: typer.Context, directory: Directory = None, as_json: Json = False) -> None:
    """Count what is in it."""
    where = _directory(context, directory)
    found = _core.journal_stats(where)
    if as_json:
        print_json(found)
        return
    events: dict[str, int] = found.pop("events")
    by_count = sorted(events.items(), key=lambda each: each[1], reverse=True)
    rows = ((name.replace("_", " "), _shown(name, value)) for name, value in found.items())
    console.print(table(str(where), ("", ""), rows))
    console.print(table("", ("event", "times"), by_count))


@app.command("dump")
def dump(
    context: typer.Context,
    directory: Directory = None,
    from_revision: Annotated[int | None, typer.Option("--from", help="First revision.", min=1)] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", help="At most so many records.", min=1)] = None,
) -> None:
    """Write records as JSON, one a line."""
    for number, record in enumerate(_records(_directory(context, directory), from_revision)):
        if limit is not None and number >= limit:
            return
        sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")


@app.command("backup")
def backup(
    context: typer.Context,
    to: Annotated[Path, typer.Argument(help="Empty directory, made where there is none.")],
    directory: Annotated[Path | None, typer.Option("--data", "-d", help="The journal.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a journal that no server has open, with what is beside it. A running server makes its own (AdminService.Backup)."""
    made = _core.journal_backup(_directory(context, directory), to)
    if as_json:
        print_json(made)
    else:
        console.print(f"{made['files']} files, {made['bytes']:,} bytes up to revision {made['revision']:,} in {to}")


@app.command("restore")
def restore(
    source: Annotated[Path, typer.Argument(help="The backup.")],
    to: Annotated[Path, typer.Argument(help="Empty directory, made where there is none.")],
    revision: Annotated[int | None, typer.Option(help="Up to and including this revision.", min=1)] = None,
    at: Annotated[str | None, typer.Option("--time", "-t", help="Up to and including this time.")] = None,
    as_json: Json = False,
) -> None:
    """Make a journal out of a backup, to its end or to an earlier moment. Everything is checked on the way."""
    if revision is not None and at is not None:
        raise typer.BadParameter("--revision and --time exclude each other")
    if not source.is_dir():
        raise Failure(f"{source} is no directory: name the backup's", 2)
    made = _core.journal_restore(source, to, revision=revision, time_ms=None if at is None else time_ms(at))
    if as_json:
        print_json(made)
        return
    console.print(f"restored to revision {made['revision']:,} of {shown_time(made['time_ms'])} in {to}")
    if made["left_out"]:
        console.print(f"{made['left_out']:,} later records were left out: a new history begins here")
    if made["files_beside"]:
        console.print(f"{made['files_beside']:,} files of demand history, forecasts and networks beside it")
    if made["forecasts_left_out"]:
        console.print(f"{made['forecasts_left_out']:,} forecasts were computed later and left out: push them again")
    if made["demand_days_left_out"]:
        days = made["demand_days_left_out"]
        console.print(f"{days:,} days of demand are made again from the journal, as far as it reaches")


def _records(directory: Path, from_revision: int | None) -> Iterator[dict[str, Any]]:
    for text in _core.JournalDump(directory, from_revision):
        record: dict[str, Any] = json.loads(text)
        meta = record["meta"]
        meta["request_id"] = str(uuid.UUID(int=meta["request_id"])) if meta["request_id"] else ""
        meta["trace_id"] = f"{meta['trace_id']:032x}" if meta["trace_id"] else ""
        yield record


def _directory(context: typer.Context, given: Path | None) -> Path:
    directory = given or load(context.obj).config.server.journal.path
    if directory is None:
        raise Failure("no journal is configured: name its directory", 2)
    if not directory.is_dir():
        raise Failure(f"{directory} is no directory: name the journal's", 2)
    return directory


def _shown(name: str, value: int) -> str:
    return shown_time(value) if name.endswith("_time_ms") else f"{value:,}"
