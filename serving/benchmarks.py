"""Measures the package from Python: `python -m serving.benchmarks`. JSON lines on standard output.

Every position holds 4 receipts and 8 open commitments, and keys are uniform, as in the other benchmarks.
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from bespeak import Engine, Item, Location, ManualClock

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000
RECEIPTS = 4
COMMITMENTS = 8
WINDOW = 65_536
BLOCK = 1_000


def filled(positions: int) -> tuple[Engine, list[str]]:
    """An engine in memory with so many positions at one location."""
    engine = Engine(":memory:", clock=ManualClock(NOW_MS))
    engine.put_location(Location("ams1"))
    items = [f"sku-{number:07}" for number in range(positions)]
    for item in items:
        engine.put_item(Item(item))
    for window in _windows(items):
        _all_well(engine.supply_table(_facts("set_on_hand", window, 100)))
        for number in range(RECEIPTS):
            due = [NOW_MS + (2 * number + 1) * DAY_MS] * len(window)
            names = [f"{item}-{number}" for item in window]
            _all_well(engine.supply_table(_facts("schedule_receipt", window, 10, due_time_ms=due, receipt_id=names)))
        for number in range(COMMITMENTS):
            ships = [NOW_MS + number * DAY_MS] * len(window)
            _all_well(engine.reserve_table(_lines(window, quantity=[3] * len(window), ship_time_ms=ships)))
    return engine, items


def _windows(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), WINDOW):
        yield items[start : start + WINDOW]


def _lines(items: list[str], **columns: list[int]) -> pa.Table:
    return pa.table({"item": items, "location": pa.array(["ams1"] * len(items)).dictionary_encode(), **columns})


def _facts(event: str, items: list[str], quantity: int, **columns: list[int] | list[str]) -> pa.Table:
    given = {"event": [event] * len(items), "item": items, "location": ["ams1"] * len(items)}
    return pa.table({**given, "quantity": [quantity] * len(items), **columns})


def _all_well(answers: pa.Table) -> None:
    for name in ("error", "refusal"):
        assert answers[name].null_count == answers.num_rows, f"{name}: {answers[name].unique()}"


def check(engine: Engine, items: list[str], seconds: float) -> dict[str, object]:
    """One `Engine.check` at a time; the clock is read once a block, and its own cost is taken off."""
    drawn = random.Random(1).choices(items, k=100 * BLOCK)
    ask = engine.check
    blocks: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = (len(blocks) % 100) * BLOCK
        keys = drawn[start : start + BLOCK]
        started = time.perf_counter_ns()
        for key in keys:
            ask(key, "ams1", 3)
        asked = time.perf_counter_ns()
        for _ in keys:
            pass
        blocks.append((2 * asked - started - time.perf_counter_ns()) / BLOCK)
    return {"bench": "engine_check_python", "median_ns": round(statistics.median(blocks)), "target_ns": 1_500}


def check_table(engine: Engine, items: list[str], seconds: float) -> dict[str, object]:
    """Tables of 1 million uniform rows, one thread."""
    drawn = random.Random(2).choices(items, k=1_000_000)
    table = _lines(drawn, quantity=[3] * len(drawn))
    rate = _best(lambda: engine.check_table(table), table.num_rows, seconds)
    return {"bench": "check_table_python", "rows_per_s": round(rate), "target_rows_per_s": 5_000_000}


def reserve_table(engine: Engine, items: list[str], seconds: float) -> dict[str, object]:
    """Tables of 8,192 orders of one unit, in memory; request ids are made on the way."""
    drawn = random.Random(3).choices(items, k=8_192)
    table = _lines(drawn, quantity=[1] * len(drawn), ship_time_ms=[NOW_MS + 9 * DAY_MS] * len(drawn))
    rate = _best(lambda: engine.reserve_table(table), table.num_rows, seconds)
    return {"bench": "reserve_table_python", "rows_per_s": round(rate)}


def _best(act: Callable[[], object], rows: int, seconds: float) -> float:
    """Median rate of repeated runs."""
    rates: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        started = time.perf_counter()
        act()
        rates.append(rows / (time.perf_counter() - started))
    return statistics.median(rates)


MEASUREMENTS = {"engine_check": check, "check_table": check_table, "reserve_table": reserve_table}


def main() -> None:
    """Fills an engine and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--only", choices=MEASUREMENTS, help="this measurement alone")
    options = parser.parse_args()
    started = time.perf_counter()
    engine, items = filled(options.positions)
    setting = {"positions": options.positions, "fill_s": round(time.perf_counter() - started, 1)}
    for measure in [MEASUREMENTS[options.only]] if options.only else MEASUREMENTS.values():
        sys.stdout.write(json.dumps(measure(engine, items, options.seconds) | setting) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
