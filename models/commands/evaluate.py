"""`python -m models evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.catalogue import open_model
from models.commands.rows import read_rows
from models.protocol import InputError
from models.verdict import Verdict

DEFAULT_MODELS = ("climatology", "patch-nano")
TOTAL_SHOWN = (7, 0.9)

app = typer.Typer()
console = Console()


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
    registry: Annotated[
        Path | None, typer.Option(envvar="BESPEAK_MODEL_REGISTRY", help="Directory of a registry, for its models.")
    ] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="JSON file to write; - for standard output.")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    ratio_max: Annotated[
        float | None,
        typer.Option(
            help="Exit with 1 unless the ratios to seasonal-naive and climatology are at most this, by interval."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap and of the charts' items.")] = 0,
) -> None:
    """Score models on rolling origins of your own data."""
    from models import comparison, evaluation, report, verdict

    cuts = evaluation.origins(read_rows(data), horizon, count, stride)
    loaded = [open_model(name, registry) for name in model or DEFAULT_MODELS]
    names = [one.name for one in loaded]
    if len(set(names)) != len(names):
        raise InputError(f"models {names}: name each once")
    if ratio_max is not None:
        verdict.must_be_there(names)
    progress = Console(stderr=True)
    with progress.status("scoring") as status:
        found = comparison.compare(
            loaded, cuts, in_stock_only=in_stock, seed=seed, told=lambda name: status.update(f"scoring {name}")
        )
        judged = verdict.verdicts(found)
        found = {"data": data.name, **found, "verdicts": [one.plain() for one in judged]}
        if out is not None:
            status.update("drawing")
            out.write_text(report.html(found, report.fan_charts(loaded[-1], cuts[-1], seed)))
    text = json.dumps(found, indent=1)
    if as_json == Path("-"):
        typer.echo(text)
    else:
        tell(found, judged)
        if as_json is not None:
            as_json.write_text(text + "\n")
        for path in (as_json, out):
            if path is not None:
                console.print(f"wrote {path}", highlight=False)
    if ratio_max is not None and not all(one.within(ratio_max) for one in judged):
        raise typer.Exit(1)


def tell(found: Mapping[str, Any], judged: Sequence[Verdict]) -> None:
    """Prints the scores and what follows from them."""
    console.print(shown(found))
    for line in against_others(found):
        console.print(line, highlight=False, soft_wrap=True)
    for one in judged:
        ends = f"{number(one.ratio, '.3f')} ({number(one.low, '.3f')}-{number(one.high, '.3f')})"
        console.print(f"{one.model} against {one.reference}: {one.said}, {ends}", highlight=False, soft_wrap=True)


def shown(found: Mapping[str, Any]) -> Table:
    """The main scores as a table for a terminal."""
    days, level = TOTAL_SHOWN
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    # All fit in a line of 80, where only a long name of a model is folded: half a number says nothing.
    for name in (
        "model",
        "wql",
        f"wql over\n{found['baseline']}",
        "mase",
        "bias",
        "80 %\nholds",
        f"{days} days\nin q{level:g}",
        "stock/\ndemand",
        "series\n/s",
    ):
        first = name == "model"
        table.add_column(name, no_wrap=not first, overflow="fold", justify="left" if first else "right")
    for row in found["models"]:
        middle, low, high = row["ratio_to_baseline"]["wql"]
        total: Mapping[str, Any] = next(
            (one for one in row["totals"] if (one["days"], one["level"]) == (days, level)), {}
        )
        table.add_row(
            row["model"],
            number(row["wql"], ".4f"),
            f"{number(middle, '.3f')} ({number(low, '.2f')}-{number(high, '.2f')})",
            number(row["mase"], ".3f"),
            number(row["bias_mean"], "+.3f"),
            number(row.get("coverage_80"), ".3f"),
            number(total.get("within"), ".3f"),
            number(total.get("stock_ratio"), ".2f"),
            number(row["series_per_second"], ",.0f"),
        )
    return table


def against_others(found: Mapping[str, Any]) -> list[str]:
    """The last model's loss over that of each but the baseline, which the table has: a line each."""
    last = found["models"][-1]
    lines = []
    for name, (middle, low, high) in last["wql_over"].items():
        if name != found["baseline"]:
            ends = f"{number(low, '.3f')}-{number(high, '.3f')}"
            lines.append(f"{last['model']} over {name}: {number(middle, '.3f')} ({ends})")
    return lines


def number(value: float | None, form: str) -> str:
    """A number, or a dash for one that is not known."""
    return "-" if value is None else format(value, form)
