"""The suite says what it found: relative to the bound, against the rule engine, and as a page that can be read."""

import json
import re
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET

import pytest

from loadtests.allocation.instances import Shape, make
from loadtests.allocation.suite import Batch, summaries, table, wrong
from loadtests.allocation.svg import LogChart, decades, grouped, stacked
from loadtests.allocation.targets import ROWS, TARGETS
from loadtests.allocation.through_server import percentile, request_id
from loadtests.measure import parsed
from loadtests.row import row


@pytest.fixture(scope="module")
def judged():
    """A proven optimum and the search's plan of one batch."""
    batch = Batch(make(Shape(30, 5), 3), "own", 3)
    lines = [batch.tried(name, budget) for name, budget in (("highs", 30_000), ("search", 200), ("greedy", 0))]
    return batch, [batch.judged(line) for line in lines]


def test_a_plan_is_told_against_the_bound_and_the_rules(judged):
    batch, (optimum, search, rules) = judged
    assert abs(optimum["gap_percent"]) < 0.01
    assert optimum["recovered"] == pytest.approx(1, abs=0.01)
    assert rules["recovered"] == 0
    assert rules["bound"] is None
    assert optimum["cost"] <= search["cost"]
    for line in (optimum, search):
        assert line["recovered_stock"] + line["recovered_freight"] == pytest.approx(line["recovered"])
        assert line["cost"] == sum(line[part] for part in ("package", "freight", "handling", "late", "unfilled"))
        assert line["bound"] <= optimum["cost"]
        assert wrong(line) is None
    assert search["to_first_ms"] <= search["milliseconds"]
    saved = rules["cost"] - search["cost"]
    assert search["recovered"] == pytest.approx(saved / (rules["cost"] - batch.bound))


def test_what_is_wrong_is_said(judged):
    batch, (optimum, *_) = judged
    flattering = batch.judged(optimum | {"bound": optimum["cost"] + 1})
    assert "is above a plan of" in wrong(flattering)
    assert "stock" in wrong(optimum | {"feasible": False, "why": "stock is short"})
    assert "NOT FEASIBLE" in table([optimum | {"feasible": False}])


def test_a_part_of_the_problem_is_refused_not_failed(judged):
    batch, _ = judged
    line = batch.judged(batch.tried("highs", 100, "tiers"))
    assert line["feasible"] is None
    assert "by cost alone" in line["made_by"]
    assert wrong(line) is None


def test_rows_count_the_worst(judged):
    _, (optimum, search, _) = judged
    late, rules = summaries([optimum, search | {"overrun": 0.5, "cost": 2 * search["rules_cost"]}])
    assert (late["median"], late["met"]) == (0.5, False)
    assert (rules["median"], rules["met"]) == (2.0, False)
    assert row("a", "b", "c", "d", [1.0], bound=1.0)["met"] is True
    assert len(set(ROWS)) == len(TARGETS) + 2


def test_the_rows_are_among_the_benchmarks():
    options, _ = parsed(["--rows", "allocation-mid-300,check-100k"])
    assert options.only == ["engine", "allocation"]


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.75, 3), (0.99, 4), (0.01, 1)])
def test_percentiles_are_values_that_occurred(share, value):
    assert percentile([4, 1, 3, 2], share) == value


def test_request_ids_are_of_version_7():
    first, second = uuid.UUID(request_id()), uuid.UUID(request_id())
    assert first.version == second.version == 7
    assert first.variant == uuid.RFC_4122
    assert first != second


def test_charts_are_well_formed():
    chart = LogChart((1, 1000), (0.001, 100), ("ms", "gap"))
    chart.steps([(1, 50.0), (30, 0.5)], "a & b", "#123456")
    chart.dots([(5000, 1e-9)], "outside", "#654321")
    chart.rule(20, "<rules>")
    drawings = [
        chart.svg(),
        stacked("cost", {"x": [1, 0, 2]}, ["a", "b", "c"], {"x": "note"}),
        grouped("fill", {"x": [0.5, 1.0]}, ["a", "b"]),
    ]
    for drawing in drawings:
        ET.fromstring(drawing)
    assert decades(1, 1000) == [1, 10, 100, 1000]


def test_the_page_is_written_and_all_is_on_it(tmp_path):
    command = [sys.executable, "-m", "loadtests.allocation", "report", "--quick", "--batches", "tiny", "--page"]
    done = subprocess.run([*command, tmp_path / "page.html"], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        ET.fromstring(drawing)
    for said in ("Where packages go", "Where the cost goes", "max-min", "column-generation", "rule engine"):
        assert said in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["feasible"] is not False and line["bound_valid"] for line in lines if line["kind"] == "plan")
    assert {line["policy"] for line in lines if line["kind"] == "plan"} == {"cost", "tiers", "fair-share", "max-min"}


def test_what_a_solver_prints_is_no_line():
    code = (
        "import os; from loadtests.allocation.__main__ import for_lines_alone; lines = for_lines_alone(); "
        "os.write(1, b'noise'); print('more', flush=True); lines.write('{}'); lines.flush()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "{}"
    assert done.stderr == "noisemore\n"
