"""One panel of a Grafana dashboard."""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, RED = "green", "red"


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        unit: Grafana's name of it: s, percentunit, reqps, short, bytes, Bps.
        queries: PromQL and legend of each series.
        bound: where the green ends, in the unit; None draws none.
        below: whether what lies below the bound is wrong, not above.
        stat: one number instead of a curve over time.
    """

    title: str
    about: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    bound: float | None = None
    below: bool = False
    stat: bool = False
    log: bool = False
    width: int = 8

    def json(self, number: int, x: int, y: int) -> Json:
        """The panel as Grafana keeps it, at a place of the grid."""
        steps: list[Json] = [{"color": GREEN, "value": None}]
        if self.bound is not None:
            ends = (RED, GREEN) if self.below else (GREEN, RED)
            steps = [{"color": ends[0], "value": None}, {"color": ends[1], "value": self.bound}]
        custom: Json = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 8,
            "showPoints": "never",
            "spanNulls": False,
            "scaleDistribution": {"type": "log", "log": 10} if self.log else {"type": "linear"},
            "thresholdsStyle": {"mode": "off" if self.bound is None else "line"},
        }
        options: Json = (
            {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"}
            if self.stat
            else {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        )
        defaults: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        if not self.stat:
            defaults["custom"] = custom
        return {
            "id": number,
            "type": "stat" if self.stat else "timeseries",
            "title": self.title,
            "description": self.about,
            "datasource": DATASOURCE,
            "gridPos": {"h": 4 if self.stat else 8, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": [
                {
                    "datasource": DATASOURCE,
                    "editorMode": "code",
                    "expr": expr,
                    "instant": self.stat,
                    "legendFormat": legend,
                    "range": not self.stat,
                    "refId": chr(ord("A") + place),
                }
                for place, (expr, legend) in enumerate(self.queries)
            ],
        }


Rows = list[tuple[str, list[Panel]]]
"""Titles of rows, and the panels under them from left to right."""
