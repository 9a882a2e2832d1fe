"""objectives.toml: what is made from it is fresh, and what no rule could be made from is refused."""

import subprocess
import sys

import pytest

from ops.objectives import HERE, LATENCY_BOUNDS_MS, WrongObjectives, read
from ops.rules import rule_files
from tests.conftest import REPO


def test_rules_and_dashboards_are_what_the_objectives_say():
    done = subprocess.run(
        [sys.executable, "-m", "ops", "--check"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), "run python -m ops"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("availability = 0.999", "availability = 1.0", "availability is 1.0"),
        ("latency = 0.99\nlatency_ms = 1\n", "latency = 0.99\nlatency_ms = 7\n", "latency_ms is 7: choose from"),
        ('methods = ["Check"]', "methods = []", "methods is empty"),
        ('name = "checks"', 'name = "Checks!"', "objective.name is 'Checks!'"),
        ("shed_ratio = 0.001", "shed_ratio = 0", "thresholds.shed_ratio is 0"),
        ("shed_ratio = 0.001", "shed_rate = 0.001", "shed_rate"),
        ("window_days = 30", "", "window_days"),
        ("window_days = 30", "window_days = 30\nwindow_weeks = 4", "unknown window_weeks"),
    ],
)
def test_wrong_objectives_are_named(right, wrong, told, tmp_path):
    text = (HERE / "objectives.toml").read_text()
    assert right in text
    (tmp_path / "objectives.toml").write_text(text.replace(right, wrong, 1))
    with pytest.raises(WrongObjectives, match=told.replace("(", r"\(")):
        read(tmp_path / "objectives.toml")


def test_another_objective_moves_its_rules(tmp_path):
    text = (HERE / "objectives.toml").read_text()
    before = rule_files(read())["objectives.yml"]
    (tmp_path / "objectives.toml").write_text(text.replace("latency_ms = 10\n", "latency_ms = 25\n"))
    after = rule_files(read(tmp_path / "objectives.toml"))["objectives.yml"]
    assert 'le="0.01"' in before
    assert 'le="0.01"' not in after
    assert after.count('le="0.025"') == before.count('le="0.01"')


def test_the_bounds_are_those_of_the_server(repo):
    source = (repo / "rust_core/server/src/metrics/histogram.rs").read_text()
    _, _, after = source.partition("BOUNDS_US: [u64; ")
    numbers = after.partition("= [")[2].partition("]")[0].replace("_", "").split(",")
    assert [int(number) for number in numbers if number.strip()] == [round(ms * 1_000) for ms in LATENCY_BOUNDS_MS]
