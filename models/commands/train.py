"""`python -m models train`."""

from __future__ import annotations

import json
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.climatology import Climatology

app = typer.Typer()
console = Console()


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
