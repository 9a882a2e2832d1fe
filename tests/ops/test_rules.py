"""Alert rules as Prometheus itself reads them: its checks, its unit tests, and that these find a rule that is wrong."""

import re
import shutil
import subprocess

import pytest

from tests.conftest import REPO

PROMETHEUS = REPO / "ops/prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
ALERT = re.compile(r"      - alert: (\w+)\n        expr: \|-\n((?:          .*\n)+)")
# The rules of objectives.yml are made by one loop, and its tests run for ten seconds: two of its alerts stand for all.
MUTATED = [
    (file.name, name)
    for file in RULES
    for name in dict.fromkeys(name for name, _ in ALERT.findall(file.read_text()))
    if file.name != "objectives.yml" or name in {"PromiseErrors", "CheckLatency"}
]


def promtool(*arguments):
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=100)


def test_the_example_and_its_rules_are_valid():
    done = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout
    linted = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file):
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_expected_somewhere():
    named = {name for file in RULES for name, _ in ALERT.findall(file.read_text())}
    tested = {name for file in TESTS for name in re.findall(r'alertname="(\w+)"', file.read_text())}
    assert tested == named


@pytest.mark.parametrize(("file", "alert"), MUTATED, ids=[alert for _, alert in MUTATED])
def test_a_rule_that_never_fires_is_found(file, alert, tmp_path):
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    rules = tmp_path / "prometheus/rules" / file
    text = rules.read_text()
    mutated = ALERT.sub(
        lambda found: found[0].replace(found[2], "          vector(0) > 1\n") if found[1] == alert else found[0], text
    )
    assert mutated != text
    rules.write_text(mutated)
    reading = [test for test in (tmp_path / "prometheus/tests").glob("*.yml") if file in test.read_text()]
    assert promtool("test", "rules", *reading).returncode == 1


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("load.yml", "> 0.001", "> 0.0001"),
        ("load.yml", "min_over_time", "max_over_time"),
        ("journal.yml", "size_bytes < 0.1", "size_bytes < 0.6"),
        ("load.yml", 'of="requests_in_flight"', 'of="streams"'),
        ("journal.yml", "[1h]) > 2", "[1h]) > 1"),
        ("compute.yml", "(bespeak_forecast_positions > 0) > 0.05", "bespeak_forecast_positions > 0.04"),
    ],
)
def test_a_rule_that_fires_too_soon_is_found(file, right, wrong, tmp_path):
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    rules = tmp_path / "prometheus/rules" / file
    text = rules.read_text()
    assert right in text
    rules.write_text(text.replace(right, wrong))
    reading = [test for test in (tmp_path / "prometheus/tests").glob("*.yml") if file in test.read_text()]
    assert promtool("test", "rules", *reading).returncode == 1
