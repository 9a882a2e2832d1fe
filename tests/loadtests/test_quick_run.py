"""One command measures every row of the table, those over gRPC against real servers, and the accounts add up."""

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

WITHOUT_PEERS = {
    *("check-100k", "batch-1m", "reserve-confirm", "growth-100k", "memory-1m"),
    *("python-engine-check", "python-check-table", "python-reserve-table", "recovery"),
    *("forecast-push", "forecast-p99", "check-cpu", "reserve-batch"),
    *("allocation-tiny-20", "allocation-small-50", "allocation-overrun", "allocation-rules"),
    *("allocation-order-5", "allocation-order-200", "allocation-grpc", "allocation-grpc-promises"),
}
OURS = {
    "bespeak-flight",
    "bespeak-session",
    "bespeak-session-shared",
    "bespeak-unary",
    "bespeak-unary-shared",
}


@pytest.fixture(scope="module")
def lines(repo, tmp_path_factory):
    """One quick run: its lines by kind, and the table."""
    out = tmp_path_factory.mktemp("bench") / "lines.jsonl"
    done = subprocess.run(
        # On a busy machine rounds would be made twice.
        [sys.executable, "-m", "loadtests.measure", "--quick", "--moved-factor", "1e6", "--out", out],
        cwd=repo,
        env={**os.environ, "BENCH_PROFILE": "ci"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert out.read_text() == done.stdout
    by_kind = defaultdict(list)
    for line in done.stdout.splitlines():
        record = json.loads(line)
        by_kind[record["kind"]].append(record)
    by_kind["table"] = done.stderr
    return by_kind


@pytest.mark.timeout(700)
def test_our_server_is_measured_in_every_row(lines):
    measured = {(r["row"], r["system"]) for r in lines["round"] + lines["refused"]}
    assert {row for row, system in measured if system in OURS} == {row for row, _ in measured}
    assert {system for _, system in measured} >= OURS
    for line in lines["round"]:
        assert line["operations"] > 0
        assert line["latency"]["p50_us"] <= line["latency"]["p99_us"] <= line["latency"]["max_us"]
        assert line["server_cpu_us"] > 0
        assert line["before"]["disk_p50_us"] > 0


def test_every_account_adds_up(lines):
    verified = {line["server"]: line for line in lines["verified"]}
    assert verified["Bespeak"]["units_sold"] > 0
    assert all(line["units_oversold"] == 0 for line in verified.values())


@pytest.mark.parametrize(
    ("server", "program"),
    [("redis", "redis-server"), ("postgres", "/usr/lib/postgresql")],
)
def test_a_peer_is_measured_or_its_absence_told(lines, server, program):
    installed = shutil.which(program) or Path(program).is_dir()
    skipped = [line["why"] for line in lines["skipped"] if line.get("server") == server]
    if installed:
        assert skipped == []
        assert any(line["system"].startswith(server) for line in lines["round"])
    else:
        assert "apt-get install" in skipped[0]
        assert "NOT COMPARED" in lines["table"]


def test_every_row_has_one_shape(lines):
    rows = {line["row"]: line for line in lines["row"]}
    skipped = {line["row"]: line["why"] for line in lines["skipped"] if "row" in line}
    assert rows.keys() >= WITHOUT_PEERS
    assert all("--quick" in skipped[row] for row in ("check-10m", "memory-10m", "forecast-float32-share"))
    assert len({tuple(line) for line in lines["row"]}) == 1
    for row in lines["row"]:
        if row["bound"] is None:
            assert row["met"] is None, "nothing was asked"
            continue
        better = row["median"] <= row["bound"] if row["sense"] == "at_most" else row["median"] >= row["bound"]
        assert row["met"] is better, row


def test_instructions_are_counted_or_their_absence_told(lines):
    counted = {line["row"] for line in lines["row"] if line["metric"] == "instructions"}
    if shutil.which("valgrind"):
        assert counted == {"instructions-check", "instructions-reserve", "instructions-reserve-confirm"}
    else:
        assert [line["part"] for line in lines["skipped"] if "part" in line] == ["instructions"]


def test_the_table_judges_every_target(lines):
    judged = {(row["row"], row["metric"], row["ours"]) for row in lines["row"]}
    assert ("check-cpu", "server_cpu_us", "bespeak-unary-shared") in judged
    for row in lines["row"]:
        assert row["title"] in lines["table"]
        assert row["min"] <= row["median"] <= row["max"]


def test_nothing_is_left_behind(lines):
    assert lines["verified"], "the run must have ended before this looks"
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if b"/bespeak-bench-" in command:
            left.append(command)
    assert left == []
