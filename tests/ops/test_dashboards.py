"""Dashboards that Grafana can read: shape, places, units, queries, and thresholds at the objectives."""

import json
import re
import shutil
import subprocess

import pytest

from ops.objectives import read
from tests.conftest import REPO
from tests.ops.promql import plain

FILES = sorted((REPO / "ops/grafana").glob("*.json"))
BOARDS = {file.stem: json.loads(file.read_text()) for file in FILES}
UNITS = {"s", "percentunit", "reqps", "short", "bytes", "Bps", "iops"}
PANELS = [
    pytest.param(name, panel, id=f"{name}-{panel['id']}-{panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def test_the_promise_path_the_journal_plans_and_compute_have_one_each():
    assert BOARDS.keys() == {"promises", "journal", "allocation", "compute"}
    assert len({board["uid"] for board in BOARDS.values()}) == len({board["title"] for board in BOARDS.values()}) == 4


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_can_be_imported_anywhere(name):
    board = BOARDS[name]
    assert board["id"] is None, "Grafana gives the number"
    assert board["schemaVersion"] >= 36
    source, *variables = board["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert [variable["name"] for variable in variables] == ["job", "instance"]
    assert all(variable["datasource"]["uid"] == "${datasource}" for variable in variables)
    assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(board["panels"]))) == {"${datasource}"}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_and_places_of_their_own(name):
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_says_what_it_shows(name, panel):
    defaults = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert defaults["unit"] in UNITS
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    assert [step["color"] for step in steps] in (["green"], ["green", "red"], ["red", "green"])
    assert [target["refId"] for target in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]
    times = ["_seconds" in target["expr"] and "_count" not in target["expr"] for target in panel["targets"]]
    assert not any(times) or defaults["unit"] == "s" or "histogram_quantile" not in panel["targets"][0]["expr"]


def test_thresholds_are_the_objectives():
    chosen = read()
    steps = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for board in BOARDS.values()
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    for objective in chosen.objectives:
        assert steps[f"{objective.title}: availability, 3 d"] == objective.availability
        assert steps[f"{objective.title}: latency, 3 d"] == objective.latency
        assert steps[f"Latency: {objective.title.lower()}"] == objective.latency_ms / 1_000
    assert steps["Sync"] == chosen.thresholds.journal_sync_p99_ms / 1_000


@pytest.mark.parametrize("name", BOARDS)
def test_prometheus_can_read_every_query(name, tmp_path):
    exprs = [plain(t["expr"]) for panel in BOARDS[name]["panels"] for t in panel.get("targets", [])]
    assert len(exprs) > 10
    assert all(expr.count("(") == expr.count(")") and expr.count("{") == expr.count("}") for expr in exprs)
    if shutil.which("promtool"):
        rules = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(exprs)]
        # JSON is YAML.
        (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": name, "rules": rules}]}))
        done = subprocess.run(
            ["promtool", "check", "rules", tmp_path / "rules.yml"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
