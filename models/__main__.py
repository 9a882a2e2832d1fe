"""`python -m models`: train and look at forecasters."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from models.catalogue import open_model
from models.climatology import Climatology
from models.protocol import InputError
from models.registry_commands import app as registry_commands

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console()


@app.callback()
def main() -> None:
    """Train, score and list demand forecasters."""


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    batch_items: Annotated[int, typer.Option(min=1, max=1024, help="Series in a step.")] = 256,
    seed: Annotated[int, typer.Option(help="Same seed, same weights on the same machine.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 for all cores.")] = 0,
    chunk_items: Annotated[
        int, typer.Option(min=1, help="Series simulated at once, at least a third of a step.")
    ] = 1024,
    score_items: Annotated[int, typer.Option(min=1, help="Held-out series to score on.")] = 2000,
    save_every: Annotated[
        int, typer.Option(min=1, help="Steps between saves; a stopped run goes on from the last.")
    ] = 200,
) -> None:
    """Train the patch transformer on simulated demand and write a checkpoint."""
    import torch

    from models.patch.checkpoint import save_checkpoint
    from models.patch.config import PatchConfig
    from models.patch.forecaster import PatchForecaster
    from models.patch.training import Training, TrainingPlan
    from models.simulated import score

    if threads:
        torch.set_num_threads(threads)
    training = Training(
        PatchConfig(), TrainingPlan(steps=steps, batch_items=batch_items, seed=seed, chunk_items=chunk_items)
    )
    out.mkdir(parents=True, exist_ok=True)
    state = out / "training.state"
    if state.exists():
        training.load(state)
        console.print(f"going on from step {training.step} of {state}")
    started = time.monotonic()
    recent: deque[float] = deque(maxlen=50)
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("step {task.completed:.0f} of {task.total:.0f}, loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=steps, completed=training.step, loss="-")
        while training.step < steps:
            for loss in training.run(save_every):
                recent.append(loss)
                progress.update(task, completed=training.step, loss=f"{sum(recent) / len(recent):.4f}")
            training.save(state)
    seconds = time.monotonic() - started
    reached = score(PatchForecaster(training.average, out.name, "untested"), score_items)
    made = {
        "command": f"python -m models train --out {out.name} --steps {steps} --batch-items {batch_items} --seed {seed}",
        "data": "simulated demand (models/simulator.py)",
        "held_out_simulated": {name: round(value, 4) for name, value in reached.items()},
        "climatology_on_the_same": {name: round(value, 4) for name, value in score(Climatology(), score_items).items()},
    }
    version = save_checkpoint(training.average, out, made)
    state.unlink(missing_ok=True)
    console.print(f"wrote {out}: version {version}, {seconds:.0f} s in this run")
    console.print_json(json.dumps(made))


@app.command()
def evaluate(
    data: Annotated[Path, typer.Argument(help="Parquet or CSV: item_id, timestamp, target, and what the models use.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Model to score; repeat for several, the first is the baseline.")
    ] = None,
    horizon: Annotated[int, typer.Option(min=1, help="Days ahead.")] = 28,
    count: Annotated[int, typer.Option("--origins", min=1, help="Rolling origins; the last leaves one horizon.")] = 1,
    stride: Annotated[int, typer.Option(min=1, help="Days between origins.")] = 7,
    in_stock: Annotated[bool, typer.Option("--in-stock", help="Leave out days with a stock-out.")] = False,
    out: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
) -> None:
    """Score models on rolling origins of your own data."""
    from models import evaluation, report

    cuts = evaluation.origins(read_rows(data), horizon, count, stride)
    loaded = [open_model(name) for name in model or ["climatology", "patch-nano"]]
    scores = []
    for one in loaded:
        with console.status(f"scoring {one.name}"):
            scores.append(evaluation.evaluate(one, cuts, in_stock_only=in_stock))
    summaries = [score.summary() for score in scores]
    ratios = {score.model: evaluation.ratio(score, scores[0]) for score in scores}
    table = Table("model", "wql", f"wql / {scores[0].model} [95 %]", "mase", "bias", "coverage 80 %", "series/s")
    for row in summaries:
        middle, low, high = ratios[row["model"]]
        interval = f"{middle:.3f} [{low:.3f}, {high:.3f}]"
        mase = "-" if row["mase"] is None else f"{row['mase']:.4f}"
        table.add_row(
            row["model"],
            f"{row['wql']:.4f}",
            interval,
            mase,
            f"{row['bias_mean']:+.4f}",
            f"{row['coverage_80']:.3f}",
            f"{row['series_per_second']:,.0f}",
        )
    console.print(table)
    if out is not None:
        title = f"{data.name}: {count} origins, {horizon} days ahead"
        fans = report.fan_charts(loaded[-1], cuts[-1])
        out.write_text(report.html(title, summaries, ratios, fans))
        console.print(f"wrote {out}")


def read_rows(path: Path) -> pa.Table:
    """Reads the rows of a Parquet or CSV file.

    Raises:
        InputError: it cannot be read.
    """
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix.lower() == ".csv":
            return pyarrow.csv.read_csv(path)
        return pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error


app.registered_commands += registry_commands.registered_commands


if __name__ == "__main__":
    try:
        app()
    except InputError as error:
        console.print(f"error: {error}", style="red", highlight=False)
        sys.exit(2)
