"""`python -m models deploy|promote|rollback|retire|rollouts`: versions on a running worker."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.abort_condition import NAMES, parse
from models.protocol import InputError
from models.registry import DEFAULT_ALIAS, Registry, Version

if TYPE_CHECKING:
    from bespeak.v1 import compute_pb2 as pb
    from models.rollout_client import WorkerClient

app = typer.Typer()
console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)
Root = Annotated[
    Path | None, typer.Option("--registry", envvar="BESPEAK_MODEL_REGISTRY", help="Directory of the registry.")
]
Worker = Annotated[
    str | None,
    typer.Option("--worker", envvar="BESPEAK_WORKER", help="Address of a running worker, host:port or unix:/path."),
]
Alias = Annotated[str, typer.Option(help="Alias whose traffic it is about.")]
Timeout = Annotated[float, typer.Option(min=1.0, help="Seconds; what is not done by then is undone.")]
Reference = Annotated[str, typer.Argument(help="NAME@VERSION or NAME@ALIAS.")]
TIMEOUT_S = 180.0


class By(StrEnum):
    """What stays on one side of a canary."""

    item = "item"


@app.command()
def deploy(
    reference: Reference,
    worker: Worker = None,
    shadow: Annotated[str | None, typer.Option(help="Share of the items to repeat without using it: 100%.")] = None,
    canary: Annotated[str | None, typer.Option(help="Share of the items to answer: 10%.")] = None,
    by: Annotated[By, typer.Option(help="What a canary's share is drawn by; the same ones each time.")] = By.item,
    abort_if: Annotated[
        str,
        typer.Option(
            help=f"'p99_ms > 40 or wql_ratio > 1.05'; of {', '.join(NAMES)}. A canary's default: error_rate > 0.05."
        ),
    ] = "",
    service_level: Annotated[float, typer.Option(help="At which the units to keep are compared.")] = 0.9,
    lead_days: Annotated[int, typer.Option(min=1, help="Days for which they are kept.")] = 7,
    alias: Alias = DEFAULT_ALIAS,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Load a version beside the active one of a running worker, or give a new name its first."""
    del by  # there is one choice so far
    shares = {name: share(text) for name, text in (("shadow", shadow), ("canary", canary)) if text is not None}
    if len(shares) > 1:
        raise InputError("--shadow and --canary exclude each other: give one")
    if abort_if:
        parse(abort_if)
    with asked(worker, timeout) as client, console.status(f"loading {reference}"):
        done = client.deploy(
            model=reference,
            alias=alias,
            abort_if=abort_if,
            service_level=service_level,
            lead_days=lead_days,
            **shares,
        )
        version = done.candidate or done.active
        verified(client, version, version)
        said(done)


@app.command()
def promote(
    reference: Reference,
    registry: Root = None,
    worker: Worker = None,
    alias: Alias = DEFAULT_ALIAS,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Give a version all traffic: move its alias, on a running worker or in the registry alone."""
    if worker is None:
        told(Registry(needed(registry)).promote(reference, alias), "promoted")
        return
    with asked(worker, timeout) as client, console.status(f"promoting {reference}"):
        done = client.promote(reference, alias)
        verified(client, done.route, done.active)
        said(done)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    registry: Root = None,
    worker: Worker = None,
    alias: Alias = DEFAULT_ALIAS,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Take the candidate away; where there is none, let the alias stand for what it stood for before."""
    if worker is None:
        told(Registry(needed(registry)).rollback(name, alias), "back to")
        return
    with asked(worker, timeout) as client, console.status(f"rolling back {name}"):
        done = client.rollback(name, alias)
        verified(client, done.route, done.active)
        said(done)


@app.command()
def retire(
    reference: Annotated[str, typer.Argument(help="NAME@VERSION.")],
    registry: Root = None,
    worker: Worker = None,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Delete the files of a version that nothing uses; its manifest stays."""
    if worker is None:
        Registry(needed(registry)).retire(reference)
    else:
        with asked(worker, timeout) as client:
            client.retire(reference)
    console.print(f"retired {reference}", highlight=False)


@app.command()
def rollouts(
    worker: Worker = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as JSON.")] = False,
    timeout: Timeout = TIMEOUT_S,
) -> None:
    """Show what a running worker serves, and how the candidates do."""
    from bespeak.v1 import compute_pb2 as pb

    with asked(worker, timeout) as client:
        found = client.rollouts()
    if as_json:
        from google.protobuf.json_format import MessageToDict

        console.print_json(json.dumps(MessageToDict(found, preserving_proto_field_name=True)))
        return
    table = Table(
        "route", "active", "candidate", "stage", "share", "answers", "errors", "p99 ms", "wql ratio", "promises changed"
    )
    stages = pb.RolloutStage.Name
    for one in found.rollouts:
        score = one.score
        p99, ratio, changed = (
            f"{getattr(score, name):.4g}" if score.HasField(name) else "-"
            for name in ("p99_ms", "wql_ratio", "promises_changed")
        )
        counts = (str(score.answers), str(score.errors)) if one.HasField("score") else ("-", "-")
        table.add_row(
            one.route,
            one.active,
            one.candidate or "-",
            stages(one.stage).removeprefix("ROLLOUT_STAGE_").lower(),
            f"{one.share:.4g}",
            *counts,
            p99,
            ratio,
            changed,
        )
    console.print(table)
    for one in found.rollouts:
        if one.said:
            said(one)
    for loaded in found.loaded:
        console.print(f"{loaded.name}@{loaded.version}: {loaded.replicas} replicas, {loaded.prepared}", highlight=False)


def share(text: str) -> float:
    """Reads "10%" or "0.1".

    Raises:
        InputError: it is no share above 0 and up to 1.
    """
    number, percent = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
    try:
        found = float(number) / percent
    except ValueError:
        found = math.nan
    if not 0.0 < found <= 1.0:
        raise InputError(f"share {text!r} is none: give more than 0 and at most 1, or a percentage such as 10%")
    return found


def needed(registry: Path | None) -> Path:
    """The registry that was given.

    Raises:
        InputError: none was.
    """
    if registry is None:
        raise InputError("neither a worker nor a registry is given: use --worker ADDRESS or --registry DIRECTORY")
    return registry


@contextmanager
def asked(worker: str | None, timeout: float) -> Iterator[WorkerClient]:
    """A worker to ask; what it refuses ends the command with status 1."""
    if worker is None:
        raise InputError("no worker is given: use --worker with its address, or set BESPEAK_WORKER")
    # Only here: commands that ask no worker start without gRPC.
    from models.rollout_client import WorkerClient, WorkerRefused

    client = WorkerClient(worker, timeout)
    try:
        yield client
    except WorkerRefused as refused:
        errors.print(f"error: {refused}", style="red", highlight=False)
        raise typer.Exit(1) from refused
    finally:
        client.close()


def verified(client: WorkerClient, model: str, reference: str) -> None:
    """Says who answered."""
    origin = client.verify(model, reference)
    console.print(
        f"verified: a forecast of {model} names {reference}, {origin.replica}, {origin.elapsed_us / 1e3:.1f} ms",
        highlight=False,
    )


def said(done: pb.Rollout) -> None:
    """Says what is true now."""
    condition = f"; it is aborted if {done.abort_if}" if done.abort_if and done.candidate else ""
    console.print(f"{done.route}: {done.said}{condition}", highlight=False)


def told(found: Version, what: str) -> None:
    """Says what a command did to the registry."""
    aliases = f", alias {', '.join(found.aliases)}" if found.aliases else ""
    console.print(f"{what} {found.reference}{aliases}", highlight=False)
