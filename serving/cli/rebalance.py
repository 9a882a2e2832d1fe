"""`rebalance`: what to move between locations, and how to share out what comes in. Proposes, and changes nothing."""

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import typer

from serving.cli.output import Address, Failure, Json, client, console, print_json, table

SHOWN = 40


def rebalance(
    context: typer.Context,
    lanes: Annotated[Path, typer.Option(help="Parquet or CSV file: from, to, cost_minor of a unit, days.")],
    level: Annotated[float, typer.Option(help="Quantile of demand that every position keeps.")] = 0.9,
    cover: Annotated[int, typer.Option(help="Days of demand to be covered.")] = 7,
    value: Annotated[int, typer.Option(help="Of a unit sold, minor units.")] = 1_000,
    values: Annotated[Path | None, typer.Option(help="Parquet or CSV file: item, value_minor.")] = None,
    least: Annotated[int, typer.Option(help="Smallest transfer, units.")] = 1,
    inbound: Annotated[
        Path | None, typer.Option(help="Parquet or CSV file: item, location, quantity; shared out instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Parquet file for the proposals.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Propose transfers between locations, by the forecasts that the server keeps. Changes nothing."""
    from serving.allocation.cover import RebalancingError
    from serving.allocation.fair_share import share
    from serving.allocation.rebalancing import RebalancingPolicy
    from serving.allocation.rebalancing import rebalance as proposed

    ways, worth, coming = (None if path is None else _read(path) for path in (lanes, values, inbound))
    assert ways is not None
    with client(context, address) as service:
        positions, totals = service.positions_table(), service.forecast_totals()
    try:
        if coming is not None:
            found = share(coming, positions, totals, ways, cover)
        else:
            found = proposed(positions, totals, ways, RebalancingPolicy(level, cover, value, least), worth)
    except RebalancingError as error:
        raise Failure(str(error)) from error
    if out is not None:
        pq.write_table(found, out)
    if as_json:
        print_json(found.to_pylist())
        return
    saved = sum(found["saved_units"].drop_null().to_pylist())
    cost, units = (sum(found[name].to_pylist()) for name in ("cost_minor", "quantity"))
    rows = ((*[*row.values()][:-1], _units(row["saved_units"])) for row in found.slice(0, SHOWN).to_pylist())
    console.print(table("", found.column_names, rows))
    if found.num_rows > SHOWN:
        console.print(f"… and {found.num_rows - SHOWN:,} more: name --out")
    expected = "" if coming is not None else f", {saved:,.1f} units expected to be sold more"
    console.print(f"proposals: {found.num_rows:,}, of {units:,} units for {cost:,} minor{expected}")


def _units(saved: float | None) -> str:
    return "" if saved is None else f"{saved:.1f}"


def _read(path: Path) -> pa.Table:
    try:
        return pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise Failure(f"cannot read {path}: {error}: name a Parquet or CSV file") from error
