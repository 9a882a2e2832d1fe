"""Grafana dashboards: what is asked and answered, the journal, plans, and what computes."""

import json

from ops import allocation, compute, journal, promise_path
from ops.objectives import Objectives
from ops.panel import DATASOURCE, Json, Rows

SCHEMA_VERSION = 39
"""Of Grafana 10.4 and 11; newer ones read it too."""
WIDTH = 24


def dashboards(chosen: Objectives) -> dict[str, str]:
    """Returns the JSON of each dashboard by its file name."""
    made = {
        "promises.json": ("Bespeak promises", "bespeak-server", promise_path.promises(chosen)),
        "journal.json": ("Bespeak journal", "bespeak-server", journal.journal(chosen)),
        "allocation.json": ("Bespeak allocation", "bespeak-server|bespeak-worker", allocation.allocation(chosen)),
        "compute.json": ("Bespeak forecasts and plans", "bespeak-server|bespeak-worker", compute.compute(chosen)),
    }
    return {
        name: json.dumps(_dashboard(name.removesuffix(".json"), *parts), indent=1) + "\n"
        for name, parts in made.items()
    }


def _dashboard(name: str, title: str, jobs: str, rows: Rows) -> Json:
    placed: list[Json] = []
    y = 0
    for row, inside in rows:
        bar = {"id": len(placed) + 1, "type": "row", "title": row, "collapsed": False, "panels": []}
        placed.append({**bar, "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}})
        y, x, tall = y + 1, 0, 0
        for panel in inside:
            if x + panel.width > WIDTH:
                y, x, tall = y + tall, 0, 0
            placed.append(panel.json(len(placed) + 1, x, y))
            x, tall = x + panel.width, max(tall, placed[-1]["gridPos"]["h"])
        y += tall
    return {
        "annotations": {"list": []},
        "editable": True,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [],
        "panels": placed,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["bespeak"],
        "templating": {"list": [_datasource(), *(_variable(*each) for each in _variables(jobs))]},
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": title,
        "uid": f"bespeak-{name}",
        "version": 1,
        "weekStart": "",
    }


def _variables(jobs: str) -> list[tuple[str, str, str]]:
    return [
        ("job", "Job", f'label_values(up{{job=~"{jobs}"}}, job)'),
        ("instance", "Instance", 'label_values(up{job=~"$job"}, instance)'),
    ]


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
        "includeAll": True,
        "multi": True,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 1,
    }
