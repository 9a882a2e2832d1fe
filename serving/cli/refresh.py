"""`refresh`: keeps the engine's forecasts and the buffers that follow them fresh."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from bespeak import BespeakError
from serving.cli.output import Address, Failure, connect, console, duration_ms, errors
from serving.config import load


def refresh(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One round, then end.")] = False,
    every: Annotated[str, typer.Option("--every", help="Time between two rounds, such as 15m.")] = "15m",
    model: Annotated[str, typer.Option(help="The worker's model; left out, its default.")] = "",
    horizon: Annotated[int, typer.Option(help="Days ahead.")] = 28,
    older_than: Annotated[str, typer.Option(help="Age at which a forecast is made again.")] = "24h",
    history: Annotated[
        Path | None, typer.Option(help="Parquet file of demand; left out, what the server has seen.")
    ] = None,
    future: Annotated[Path | None, typer.Option(help="Parquet file of covariates known ahead.")] = None,
    worker: Annotated[str | None, typer.Option(help="Address of the compute worker.")] = None,
    address: Address = None,
) -> None:
    """Forecast what is due, and push it to the engine: quantiles by day, totals, and the buffers that follow."""
    from serving.refresh import Compute, ComputeAwayError, HistoryError, Plan, from_parquet, from_server
    from serving.refresh import refresh as one_round
    from serving.refresh.history import future_from_parquet

    config = load(context.obj, {"client.address": address, "worker.address": worker}).config
    plan = Plan(model=model, horizon=horizon, age_ms=duration_ms(older_than))
    pause_s = duration_ms(every) / 1000
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    compute = Compute(config.worker.address)
    with connect(config.client) as client:
        while not stopped.is_set():
            try:
                table = from_server(client) if history is None else from_parquet(history)
                ahead = None if future is None else future_from_parquet(future)
                report = one_round(client, compute, table, plan, stopped.is_set, ahead)
                console.print(str(report))
            except (BespeakError, ComputeAwayError, HistoryError) as error:
                if once:
                    raise Failure(str(error)) from error
                errors.print(f"[red]no refresh[/]: {error}; again in {every}")
            if once:
                break
            stopped.wait(pause_s)
    compute.close()
