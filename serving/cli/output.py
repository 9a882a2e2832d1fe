"""What commands share: where they write, how they read times, and how they fail."""

import dataclasses
import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bespeak import AvailabilityStep, CheckResult, Client, Tls
from serving.config import load
from serving.config_sections import ClientSection

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

Address = Annotated[str | None, typer.Option("--address", "-a", help="Server, host:port.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_DURATION = re.compile(r"\+?(\d+)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Failure(Exception):
    """A command that did not do what it was asked; the message says what to do."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def client(context: typer.Context, address: str | None) -> Client:
    """Connects as the configuration says."""
    return connect(load(context.obj, {"client.address": address}).config.client)


def connect(section: ClientSection) -> Client:
    """Connects as a section of the configuration says."""
    tls: Tls | bool = False
    if section.tls is not None:
        given = section.tls
        tls = Tls(ca=given.ca, certificate=given.certificate, key=given.key, server_name=given.server_name)
    try:
        return Client(
            section.address, tls=tls, timeout_ms=section.timeout_ms, actor=section.actor, tenant=section.tenant
        )
    except OSError as error:
        raise Failure(f"cannot read {error.filename}: {error.strerror}: see client.tls") from None


def duration_ms(text: str) -> int:
    """Reads a duration such as 15m, 2h or 500ms.

    Raises:
        typer.BadParameter: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text} is no duration: write 90s, 15m, 2h or 3d")
    return int(found[1]) * _UNIT_MS[found[2]]


def time_ms(text: str) -> int:
    """Reads an instant: ISO 8601 (UTC unless it says otherwise), milliseconds since 1970, or +2d from now.

    Raises:
        typer.BadParameter: it is none.
    """
    if text in ("", "now"):
        return 0
    if text.startswith("+"):
        return int(datetime.now(UTC).timestamp() * 1000) + duration_ms(text)
    if text.isdigit():
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text} is no time: write 2026-11-25T12:00, milliseconds since 1970, or +2d"
        raise typer.BadParameter(message) from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return int(instant.timestamp() * 1000)


def shown_time(ms: int | None) -> str:
    """An instant as people read it, UTC."""
    if ms is None:
        return "never"
    if not ms:
        return "-"
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def print_json(value: Any) -> None:
    """Prints a result, or a list of them, as JSON."""
    sys.stdout.write(json.dumps(value, default=_plain, indent=2) + "\n")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table whose numbers are aligned to the right."""
    drawn = Table(title=title or None, title_justify="left")
    listed = [list(row) for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int) for row in listed)
        drawn.add_column(name, justify="right" if numeric else "left")
    for row in listed:
        drawn.add_row(*(f"{cell:,}" if type(cell) is int else str(cell) for cell in row))
    return drawn


def _plain(value: Any) -> Any:
    if isinstance(value, (CheckResult, AvailabilityStep)):
        return {name: getattr(value, name) for name in value.__match_args__}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if not dataclasses.is_dataclass(value):
        raise TypeError(f"no JSON for {type(value).__name__}")
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
