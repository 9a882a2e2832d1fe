"""Makes things happen to a server under a steady load, and tells what callers see.

JSON lines on standard output, a table on standard error. Leaves with 1 when an objective is missed or not proven, when
anything was oversold, when an answer that was acknowledged is lost, and when of an event nothing could be told.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from loadtests.chaos.events import EVENTS, SMALL_SEGMENT, Event, Run
from loadtests.chaos.load import Load
from loadtests.chaos.measure import Settings, figures
from loadtests.chaos.table import judged, table
from loadtests.chaos.world import NotThere, World
from loadtests.peers.steps import moved
from loadtests.slo.cli import NOT_MET, WRONG, Report, write_page
from loadtests.slo.generator import GeneratorFailed

Line = dict[str, Any]
OPTION = "--chaos"
LONGEST_S = 240.0
"""Seconds of one run at most; it ends when what happens in it is over, and what comes after has been seen."""
CAPACITY_S = 1.0
CAPACITY_FROM = 1_000.0
CAPACITY_SHARE = 0.9
"""The load is doubled until less than this share of the calls is answered in time."""
FINE = 100
MIX = {"check": 400, "reserve": 230, "finish": 360, "supply": 10}
"""Of a thousand calls. As much is finished as is reserved, so that holds do not pile up."""


def wanted(arguments: list[str]) -> bool:
    """Whether these options of `bench` are for this program."""
    return any(argument.split("=")[0] == OPTION for argument in arguments)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options; leaves with status 2 when they are wrong."""
    names = [event.name for event in EVENTS]
    parser = argparse.ArgumentParser(prog="python -m serving bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(OPTION, nargs="*", metavar="EVENT", help=f"of {', '.join(names)} [default: all of them]")
    parser.add_argument("--rate", type=float, help="calls a second [default: a share of what the machine does]")
    parser.add_argument("--share", type=float, default=0.25, help="that share [default: 0.25]")
    parser.add_argument(
        "--positions", type=int, default=100_000, help="that the server is filled with [default: 100000]"
    )
    parser.add_argument("--receipts", type=int, default=4, help="a position [default: 4]")
    parser.add_argument("--before", type=float, default=6.0, help="seconds before the event [default: 6]")
    parser.add_argument("--seconds", type=float, default=4.0, help="of what has a length [default: 4]")
    parser.add_argument("--after", type=float, default=8.0, help="seconds after it, at least [default: 8]")
    parser.add_argument("--rounds", type=int, default=3, help="of events with an objective [default: 3]")
    parser.add_argument("--warmup", type=float, default=2.0, help="seconds that do not count [default: 2]")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="more for each sync of a slow disk [default: 20]")
    parser.add_argument(
        "--segment-bytes", type=int, default=SMALL_SEGMENT, help="of a roll [default: 9 MiB, the least]"
    )
    parser.add_argument(
        "--touch-memory-bytes", type=int, default=0, help="that the server touches at its start [default: 0]"
    )
    parser.add_argument("--connections", type=int, default=8, help="[default: 8]")
    parser.add_argument("--streams", type=int, default=32, help="calls under way on each [default: 32]")
    parser.add_argument("--seed", type=int, default=1, help="[default: 1]")
    parser.add_argument(
        "--moved-factor", type=float, default=2.0, help="repeat a round when a probe moved by more [default: 2]"
    )
    parser.add_argument(
        "--lag-share", type=float, default=0.1, help="of p99 that the generator may be late [default: 0.1]"
    )
    parser.add_argument("--dir", type=Path, help="where data directories are made, on a disk")
    parser.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page of the run: report.html, report.png")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.chaos) - set(names)):
        parser.error(f"there is no event {', '.join(unknown)}: choose from {', '.join(names)}")
    for name in ("before", "seconds", "after", "share", "rounds", "positions", "receipts", "connections", "streams"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name} is {getattr(options, name)}: give a number above 0")
    return options


def main(arguments: list[str]) -> int:
    """Returns 0 when all was sound and every objective was met."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(options.out)
    try:
        return Chaos(options, report).run()
    except (GeneratorFailed, NotThere, grpc.RpcError) as failed:
        report.write({"kind": "failed", "why": str(failed)})
        report.say(f"error: {failed}")
        return NOT_MET
    finally:
        if options.report and report.lines:
            write_page(report.lines, options.report)


class Chaos:
    """All events that were asked for, one after another."""

    def __init__(self, options: argparse.Namespace, report: Report) -> None:
        self._options = options
        self._report = report
        self._rates: dict[int, float] = {}
        cores = sorted(os.sched_getaffinity(0))
        # What is started here inherits the cores of the server: only the generator has one of its own.
        self._cores = (cores[:-1] or cores, cores[-1])
        os.sched_setaffinity(0, self._cores[0])

    def run(self) -> int:
        """Runs them; returns the status."""
        events = []
        for kind in EVENTS:
            event = kind()
            event.settings = replace(event.settings, touch_memory_bytes=self._options.touch_memory_bytes)
            if event.settings.segment_bytes:
                event.settings = replace(event.settings, segment_bytes=self._options.segment_bytes)
            if self._options.chaos and event.name not in self._options.chaos:
                continue
            if why := event.missing():
                self._report.write({"kind": "skipped", "event": event.name, "why": why})
            else:
                events.append(event)
        if not events:
            self._report.say("error: no event that was asked for can be made to happen here")
            return WRONG
        for _, same in itertools.groupby(events, key=lambda event: event.settings):
            self._one_world(list(same))
        verdicts = judged(self._report.lines)
        for verdict in verdicts:
            self._report.write(verdict)
        self._report.say(table(self._report.lines))
        rounds = [line for line in self._report.lines if line["kind"] == "chaos"]
        told = {line["event"] for line in rounds if line["windows"]}
        sound = all(line["sound"] for line in rounds) and all(line["event"] in told for line in rounds)
        return 0 if sound and all(verdict["met"] for verdict in verdicts) else NOT_MET

    def _one_world(self, events: list[Event]) -> None:
        options = self._options
        with ExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bespeak-chaos-", dir=options.dir))
            world = stack.enter_context(World(Path(place), events[0].settings))
            load = Load(world, options.positions, options.receipts, self._cores, self._tell)
            stack.enter_context(load)
            for event in events:
                rate = self._options.rate or self._found_rate(load, event.step.get("lines", 1))
                for number in range(1, 1 + (options.rounds if event.objective else 1)):
                    for _ in range(2):
                        # One that the generator spoiled is run once more.
                        line = self._one(event, number, rate, world, load)
                        self._report.write(line)
                        if not line["refused"]:
                            break
            load.verify()

    def _tell(self, line: Line) -> None:
        # Where each call was kept is gone with the run.
        self._report.write({name: value for name, value in line.items() if name not in {"samples", "legend"}})

    def _found_rate(self, load: Load, lines: int) -> float:
        """A share of what the machine answers of orders of so many lines, with the generator beside the server."""
        if lines in self._rates:
            return self._rates[lines]
        rate, most = CAPACITY_FROM / lines, 0.0
        while True:
            given = {"name": "capacity", "rate": rate, "lines": lines, "measure_s": CAPACITY_S, "warmup_s": 0.2}
            line = load.run(self._step(given))
            most = max(most, line["calls"] * line["achieved_share"] / CAPACITY_S)
            if line["achieved_share"] < CAPACITY_SHARE:
                break
            rate *= 2
        found = float(round(most * self._options.share))
        told = {"calls_per_s": round(most), "lines": lines, "share": self._options.share, "rate": found}
        self._report.write({"kind": "capacity", **told})
        self._rates[lines] = found
        return found

    def _step(self, given: Line) -> Line:
        return {
            "mix": MIX,
            "connections": self._options.connections,
            "streams": self._options.streams,
            "drain_s": 60.0,
            "seed": self._options.seed,
            "lag_share_max": 1e9,
            **given,
        }

    def _one(self, event: Event, number: int, rate: float, world: World, load: Load) -> Line:
        options = self._options
        run = Run(world, options.positions, options.seconds, options.delay_ms)
        event.prepare(run)
        self._report.say(f"{event.name}, round {number}: {rate:,.0f} calls a second")
        samples = world.directory / "samples"
        # Weights are whole numbers: they are made so large that a few calls a second have one.
        mix = {method: weight * FINE for method, weight in MIX.items()}
        promises = sum(mix.values())
        mix |= {method: max(1, round(promises * each / rate)) for method, each in event.beside.items()}
        step = {
            "name": f"chaos {event.name}",
            "rate": rate * sum(mix.values()) / promises,
            "mix": mix,
            "warmup_s": options.warmup,
            "measure_s": LONGEST_S,
            "seed": options.seed + number,
            "lag_share_max": options.lag_share,
            "samples": str(samples),
            "reconnect": True,
            **event.step,
        }

        def happen(begin_ns: int) -> None:
            run.begin_ns = begin_ns
            at = begin_ns + (0 if event.by_itself else int(options.before * 1e9))
            time.sleep(max(0, at - time.monotonic_ns()) / 1e9)
            event.happen(run)
            time.sleep(options.after)
            load.stop()

        line = load.run_with(self._step(step), happen)
        if event.objective and not line["refused"]:
            # A ratio is of two times of one run: the machine must be the same in both.
            line["refused"] = moved(line["before"], line["after"], options.moved_factor)
        event.settle(run)
        account = load.account()
        settings = Settings(event, number, rate, line["measure_s"])
        return figures(settings, run, line, account)
