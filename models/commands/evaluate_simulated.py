"""`python -m models evaluate-simulated`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from models.catalogue import open_model
from models.protocol import InputError, PanelForecaster

DEFAULT_MODELS = ("climatology", "patch-nano")

app = typer.Typer()
console = Console()


@app.command("evaluate-simulated")
def evaluate_simulated(
    model: Annotated[
        list[str] | None, typer.Option(help="Model to score; repeat for several, the first is the baseline.")
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Held-out simulated items.")] = 2000,
    days: Annotated[int, typer.Option(min=28, help="Days of history; 28 more are forecast.")] = 364,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            help="Covariate known of past and coming days: price, price_ratio, promotion, holiday, temperature or "
            "precipitation; repeat. Default: price, promotion and holiday."
        ),
    ] = None,
    registry: Annotated[
        Path | None, typer.Option(envvar="BESPEAK_MODEL_REGISTRY", help="Directory of a registry, for its models.")
    ] = None,
) -> None:
    """Score models on simulated demand that no training saw, and whose truth is known on stock-out days too."""
    from models.simulated import USUALLY_KNOWN, score

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    names = model or DEFAULT_MODELS
    heads = ("wql", "over\nfirst", "80 %\nholds", "under\nq0.9", "bias of\nmean", "7 days\nin q0.9", "stock/\ndemand")
    table.add_column("model", overflow="fold")
    for head in heads:
        table.add_column(head, no_wrap=True, justify="right")
    baseline: float | None = None
    for name in names:
        loaded = open_model(name, registry)
        if not isinstance(loaded, PanelForecaster):
            raise InputError(f"model {name} takes no panels: score it with `evaluate` on a table")
        found = score(loaded, items, days, covariate or USUALLY_KNOWN)
        baseline = baseline or found["wql"]
        table.add_row(
            f"{loaded.name}@{loaded.version}",
            f"{found['wql']:.4f}",
            f"{found['wql'] / baseline:.3f}",
            f"{found['coverage_80']:.3f}",
            f"{found['below_q90']:.3f}",
            f"{found['bias_mean']:+.3f}",
            *(f"{found[name]:.3f}" if name in found else "" for name in ("week_in_q90", "week_stock")),
        )
    console.print(table)
