"""`import`: stock, receipts and orders from CSV and Parquet files."""

import csv
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bespeak import FillPolicy
from serving.cli.output import Address, Failure, client, console, duration_ms, errors, table
from serving.imports.checking import Row, RowError, check
from serving.imports.kinds import ORDERS, RECEIPTS, STOCK, Kind
from serving.imports.reading import FileError, Source, parse_mapping, read
from serving.imports.sending import OrderTerms, Sender, Tally

ERRORS_SHOWN = 20

app = typer.Typer(
    help="Take stock, receipts or orders from a CSV or Parquet file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

File = Annotated[Path, typer.Argument(help="CSV, TSV or Parquet.")]
Map = Annotated[
    list[str] | None, typer.Option("--map", "-m", help="Our column and the file's, such as quantity=Antal; repeat.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Read and check every row, send nothing.")]
Create = Annotated[bool, typer.Option("--create", help="Put items and locations that are not known yet.")]
Errors = Annotated[Path | None, typer.Option("--errors", help="Write every error to this CSV file.")]
Send = Callable[[Sender, Iterable[Row], Callable[[int], None]], None]


@app.command("stock")
def stock(
    context: typer.Context,
    file: File,
    mapping: Map = None,
    dry_run: DryRun = False,
    create: Create = False,
    errors_to: Errors = None,
    address: Address = None,
) -> None:
    """Take counts: item, location, quantity [dim](unit, status, counted_at)[/]."""
    _run(context, STOCK, file, mapping, Sender.stock, dry_run, create, errors_to, address)


@app.command("receipts")
def receipts(
    context: typer.Context,
    file: File,
    mapping: Map = None,
    dry_run: DryRun = False,
    create: Create = False,
    errors_to: Errors = None,
    address: Address = None,
) -> None:
    """Take planned receipts: receipt_id, item, location, quantity, due [dim](unit, kind)[/]."""
    _run(context, RECEIPTS, file, mapping, Sender.receipts, dry_run, create, errors_to, address)


@app.command("orders")
def orders(
    context: typer.Context,
    file: File,
    mapping: Map = None,
    location: Annotated[
        list[str] | None, typer.Option("--location", "-l", help="Candidate for rows without one; repeat, in order.")
    ] = None,
    region: Annotated[str, typer.Option(help="Region whose locations are the candidates.")] = "",
    fill: Annotated[FillPolicy, typer.Option(help="What to take when not all can be had.")] = FillPolicy.ALL_OR_NONE,
    expires_in: Annotated[str, typer.Option(help="Life of a hold, such as 15m; left out, the server's.")] = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm in the same step.")] = False,
    dry_run: DryRun = False,
    create: Create = False,
    errors_to: Errors = None,
    address: Address = None,
) -> None:
    """Hold stock for orders: order_ref, item, quantity [dim](location, unit, ship_time, customer)[/].

    Rows of one order stand together. An order whose rows all name a location is reserved there; another is
    promised from --location or --region.
    """
    terms = OrderTerms(tuple(location or ()), region, fill, duration_ms(expires_in) if expires_in else 0, confirm)

    def send(sender: Sender, rows: Iterable[Row], done: Callable[[int], None]) -> None:
        sender.orders(rows, terms, done)

    _run(context, ORDERS, file, mapping, send, dry_run, create, errors_to, address)


def _run(
    context: typer.Context,
    kind: Kind,
    file: Path,
    mapping: list[str] | None,
    send: Send,
    dry_run: bool,  # noqa: FBT001
    create: bool,  # noqa: FBT001
    errors_to: Path | None,
    address: str | None,
) -> None:
    try:
        source = read(file, kind, parse_mapping(mapping or [], kind))
    except FileError as wrong:
        raise Failure(str(wrong), 2) from None
    if source.ignored:
        errors.print(f"not taken from {file}: {', '.join(source.ignored)}", markup=False)
    tally = Tally()
    with _progress() as progress:
        task = progress.add_task("check" if dry_run else "send", total=source.table.height)
        if dry_run:
            for row in check(source, kind):
                tally.rows += 1
                tally.sent += not row.wrong
                tally.errors += row.wrong
                if tally.rows % 1_000 == 0:
                    progress.update(task, completed=tally.rows)
        else:
            with client(context, address) as service:
                sender = Sender(service, file)
                if create:
                    items, locations = sender.create_missing(*_names(source))
                    progress.console.print(f"put {items:,} items and {locations:,} locations")
                send(sender, check(source, kind), lambda count: progress.advance(task, count))
                tally = sender.tally
    _report(kind, tally, errors_to, dry_run=dry_run)


def _names(source: Source) -> tuple[set[str], set[str]]:
    """Items and locations that the file names, those of wrong rows included: one row may name them rightly."""
    found: list[set[str]] = []
    for column in ("item", "location"):
        cells = source.table[column].unique() if column in source.table.columns else ()
        found.append({cell.strip() for cell in cells if cell and cell.strip()})
    return found[0], found[1]


def _report(kind: Kind, tally: Tally, errors_to: Path | None, *, dry_run: bool) -> None:
    wrong = sorted(tally.errors, key=lambda error: error.row)
    if wrong:
        shown = [(error.row, error.column, error.value, error.what) for error in islice(wrong, ERRORS_SHOWN)]
        console.print(table("", ("row", "column", "value", "what"), shown))
        if len(wrong) > ERRORS_SHOWN:
            console.print(f"and {len(wrong) - ERRORS_SHOWN:,} more: --errors FILE writes them all")
    if errors_to is not None:
        _write(errors_to, wrong)
    if dry_run:
        console.print(f"{tally.rows:,} rows: {tally.sent:,} can be sent; nothing was sent")
    elif kind is ORDERS:
        said = f"{tally.held_in_full:,} in full, {tally.held_in_part:,} in part, {tally.refused:,} refused"
        again = f"{tally.replayed:,} had been answered before"
        console.print(f"{tally.rows:,} rows, {tally.sent:,} orders: {said}; {again}")
    else:
        console.print(f"{tally.rows:,} rows: {tally.sent:,} taken, {tally.replayed:,} of them had been before")
    if wrong:
        raise typer.Exit(1)


def _write(path: Path, wrong: list[RowError]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer: Any = csv.writer(file)
        writer.writerow(("row", "column", "value", "what"))
        writer.writerows((error.row, error.column, error.value, error.what) for error in wrong)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )
