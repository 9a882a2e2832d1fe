"""Measures a push of forecasts beside promises: `python -m serving.push_benchmark`. One JSON line.

A server with a journal in a directory of its own is filled with positions that all follow the forecast. One client then
holds stock, one request at a time, first alone and then while another process pushes quantiles of `--days` days for every
position. The push is timed from its first byte to its answer, in the process that sends it. That process would be on a machine of
its own: here it stands back (nice 19), so that what the promises wait for is the server and not their neighbour.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from bespeak import BufferPolicy, BufferSource, Client, Item, Location, ReserveLine

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TOTALS_DAYS = (1, 2, 3, 7, 14, 28)
PLACE = "ams1"
PUSH_SECONDS = 5.0
RATIO = 2.0


def say(line: str) -> None:
    """Writes a line at once: somebody waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def items_of(count: int) -> list[str]:
    """Names of the positions' items."""
    return [f"sku-{number:07}" for number in range(count)]


def forecasts(count: int, days: int, first: int) -> pa.Table:
    """Quantiles by day of every position."""
    rng = np.random.default_rng(1)
    rows = count * days
    values = np.sort(rng.gamma(2.0, 4.0, (rows, len(LEVELS))), axis=1)
    table = {
        "item": pa.array(np.repeat(np.array(items_of(count)), days)).dictionary_encode(),
        "location": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([PLACE])),
        "day": pa.array(np.tile(np.arange(first, first + days, dtype=np.int32), count)).cast(pa.date32()),
        "mean": values.mean(axis=1),
    }
    return pa.table(table | {str(level): values[:, n] for n, level in enumerate(LEVELS)})


def totals(count: int, seed: int) -> pa.Table:
    """Totals of every position; each seed gives other buffers."""
    rng = np.random.default_rng(seed)
    mean = np.outer(rng.uniform(2, 20, count), TOTALS_DAYS).ravel()
    spread = np.outer(rng.uniform(2, 20, count), np.sqrt(TOTALS_DAYS)).ravel()
    table = {
        "item": np.repeat(np.array(items_of(count)), len(TOTALS_DAYS)),
        "location": [PLACE] * len(mean),
        "horizon_days": pa.array(np.tile(TOTALS_DAYS, count), pa.int32()),
        "mean": mean,
    }
    return pa.table(
        table | {str(level): mean + spread * above for level, above in ((0.5, 0.0), (0.9, 1.3), (0.95, 1.6))}
    )


def push(address: str, positions: int, days: int) -> None:
    """The other process: says that it is ready, waits for a line, pushes, and says how long it took."""
    made = forecasts(positions, days, int(time.time() // 86_400))
    sums = totals(positions, 2)
    os.nice(19)
    with Client(address) as client:
        client.positions_table(PLACE)
        say("ready")
        sys.stdin.readline()
        started = time.perf_counter()
        client.push_forecasts(made, "bench@1")
        by_day = time.perf_counter()
        moved = client.push_forecast_totals(sums, "bench@1").buffers_changed
        ended = time.perf_counter()
    say(json.dumps({"seconds": by_day - started, "totals_seconds": ended - by_day, "moved": moved}))


@contextmanager
def running(journal: Path) -> Iterator[str]:
    """A server in a process of its own, and its address."""
    command = [sys.executable, "-m", "serving", "server", "--listen", "127.0.0.1:0", "--data", str(journal)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = ""
        for line in server.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            address = said.get("address", address)
            if said.get("event") == "serving":
                break
        else:
            raise SystemExit("the server did not start")
        os.set_blocking(server.stderr.fileno(), False)
        yield address
    finally:
        server.terminate()
        server.wait(60)


def fill(client: Client, positions: int) -> None:
    """Every position has stock and follows the forecast."""
    client.put_location(Location(PLACE))
    names = items_of(positions)
    for name in names:
        client.put_item(Item(name))
    table = pa.table(
        {
            "event": ["set_on_hand"] * positions,
            "item": names,
            "location": [PLACE] * positions,
            "quantity": [1_000_000] * positions,
        }
    )
    assert client.supply_table(table)["error"].null_count == positions
    follow = BufferPolicy(BufferSource.FORECAST, level_ppm=900_000, lead_time_days=3, review_days=1)
    client.put_buffer_policy(follow, PLACE)
    client.push_forecast_totals(totals(positions, 1), "bench@0")


def hold(client: Client, names: list[str], until: Callable[[], bool]) -> list[float]:
    """Holds one unit after the other; the time of each, seconds."""
    took: list[float] = []
    drawn = np.random.default_rng(len(names)).integers(0, len(names), 1 << 16)
    while not until():
        name = names[drawn[len(took) % len(drawn)]]
        started = time.perf_counter()
        client.reserve([ReserveLine(name, PLACE, 1)], expires_in_ms=60_000)
        took.append(time.perf_counter() - started)
    return took


def measure(positions: int, days: int, seconds: float) -> dict[str, object]:
    """One push between two spells of promises alone."""
    names = items_of(positions)
    with tempfile.TemporaryDirectory() as place, running(Path(place) / "journal") as address, Client(address) as client:
        fill(client, positions)
        arguments = ["--push", address, "--positions", str(positions), "--days", str(days)]
        command = [sys.executable, "-m", "serving.push_benchmark", *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pusher:
            assert pusher.stdin is not None
            assert pusher.stdout is not None
            pusher.stdout.readline()
            hold(client, names, _after(1.0))
            alone = hold(client, names, _after(seconds))
            pusher.stdin.write("go\n")
            pusher.stdin.flush()
            said = pusher.stdout.fileno()
            beside = hold(client, names, lambda: bool(select.select([said], [], [], 0)[0]))
            pushed = json.loads(pusher.stdout.readline())
        alone += hold(client, names, _after(seconds))
    normal, during = (float(np.quantile(each, 0.99)) * 1e6 for each in (alone, beside))
    return {
        "bench": "forecast_push",
        "position_days": positions * days,
        "push_seconds": round(pushed["seconds"], 3),
        "target_seconds": PUSH_SECONDS,
        "totals_seconds": round(pushed["totals_seconds"], 3),
        "buffers_moved": pushed["moved"],
        "promises_beside": len(beside),
        "p50_us_alone": round(float(np.median(alone)) * 1e6),
        "p50_us_beside": round(float(np.median(beside)) * 1e6),
        "p99_us_alone": round(normal),
        "p99_us_beside": round(during),
        "p99_ratio": round(during / normal, 2),
        "target_ratio": RATIO,
    }


def _after(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(prog="serving.push_benchmark", description=__doc__)
    parser.add_argument("--positions", type=int, default=35_715)
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--seconds", type=float, default=5.0, help="of promises alone, before and after")
    parser.add_argument("--push", metavar="ADDRESS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.push:
        push(options.push, options.positions, options.days)
    else:
        say(json.dumps(measure(options.positions, options.days, options.seconds)))


if __name__ == "__main__":
    main()
