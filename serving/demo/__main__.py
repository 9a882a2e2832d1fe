"""`python -m serving.demo`: real baskets through a live server, which is killed on the way."""

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from serving.demo import network, orders, report
from serving.demo.lane import CallFailed
from serving.demo.process import ServerFailed
from serving.demo.replay import Outcome, Replay

ORDERS = 2_000
"""Orders of a run when none are asked for: under a minute on two cores."""
_INTERRUPTED = 130

out = Console()
errors = Console(stderr=True)


def main(
    count: Annotated[int, typer.Option("--orders", min=1, help="Orders to replay, the first in time.")] = ORDERS,
    data: Annotated[
        Path | None, typer.Option(help="Orders of your own, Parquet or CSV: order_id, sku, qty, ts, and more.")
    ] = None,
) -> None:
    """Replay real orders through a live server: Promise, Confirm, Fulfil, with supply events between.

    In the middle the server is killed with SIGKILL and recovers. Ends with 0 when nothing was oversold
    or lost, else with 1.
    """
    began = time.monotonic()
    try:
        with errors.status("reading the orders"):
            everything = orders.from_file(data) if data else orders.complete_journey()
        with errors.status("building the network"):
            chosen = orders.first(everything, count)
            world = network.build(chosen.lines)
        prepared = time.monotonic() - began
        outcome = asyncio.run(_replay(world))
    except orders.DataError as wrong:
        _leave(str(wrong), 2)
    except (KeyboardInterrupt, asyncio.CancelledError):
        _leave("interrupted: the server is stopped and its files are removed", _INTERRUPTED)
    except BaseExceptionGroup as several:
        _leave("\n".join(sorted({_says(each) for each in _flat(several)})), 1)
    except (ServerFailed, CallFailed, grpc.aio.AioRpcError, OSError) as failed:
        _leave(_says(failed), 1)
    outcome.seconds = {"read and build": prepared, **outcome.seconds, "all": time.monotonic() - began}
    out.print(report.table(chosen, world, outcome))
    for fault in outcome.faults:
        errors.print(f"[bold red]fault:[/] {fault}", highlight=False)
    sys.exit(1 if outcome.faults else 0)


async def _replay(world: network.Network) -> Outcome:
    task = asyncio.current_task()
    assert task is not None
    # As ^C does: the run ends in order, and takes its server with it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    bars = Bars(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=errors
    )

    def step(what: str, parts: int | None) -> Callable[[], None]:
        bar = bars.add_task(what, total=parts)
        return lambda: bars.advance(bar)

    with tempfile.TemporaryDirectory(prefix="bespeak-demo-") as directory, bars:
        return await Replay(world, Path(directory), step).run()


def _flat(several: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for each in several.exceptions:
        found += _flat(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _says(failed: BaseException) -> str:
    if isinstance(failed, grpc.aio.AioRpcError):
        return f"a call failed: {failed.details()} ({failed.code().name})"
    return str(failed) or type(failed).__name__


def _leave(message: str, status: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        errors.print(f"[bold red]error:[/] {message}", highlight=False, soft_wrap=True)
    sys.exit(status)


if __name__ == "__main__":
    typer.run(main)
