"""Objectives proven against real servers: the exit status, the account, and that a stall is seen by all who met it."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.slo.file import Generator as Settings
from loadtests.slo.file import Scenario, Server, Slo
from loadtests.slo.generator import Generator
from tests.conftest import REPO

# Tests share a machine: the generator may be as late as it likes, and bounds are either far or out of reach. Servers
# may use every core: what other tests start on one of them shall not stand in front of a start here.
CORES = tuple(sorted(os.sched_getaffinity(0)))
SLO = """
[server]
positions = 50
receipts = 1
commitments = 2
cores = CORES

[generator]
rounds = 1
warmup_s = 0.2
measure_s = 1.0
lag_share = 1e6

[[scenario]]
name = "checkout"
mix = "checkout"
rate = 400
connections = 2
streams = 4
errors = 0.0
growth = 1.0
achieved = {achieved}

[[scenario.objective]]
method = "reserve"
p50_us = {p50}
p50_echo = 1e6
""".replace("CORES", str(list(CORES)))


# The first test may have to build the generator.
pytestmark = [pytest.mark.long, pytest.mark.timeout(700)]


@pytest.fixture(scope="module", autouse=True)
def _built():
    command = ["cargo", "build", "--quiet", "--locked", "--profile", "ci", "-p", "bespeak-bench"]
    subprocess.run(command, cwd=REPO, check=True, timeout=600)


# What `python -m serving bench` hands its arguments to.
PROGRAM = ("-m", "loadtests.measure")


def bench(tmp_path, text, *more, program=PROGRAM):
    (tmp_path / "slo.toml").write_text(text)
    return subprocess.run(
        [sys.executable, *program, "--slo", tmp_path / "slo.toml", "--dir", tmp_path, *more],
        cwd=REPO,
        env={**os.environ, "BENCH_PROFILE": "ci", "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def lines(done, kind):
    return [line for line in map(json.loads, done.stdout.splitlines()) if line["kind"] == kind]


def test_objectives_that_are_met_leave_with_0(tmp_path):
    done = bench(tmp_path, SLO.format(achieved=0.01, p50=50_000_000))
    assert done.returncode == 0, done.stderr
    assert "5 of 5 objectives met" in done.stderr
    assert [verdict["met"] for verdict in lines(done, "verdict")] == [True] * 5
    (server,) = lines(done, "server")
    assert [server[of] for of in ("positions", "receipts", "commitments")] == [50, 1, 2]
    ours, echo = lines(done, "step")
    assert (ours["target"], echo["target"]) == ("server", "echo")
    assert ours["methods"]["all"]["failed"] == {}
    assert 300 < ours["calls"] < 500
    assert lines(done, "verified")[0]["units_oversold"] == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "slo.toml"]


def test_an_objective_that_is_missed_leaves_with_1_and_its_line(tmp_path):
    done = bench(tmp_path, SLO.format(achieved=0.01, p50=0.001), program=("-m", "serving", "bench"))
    assert done.returncode == 1, done.stderr
    assert "4 of 5 objectives met" in done.stderr
    assert f"{tmp_path / 'slo.toml'}:26: MISSED      checkout  reserve p50_us: " in done.stderr
    assert {verdict["metric"]: verdict["met"] for verdict in lines(done, "verdict")}["p50_us"] is False


def test_who_ends_the_command_ends_the_measurement(tmp_path):
    (tmp_path / "slo.toml").write_text(SLO.format(achieved=0.01, p50=1).replace("measure_s = ", "measure_s = 9"))
    command = [sys.executable, "-m", "serving", "bench", "--slo", tmp_path / "slo.toml", "--dir", tmp_path]
    environment = {**os.environ, "BENCH_PROFILE": "ci", "PYTHONPATH": str(REPO)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO, env=environment) as running:
        assert running.stdout is not None
        server = next(line for line in map(json.loads, running.stdout) if line["kind"] == "server")
        running.terminate()
        assert running.wait(60) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{server['pid']}").exists()


def test_objectives_that_cannot_be_proven_leave_with_2(tmp_path):
    done = bench(tmp_path, SLO.format(achieved=2, p50=1))
    assert done.returncode == 2
    assert "line 22, scenario checkout: achieved is 2: it is a share" in done.stderr
    assert done.stdout == ""


def test_a_search_finds_a_rate_and_tells_a_table(tmp_path):
    text = SLO.format(achieved=0.01, p50=50_000_000).replace("p50_echo = 1e6\n", "")
    done = bench(tmp_path, text, "--search", "checkout", "--highest", "800", "--confirmations", "1")
    assert done.returncode == 0, done.stderr
    (found,) = lines(done, "found")
    assert found["rate"] == 800
    assert [step["rate"] for step in found["steps"]] == [400, 800, 800]
    assert "as the file says           800" in done.stderr
    assert lines(done, "verified")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_PROFILE", "ci")
    return Slo(tmp_path / "slo.toml", Server(positions=50, receipts=1, cores=CORES), Settings(), ())


def step(name, **fields):
    return {"name": name, "measure_s": 1.0, "warmup_s": 0.1, "lag_share_max": 1e6, **fields}


def test_a_pause_of_the_server_is_seen_by_every_call_that_was_due_in_it(settings, tmp_path):
    told = []
    with Generator(settings, told.append, tmp_path) as generator:
        line = generator.run(
            step(
                "pause",
                mix={"check": 1},
                rate=300,
                arrivals="constant",
                measure_s=3.0,
                connections=1,
                streams=2,
                pause={"at_s": 1.0, "for_s": 1.0},
            )
        )
        generator.verify()
    assert line["calls"] == 900, "every call that was due is counted"
    # A third of the calls was due in the pause, with latencies from 0 to 1 s: a tenth of all waited 0.7 s. A generator
    # that waits for its answers would have seen two slow calls, one a stream, of hundreds.
    curve = dict(line["methods"]["check"]["curve"])
    assert curve[0.9] > 600_000
    assert curve[0.98] > 900_000
    (stalled,) = [moment for moment in line["timeline"] if moment["at_s"] == 1.25]
    assert stalled["p50_us"] > 400_000
    assert told[-1]["kind"] == "verified"


def test_load_ends_with_who_asked_for_it(tmp_path):
    (tmp_path / "slo.toml").write_text(
        SLO.format(achieved=0.01, p50=50_000_000).replace("measure_s = 1.0", "measure_s = 3600.0")
    )
    asked = subprocess.Popen(
        [sys.executable, *PROGRAM, "--slo", tmp_path / "slo.toml", "--dir", tmp_path],
        cwd=REPO,
        env={**os.environ, "BENCH_PROFILE": "ci", "PYTHONPATH": str(REPO)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The hour of load begins when the server is filled.
        assert any('"kind": "server"' in line for line in asked.stdout)
    finally:
        asked.kill()
    # The generator has the same standard error: it ends when the generator does.
    _, said = asked.communicate(timeout=110)
    # Killed in between, the step was never given, and it had nobody to tell so.
    assert "who gave the steps is gone" in said or "Broken pipe" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "slo.toml"]


@pytest.mark.parametrize("transport", ["unary", "session"])
def test_connections_that_a_server_ends_for_their_age_cost_no_call(settings, tmp_path, monkeypatch, transport):
    monkeypatch.setenv("BESPEAK_SERVER__LIMITS__CONNECTION_AGE_MS", "200")
    told = []
    mix = {"check": 20, "reserve": 40, "finish": 35, "supply": 5}
    with Generator(settings, told.append, tmp_path) as generator:
        line = generator.run(step("ages", mix=mix, rate=300, transport=transport, connections=2, streams=4, rest=True))
        generator.verify()
    assert line["methods"]["all"]["failed"] == {}
    assert line["achieved_share"] > 0.9
    assert told[-1]["kind"] == "verified"


def test_every_transport_and_mix_adds_up_within_tls(settings, tmp_path):
    told = []
    tls = Slo(settings.path, Server(positions=50, receipts=1, tls=True, cores=CORES), settings.generator, ())
    mix = {"check": 20, "reserve": 40, "finish": 35, "supply": 5}
    with Generator(tls, told.append, tmp_path) as generator:
        unary = generator.run(step("unary", mix=mix, rate=300, keys="zipf", connections=2, streams=4))
        session = generator.run(
            step("session", mix=mix, rate=300, transport="session", lines=3, connections=2, streams=4)
        )
        ramp = generator.run(step("ramp", mix=mix, rate=100, rate_to=500, target="echo", keys="one-hot", connections=1))
        bulk = generator.run(step("bulk", mix={"reserve": 1}, rate=5, transport="flight", lines=500, connections=1))
        generator.verify()
    for line in (unary, session, ramp):
        assert {"check", "reserve", "finish", "supply"} <= line["methods"].keys()
        assert line["methods"]["all"]["failed"] == {}
        assert 200 < line["calls"] < 400
    assert bulk["methods"]["reserve"]["failed"] == {}
    assert bulk["calls"] >= 1
    assert unary["data_bytes"][1] > 0
    assert unary["table_bytes"][1] > 0
    assert unary["resident_bytes"][1] > 1 << 20
    for line in (unary, ramp):
        moments = [moment["at_s"] for moment in line["memory"]]
        assert len(moments) >= 2
        assert moments == sorted(moments)
        assert all(moment["resident_bytes"] > moment["table_bytes"] for moment in line["memory"])
    assert ramp["memory"][-1]["table_bytes"] == 0, "a bare server has no tables"
    assert told[-1]["kind"] == "verified"
    assert told[-1]["units_sold"] > 500
    assert told[-1]["units_oversold"] == 0


def test_batches_and_forecasts_are_made_by_whom_they_say_and_add_up(settings, tmp_path):
    asked = replace(settings, scenarios=(Scenario("forecast", 1.0, {"forecast": 1}),))
    told = []
    with Generator(asked, told.append, tmp_path) as generator:
        mix = {"allocate": 1, "finish": 6}
        plans = generator.run(step("plans", mix=mix, rate=60, orders=8, budget_ms=10, connections=2, streams=2))
        forecasts = generator.run(step("forecasts", mix={"forecast": 1}, rate=6, series=3, horizon=5, connections=1))
        generator.verify()
    assert plans["methods"]["allocate"]["made_by"] == {"search@1": plans["methods"]["allocate"]["calls"]}
    assert plans["methods"]["finish"]["failed"] == {}
    assert forecasts["methods"]["forecast"]["failed"] == {}
    assert set(forecasts["methods"]["forecast"]["made_by"]) == {"worker climatology@1"}
    assert told[-1]["kind"] == "verified"
    assert told[-1]["skus"] > 50, "the positions of the network are held to account as well"


def test_errors_are_counted_by_code_and_the_account_is_not_told(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("BESPEAK_SERVER__LIMITS__IN_FLIGHT", "1")
    told = []
    with Generator(settings, told.append, tmp_path) as generator:
        line = generator.run(step("shed", mix={"reserve": 1}, rate=2_000, connections=4, streams=16))
        generator.verify()
    assert line["methods"]["reserve"]["failed"].keys() == {"ResourceExhausted"}
    assert 0 < line["methods"]["reserve"]["failed_share"] < 1
    assert line["achieved_share"] + line["methods"]["reserve"]["failed_share"] <= 1 + 1e-9
    assert told[-1] == {"kind": "unverified", "why": "writes without a good answer may have been done or not"}


def test_more_than_can_be_done_is_told_as_not_achieved(settings, tmp_path):
    told = []
    with Generator(settings, told.append, tmp_path) as generator:
        over = step("over", mix={"check": 1}, rate=400_000, connections=1, streams=1, drain_s=0.5)
        line = generator.run({**over, "lag_share_max": 0.1})
        generator.verify()
    assert line["achieved_share"] < 0.9
    assert line["methods"]["all"]["failed"]["Unanswered"] > 0
    if line["refused"]:
        assert line["methods"]["check"]["latency"] is None
    assert told[-1]["kind"] == "verified", "no write was among them"
