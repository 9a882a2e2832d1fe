"""`python -m models evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer
from rich.console import Console
from rich.table import Table

from models.catalogue import open_model
from models.protocol import InputError

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
