"""Things happen to real servers under a small load: what is told of it, and that every account adds up.

Ray's event is left to the command itself: Ray alone takes longer to start than all of this.
"""

import json
import os
import subprocess
import sys
from collections import defaultdict

import pytest

from loadtests.chaos.cli import parsed
from tests.conftest import REPO

# Tests share a machine: the generator may be as late as it likes, and no time is asserted.
SMALL = ["--rate", "300", "--positions", "250", "--receipts", "1", "--rounds", "1", "--lag-share", "1e6"]
SMALL += ["--moved-factor", "1e9"]
SMALL += [
    "--before",
    "0.6",
    "--seconds",
    "0.5",
    "--after",
    "1.2",
    "--warmup",
    "0.2",
    "--connections",
    "4",
    "--streams",
    "8",
]
EVENTS = ("snapshot", "push", "batches", "kill", "roll", "rollout", "worker", "slow-disk")

# The first test may have to build the generator.
pytestmark = [pytest.mark.long, pytest.mark.timeout(700)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Every event once: the process that ended, and its lines by kind."""
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "ci", "-p", "bespeak-bench"]
    subprocess.run(command, cwd=REPO, check=True, timeout=600)
    place = tmp_path_factory.mktemp("chaos")
    (place / "data").mkdir()
    more = ["--dir", place / "data", "--report", place / "page", "--out", place / "lines.jsonl"]
    run = subprocess.run(
        [sys.executable, "-m", "serving", "bench", "--chaos", *EVENTS, *SMALL, *more],
        cwd=REPO,
        env={**os.environ, "BENCH_PROFILE": "ci", "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    run.place = place
    run.kinds = defaultdict(list)
    for text in run.stdout.splitlines():
        line = json.loads(text)
        run.kinds[line["kind"]].append(line)
    return run


@pytest.fixture(params=EVENTS)
def line(request, done):
    """The line of an event."""
    found = [one for one in done.kinds["chaos"] if one["event"] == request.param]
    assert len(found) == 1, done.stderr[-4000:]
    return found[0]


def test_every_event_happens_and_its_account_adds_up(line):
    assert line["marks"], "it did not happen"
    assert line["sound"] is True
    assert line["account"]["units_oversold"] == 0
    assert line["account"]["units_sold"] > 0
    assert line["settled"]["acknowledged"] > 20, "and every one of them was found again"
    promises = {name: found["promises"] for name, found in line["windows"].items()}
    assert promises["normal"]["calls"] > 0
    assert promises["during"]["calls"] > 0
    assert promises["normal"]["failed"] == {}
    if line["event"] != "kill":
        assert all(found["failed"] == {} for found in promises.values()), "no caller sees an error"


def test_with_too_few_calls_nothing_is_proven(done):
    verdicts = {one["event"]: one for one in done.kinds["chaos_verdict"]}
    assert set(verdicts) == {"snapshot", "roll"}
    for event, verdict in verdicts.items():
        # A snapshot lasts as long as the machine makes it last, so it may have seen enough.
        windows = of(done, event)["windows"]
        enough = all(windows[name]["promises"]["p99_us"] is not None for name in ("normal", "during"))
        assert (verdict["met"] is not None) == enough
    assert verdicts["roll"]["met"] is None, "half a second of a small load"
    assert done.returncode == 1, done.stderr[-4000:]
    assert "NOT PROVEN: roll: p99 during it: it did not happen, or too few calls" in done.stderr


def test_lines_can_be_shown_to_others(done):
    assert str(done.place) not in done.stdout, "where things lay is of no use to them"


def of(done, event):
    return next(one for one in done.kinds["chaos"] if one["event"] == event)


def test_a_killed_engine_is_found_again_with_all_that_it_had_said(done):
    line = of(done, "kill")
    during = line["windows"]["during"]["promises"]
    assert set(during["failed"]) <= {"ConnectionLost", "NoConnection", "Unavailable"}
    assert during["failed"]["NoConnection"] > 0
    assert line["windows"]["after"]["promises"]["calls"] > line["windows"]["after"]["promises"]["failed"].get(
        "Unavailable", 0
    )
    assert line["gap_s"] > line["normal_gap_s"]
    assert line["told"]["serving_after_s"] > 0
    assert line["settled"]["sent_again"] >= line["settled"]["done_before"]


def fallbacks(made_by):
    """The share of forecasts that the server made itself, since no worker answered in time."""
    assert set(made_by) <= {"worker climatology@1", "fallback climatology@1"}
    return made_by.get("fallback climatology@1", 0) / sum(made_by.values())


def test_without_its_worker_the_server_answers_and_says_so(done):
    line = of(done, "worker")
    before, during = (line["windows"][name]["forecast"]["made_by"] for name in ("normal", "during"))
    # A worker that gets no processor in time has its fallback too, so before it is a matter of how many.
    assert fallbacks(before) < 0.5
    assert during["fallback climatology@1"] > 0
    assert fallbacks(during) > fallbacks(before)
    assert line["windows"]["during"]["forecast"]["failed"] == {}
    assert line["told"]["processes_killed"] >= 1


def test_a_rollout_and_the_way_back_cost_no_forecast(done):
    line = of(done, "rollout")
    assert [mark["name"] for mark in line["marks"]] == ["canary", "promoted", "rolled back"]
    told = line["told"]
    assert told["from"] != told["to"]
    asked = [found["forecast"] for found in line["windows"].values() if "forecast" in found]
    assert all(found["failed"] == {} for found in asked)
    known = {f"worker {told['from']}", f"worker {told['to']}", "fallback climatology@1"}
    assert {by for found in asked for by in found["made_by"]} <= known


def test_a_slow_disk_is_seen_by_those_who_write(done):
    windows = of(done, "slow-disk")["windows"]
    # Each sync takes 20 ms longer, and a hold waits for one.
    assert windows["during"]["reserve"]["max_us"] > 20_000
    assert windows["during"]["reserve"]["p50_us"] is None or windows["during"]["reserve"]["p50_us"] > 20_000


def test_what_goes_on_beside_is_done(done):
    assert of(done, "push")["told"]["positions"] == 250
    batches = of(done, "batches")["told"]
    assert batches["batches"] >= 1
    assert batches["orders_held"] > 0
    assert of(done, "snapshot")["told"]["bytes"] > 0
    assert of(done, "roll")["told"]["rolls"] >= 1


def test_the_page_shows_every_event_and_nothing_is_left_behind(done):
    page = (done.place / "page/report.html").read_text()
    for event in EVENTS:
        title = of(done, event)["title"]
        assert f"<figcaption>{title}: latency</figcaption>" in page
    assert (done.place / "lines.jsonl").read_text() == done.stdout
    assert list((done.place / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--chaos", "flood"], "there is no event flood"), (["--chaos", "--before", "0"], "--before is 0")],
)
def test_what_cannot_be_asked_is_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as refused:
        parsed(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err
