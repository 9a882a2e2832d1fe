"""An evaluation as one HTML page: scores, calibration, error by day ahead, totals, fan charts."""

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
#: Colour of the diagonal: that of none of the first models.
IDEAL = 4
#: Quantiles of totals begin at the median.
TOTALS_RANGE = (0.4, 1.0)
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}"
    "td{white-space:nowrap}td:first-child,th:first-child{text-align:left}small{color:#666;white-space:nowrap}svg{margin:.5rem 0}"
)
COLUMNS = ("wql", "msql", "mase", "bias_mean")
NAMES = {
    "wql": "weighted quantile loss",
    "msql": "scaled quantile loss",
    "mase": "MASE",
    "bias_mean": "bias",
}


def html(found: Mapping[str, Any], fans: Sequence[str]) -> str:
    """The page.

    Args:
        found: what `models.comparison.compare` gives, with "data": the name of the data.
        fans: SVG charts.
    """
    rows, origins = found["models"], found["origins"]
    title = f"{found['data']}: {len(origins)} origin{'s' * (len(origins) > 1)}, {found['horizon_days']} days ahead"
    stock = "days in stock only" if found["in_stock_only"] else "all days"
    spans = origins[0] if len(origins) == 1 else f"{origins[0]} to {origins[-1]}"
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>{rows[0]['rows']:,} rows of {rows[0]['items']:,} items, {stock}, after {spans}. "
        "Lower is better for the losses; 0 is best for bias, a share equal to its level for coverage. "
        "Brackets: 95 % bootstrap interval over items.</p>"
        f"{scores_table(found)}{coverage_table(rows)}"
        f"<h2>Calibration and error by day ahead</h2>{calibration(rows)}{by_step(rows)}"
        f"<h2>Totals over the next days</h2>{totals(rows)}"
        f"<h2>Forecasts of some items</h2>{''.join(fans)}</html>\n"
    )


def scores_table(found: Mapping[str, Any]) -> str:
    """Losses and bias, and their ratios to the baseline's."""
    baseline = escape(found["baseline"])
    head = ["model", *(NAMES[name] for name in COLUMNS), f"wql / {baseline}", f"mase / {baseline}", "series/s"]
    body = []
    for row in found["models"]:
        cells = [f"{escape(row['model'])} <small>{escape(row['version'])}</small>"]
        cells += [_with_interval(row[name], row["intervals"][name]) for name in COLUMNS]
        for name in ("wql", "mase"):
            middle, *ends = row["ratio_to_baseline"][name]
            cells.append(_with_interval(middle, ends))
        body.append([*cells, f"{row['series_per_second']:,.0f}"])
    return _table(head, body)


def coverage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Share of truths in each central interval."""
    names = sorted((name for name in rows[0] if name.startswith("coverage_")), key=lambda name: float(name[9:]))
    if not names:
        return ""
    head = ["coverage of the interval", *(f"{name[9:]} %" for name in names)]
    return _table(
        head,
        [
            [escape(row["model"]), *(_with_interval(row[name], row["intervals"][name]) for name in names)]
            for row in rows
        ],
    )


def calibration(rows: Sequence[Mapping[str, Any]]) -> str:
    """Share of truths at or below each quantile, against its level; a band where ties at 0 leave it open."""
    chart = Chart("calibration by day", (0, 1), (0, 1), ("level", "share"))
    chart.line((0, 1), (0, 1), colour=IDEAL, dashed=True)
    for index, row in enumerate(rows):
        levels = [float(level) for level in row["calibration"]]
        low, high = zip(*row["calibration"].values(), strict=True)
        chart.band(levels, low, high, index)
        chart.line(levels, [(a + b) / 2 for a, b in zip(low, high, strict=True)], row["model"], index)
    return chart.svg()


def by_step(rows: Sequence[Mapping[str, Any]]) -> str:
    """Weighted quantile loss by day ahead, with its interval."""
    losses = [[loss or 0.0 for loss in row["wql_by_step"]] for row in rows]
    steps = len(losses[0])
    highest = max([end or 0.0 for row in rows for _, end in row["wql_by_step_intervals"]] + [1e-9])
    chart = Chart("error by day ahead", (1, steps), (0, 1.1 * highest), ("days ahead", "wql"))
    for index, (row, loss) in enumerate(zip(rows, losses, strict=True)):
        low, high = zip(*row["wql_by_step_intervals"], strict=True)
        chart.band(range(1, steps + 1), [end or 0.0 for end in low], [end or 0.0 for end in high], index)
        chart.line(range(1, steps + 1), loss, row["model"], index)
    return chart.svg()


def totals(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether quantiles of totals hold, and how much stock they would take."""
    if not any(row["totals"] for row in rows):
        return "<p>Not scored.</p>"
    spans = sorted({one["days"] for row in rows for one in row["totals"]})
    charts = []
    for span in spans[-3:]:
        chart = Chart(f"calibration of {span}-day totals", TOTALS_RANGE, TOTALS_RANGE, ("level", "share within"))
        chart.line(TOTALS_RANGE, TOTALS_RANGE, colour=IDEAL, dashed=True)
        for index, row in enumerate(rows):
            kept = [one for one in row["totals"] if one["days"] == span and one["within"] is not None]
            levels = [one["level"] for one in kept]
            ends = [one["within_interval"] for one in kept]
            chart.band(levels, [end[0] or 0.0 for end in ends], [end[1] or 0.0 for end in ends], index)
            chart.line(levels, [one["within"] for one in kept], row["model"], index)
        charts.append(chart.svg())
    charts.append(_stock_chart(rows, spans))
    body = [
        [escape(row["model"]), str(span)]
        + [
            _share(one["within"], one["stock_ratio"])
            for one in row["totals"]
            if one["days"] == span and one["level"] >= 0.5
        ]
        for span in spans
        for row in rows
    ]
    levels = [one["level"] for one in rows[0]["totals"] if one["days"] == spans[0]]
    head = ["model", "days", *(f"q{level:g}" for level in levels)]
    made = "; ".join(f"{escape(row['model'])} by {escape(str(row['totals_by']))}" for row in rows)
    what = f"<p>Share of totals at or below the quantile, at how much stock for each unit of demand. They are made: {made}.</p>"
    return what + "".join(charts) + _table(head, body)


def _stock_chart(rows: Sequence[Mapping[str, Any]], spans: Sequence[int]) -> str:
    """Stock for each unit of demand against the share of totals that it covers."""
    span = 7 if 7 in spans else spans[-1]
    kept = [[one for one in row["totals"] if one["days"] == span and one["stock_ratio"] is not None] for row in rows]
    top = max((one["stock_ratio"] for part in kept for one in part), default=1.0)
    chart = Chart(
        f"stock that covers {span}-day totals", TOTALS_RANGE, (0, 1.1 * top), ("share within", "stock/demand")
    )
    for index, (row, part) in enumerate(zip(rows, kept, strict=True)):
        chart.line([one["within"] for one in part], [one["stock_ratio"] for one in part], row["model"], index)
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
        charts.append(_fan(f"{ids[index]} by {model.name}", values[index], cut.truth[index], day[rows], sold[rows]))
    return charts


def _fan(title: str, fan: np.ndarray, truth: np.ndarray, day: np.ndarray, sold: np.ndarray) -> str:
    """One item: quantiles (days, levels), what was sold before and after."""
    horizon = len(truth)
    ahead = np.arange(1, horizon + 1)
    fan = np.nan_to_num(fan)
    top = 1.1 * max(float(fan[:, -2].max()), float(np.nanmax(truth, initial=0.0)), float(sold.max(initial=1e-9)))
    chart = Chart(title, (-FAN_PAST_DAYS, horizon), (0, top), ("days from the origin", "units"))
    for low, high in ((0, -1), (1, -2), (2, -3)):
        chart.band(ahead, fan[:, low], fan[:, high])
    chart.line(ahead, fan[:, len(FAN_LEVELS) // 2], "median", 0)
    known = np.isfinite(truth)
    chart.line(day, sold, "sold", 1)
    chart.line(ahead[known], truth[known], colour=1)
    return chart.svg()


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><tr>{top}</tr>{rows}</table>"


def _with_interval(value: float | None, ends: Sequence[float | None]) -> str:
    return f"{_number(value)}<br><small>[{_number(ends[0])}, {_number(ends[1])}]</small>"


def _share(within: float | None, stock: float | None) -> str:
    return "-" if within is None or stock is None else f"{within:.1%} at {stock:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
