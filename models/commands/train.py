"""`python -m models train`: from simulated demand, or from a checkpoint on with your own sales."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.climatology import Climatology
from models.commands.rows import read_rows
from models.protocol import InputError

if TYPE_CHECKING:
    from models.patch.training import Training

app = typer.Typer()
console = Console()

#: Steps from nothing on simulated demand, and from a checkpoint on with sales.
SIMULATED_STEPS = 3200
DATA_STEPS = 450
SIMULATED_RATE = 2e-3
DATA_RATE = 1e-3
#: Default of --scale-power for sales; simulated items count alike.
DATA_SCALE_POWER = 0.5


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    data: Annotated[
        Path | None, typer.Option(help="Parquet or CSV of sales (item_id, timestamp, target, ...); default: simulated.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Checkpoint to go on from: a shipped model or a directory.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Last day to learn from, YYYY-MM-DD; default: all.")] = None,
    covariate: Annotated[
        list[str] | None, typer.Option(help="Number column known ahead, beside those the model knows; repeat.")
    ] = None,
    static: Annotated[list[str] | None, typer.Option(help="String column of the item; repeat.")] = None,
    size: Annotated[str, typer.Option(help="nano or small; that of the checkpoint with --from.")] = "nano",
    steps: Annotated[
        int | None, typer.Option(min=1, help=f"Optimiser steps; default {SIMULATED_STEPS}, with --from {DATA_STEPS}.")
    ] = None,
    batch_items: Annotated[int, typer.Option(min=1, max=1024, help="Series in a step.")] = 256,
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Peak; default {SIMULATED_RATE}, with --from {DATA_RATE}.")
    ] = None,
    censored: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Weight of stocked-out days, whose sale is a lower bound.")
    ] = 0.0,
    scale_power: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"0: items count alike, 1: units sold do; default 0, with --data {DATA_SCALE_POWER}.",
        ),
    ] = None,
    units: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the loss in units; the rest where wild days count less.")
    ] = 0.5,
    simulated: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of simulated steps with --data.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same weights on the same machine.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 for all cores.")] = 0,
    score_items: Annotated[int, typer.Option(min=1, help="Held-out simulated series to score on.")] = 2000,
    save_every: Annotated[
        int, typer.Option(min=1, help="Steps between saves; a stopped run goes on from the last.")
    ] = 100,
) -> None:
    """Train the patch transformer and write a checkpoint, calibrated and scored."""
    import torch

    from models.patch.checkpoint import save_checkpoint
    from models.patch.fitting import calibrate_on_panel, calibrate_on_simulated, read_history
    from models.patch.forecaster import PatchForecaster
    from models.patch.loss import LossPlan
    from models.patch.runs import configure, source_of
    from models.patch.training import Training, TrainingPlan
    from models.simulated import score

    if threads:
        torch.set_num_threads(threads)
    table = None if data is None else cut_at(read_rows(data), until)
    network, config = configure(start, size, covariate or [], static or [], table)
    history = None if table is None else read_history(table, config)
    plan = TrainingPlan(
        steps=steps or (SIMULATED_STEPS if network is None else DATA_STEPS),
        learning_rate=learning_rate or (SIMULATED_RATE if network is None else DATA_RATE),
        warmup_steps=200 if network is None else 20,
        average_decay=0.998 if network is None else 0.99,
        seed=seed,
        loss=LossPlan(
            censored=censored,
            units=units,
            scale_power=(0.0 if history is None else DATA_SCALE_POWER) if scale_power is None else scale_power,
        ),
        data="simulated" if table is None else fingerprint(table),
        batch_items=batch_items,
        simulated=simulated if history is not None else 1.0,
    )
    training = Training(config, plan, source_of(history, config, seed, batch_items, simulated), network)
    out.mkdir(parents=True, exist_ok=True)
    state = out / "training.state"
    if state.exists():
        training.load(state)
        console.print(f"going on from step {training.step} of {state}")
    seconds = run(training, state, save_every)

    trained = PatchForecaster(training.average, out.name, "untested")
    if history is None:
        calibration = calibrate_on_simulated(trained)
        # As it will be used.
        trained = PatchForecaster(training.average, out.name, "untested", calibration=calibration)
        reached = {name: round(value, 4) for name, value in score(trained, score_items).items()}
        scores: dict[str, Any] = {
            "held_out_simulated": reached,
            "climatology_on_the_same": {n: round(v, 4) for n, v in score(Climatology(), score_items).items()},
        }
    else:
        calibration = calibrate_on_panel(trained, history)
        scores = {}
    made = {
        "command": command(out, data, start, until, covariate, static, size, plan, batch_items, simulated),
        "data": "simulated demand (models/simulator.py)" if data is None else data.name,
        "data_fingerprint": plan.data,
        "plan": asdict(plan),
        **scores,
    }
    version = save_checkpoint(training.average, out, made, calibration)
    state.unlink(missing_ok=True)
    console.print(f"wrote {out}: version {version}, {seconds:.0f} s in this run")
    console.print_json(json.dumps({name: made[name] for name in ("command", "data", *scores)}))


def run(training: Training, state: Path, save_every: int) -> float:
    """Takes all steps that are left, with a progress bar; returns the seconds it took."""
    recent: deque[float] = deque(maxlen=50)
    columns = (
        TextColumn("training"),
        BarColumn(),
        TextColumn("step {task.completed:.0f} of {task.total:.0f}, loss {task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=training.plan.steps, completed=training.step, loss="-")
        while training.step < training.plan.steps:
            for loss in training.run(save_every):
                recent.append(loss)
                progress.update(task, completed=training.step, loss=f"{sum(recent) / len(recent):.4f}")
            training.save(state)
    return time.monotonic() - started


def cut_at(table: pa.Table, until: str | None) -> pa.Table:
    """The rows up to a day.

    Raises:
        InputError: it is no date.
    """
    if until is None:
        return table
    try:
        last = pa.scalar(until).cast(pa.date32())
    except pa.ArrowInvalid as error:
        raise InputError(f"--until is {until!r}: give a day as YYYY-MM-DD") from error
    day = table["timestamp"].cast(pa.timestamp("s")).cast(pa.date32())
    return table.filter(pc.less_equal(day, last))


def fingerprint(table: pa.Table) -> str:
    """SHA-256 of the rows as an Arrow stream."""
    sink = hashlib.sha256()
    for batch in table.combine_chunks().to_batches(max_chunksize=1 << 20):
        for column in batch.columns:
            for buffer in column.buffers():
                if buffer is not None:
                    sink.update(buffer)
    return f"sha256:{sink.hexdigest()}"


def command(
    out: Path,
    data: Path | None,
    start: str | None,
    until: str | None,
    covariate: list[str] | None,
    static: list[str] | None,
    size: str,
    plan: Any,
    batch_items: int,
    simulated: float,
) -> str:
    """The command that makes the same again."""
    words = ["python -m models train", f"--out {out.name}"]
    words += [] if data is None else [f"--data {data.name}"]
    words += [f"--size {size}"] if start is None else [f"--from {Path(start).name}"]
    words += [] if until is None else [f"--until {until}"]
    words += [f"--covariate {name}" for name in covariate or []] + [f"--static {name}" for name in static or []]
    words += [f"--steps {plan.steps}", f"--batch-items {batch_items}", f"--learning-rate {plan.learning_rate:g}"]
    words += [f"--scale-power {plan.loss.scale_power:g}", f"--units {plan.loss.units:g}"]
    words += [] if data is None else [f"--censored {plan.loss.censored:g}", f"--simulated {simulated:g}"]
    return " ".join([*words, f"--seed {plan.seed}"])
