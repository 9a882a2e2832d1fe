"""An evaluation as one HTML page: scores, calibration, error by day ahead, fan charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from models.evaluation import Model, Origin, forecast_values
from models.svg import Chart

FAN_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
FAN_ITEMS = 6
FAN_PAST_DAYS = 56
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1000px;color:#222}"
    "table{border-collapse:collapse}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{margin:.5rem 0}"
)
COLUMNS = ("wql", "msql", "mase", "bias_mean", "coverage_80", "series_per_second")


def html(
    title: str,
    scores: Sequence[Mapping[str, Any]],
    ratios: Mapping[str, tuple[float, float, float]],
    fans: Sequence[str],
) -> str:
    """The page.

    Args:
        scores: summaries, the baseline first.
        ratios: by model, weighted quantile loss over the baseline's with its interval.
        fans: SVG charts.
    """
    baseline = scores[0]["model"]
    head = "".join(f"<th>{name}</th>" for name in ("model", *COLUMNS, f"wql / {baseline}"))
    rows = "".join(
        f"<tr><td>{escape(row['model'])} {escape(row['version'])}</td>"
        + "".join(f"<td>{_number(row[name])}</td>" for name in COLUMNS)
        + f"<td>{_interval(ratios.get(row['model']))}</td></tr>"
        for row in scores
    )
    charts = calibration(scores) + by_step(scores)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>{scores[0]['rows']:,} rows scored. Lower is better for wql, msql and mase; "
        "0 is best for bias, 0.8 for coverage. Brackets: 95 % bootstrap interval over items.</p>"
        f"<table><tr>{head}</tr>{rows}</table><h2>Calibration and error by day ahead</h2>{charts}"
        f"<h2>Forecasts of some items</h2>{''.join(fans)}</html>\n"
    )


def calibration(scores: Sequence[Mapping[str, Any]]) -> str:
    """Share of truths at or below each quantile, against its level; a band where ties at 0 leave it open."""
    chart = Chart("calibration", (0, 1), (0, 1), ("level", "share"))
    chart.line((0, 1), (0, 1), colour=4, dashed=True)
    for index, row in enumerate(scores):
        levels = [float(level) for level in row["calibration"]]
        low, high = zip(*row["calibration"].values(), strict=True)
        chart.band(levels, low, high, index)
        chart.line(levels, [(a + b) / 2 for a, b in zip(low, high, strict=True)], row["model"], index)
    return chart.svg()


def by_step(scores: Sequence[Mapping[str, Any]]) -> str:
    """Weighted quantile loss by day ahead."""
    losses = [[loss or 0.0 for loss in row["wql_by_step"]] for row in scores]
    steps = len(losses[0])
    chart = Chart("error by day ahead", (1, steps), (0, 1.25 * max(map(max, losses))), ("days ahead", "wql"))
    for index, (row, loss) in enumerate(zip(scores, losses, strict=True)):
        chart.line(range(1, steps + 1), loss, row["model"], index)
    return chart.svg()


def fan_charts(model: Model, cut: Origin, seed: int = 0) -> list[str]:
    """Past, truth and quantiles of items drawn by their sales, so that busy ones are among them."""
    target = np.nansum(cut.truth, axis=1)
    rng = np.random.default_rng(seed)
    weight = (target + 1e-9) / (target + 1e-9).sum()
    count = min(FAN_ITEMS, len(weight))
    chosen = np.sort(rng.choice(len(weight), count, replace=False, p=weight))
    horizon = cut.truth.shape[1]
    values = forecast_values(model.predict(cut.context, cut.future, horizon, FAN_LEVELS), cut)[..., 1:]
    ids = cut.item_ids.to_pylist()
    item = np.asarray(cut.context["item_id"].cast("string").to_pylist(), dtype=object)
    day = cut.context["timestamp"].cast("timestamp[s]").cast("date32").cast("int32").to_numpy() - cut.day
    sold = cut.context["target"].cast("float64").to_numpy()
    charts = []
    for index in chosen:
        rows = np.flatnonzero((item == ids[index]) & (day > -FAN_PAST_DAYS) & np.isfinite(sold))
        rows = rows[np.argsort(day[rows])]
        ahead = np.arange(1, horizon + 1)
        fan = np.nan_to_num(values[index])
        top = 1.1 * max(
            float(fan[:, -2].max()),
            float(np.nanmax(cut.truth[index], initial=0.0)),
            float(sold[rows].max(initial=1e-9)),
        )
        chart = Chart(
            f"{ids[index]} by {model.name}", (-FAN_PAST_DAYS, horizon), (0, top), ("days from the origin", "units")
        )
        for low, high in ((0, -1), (1, -2), (2, -3)):
            chart.band(ahead, fan[:, low], fan[:, high])
        chart.line(ahead, fan[:, len(FAN_LEVELS) // 2], "median", 0)
        known = np.isfinite(cut.truth[index])
        chart.line(day[rows], sold[rows], "sold", 1)
        chart.line(ahead[known], cut.truth[index][known], colour=1)
        charts.append(chart.svg())
    return charts


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _interval(value: tuple[float, float, float] | None) -> str:
    return "" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
