"""Bespeak beside what a user would pick instead, in one run: Redis, PostgreSQL, a grpc.aio service, and bare servers.

JSON lines on standard output, a table on standard error. Leaves with 0 when the run was sound, whether or not the bounds
were met: they depend on the machine.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loadtests import measure
from loadtests.machine import available_bytes
from loadtests.numbers import above_0, whole
from loadtests.parts import ENGINE
from loadtests.peers.ratios import ratios
from loadtests.peers.steps import Plan, Steps, flash, floor, sizes
from loadtests.row import row
from loadtests.slo.cli import write_page
from loadtests.slo.file import MIXES
from loadtests.slo.generator import GeneratorFailed

Line = dict[str, Any]
ROWS = ("check-cpu", "check-h2load", "reserve-1", "reserve-64-zipf", "reserve-64-hot")
PARTS = ("rows", "floor", "flash", "sizes")
ENGINE_SIZES = (100_000, 1_000_000, 10_000_000)
ENGINE_BYTES = 950
"""Of a position with 2 receipts and 2 commitments, rounded up."""


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; leaves with status 2 when they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m serving bench --peers", description=__doc__, allow_abbrev=False)
    parser.add_argument("--peers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="PART,…", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument(
        "--rows", metavar="ROW,…", default=",".join(ROWS), help=f"of the part rows [default: {','.join(ROWS)}]"
    )
    parser.add_argument("--quick", action="store_true", help="it shows that all works, no more")
    parser.add_argument("--passes", type=whole, help="rounds of each system, in turn A B, B A [default: 4, quick: 1]")
    parser.add_argument("--round-s", type=above_0, help="measured seconds of a round [default: 3, quick: 0.4]")
    parser.add_argument(
        "--positions", type=_sizes, default=[100_000, 1_000_000], metavar="N,…", help="of the part sizes"
    )
    parser.add_argument(
        "--rate", type=above_0, help="of the parts floor and flash [default: half of the most, which is looked for]"
    )
    parser.add_argument(
        "--moved-factor", type=above_0, default=2.0, help="drop a round when a probe moved by more [default: 2]"
    )
    parser.add_argument("--server-core", type=int, default=0, help="of every server, ours and others [default: 0]")
    parser.add_argument("--client-core", type=int, default=1, help="of the generators [default: 1]")
    parser.add_argument("--dir", type=Path, help="where data directories are made, on a disk")
    parser.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page of the run: report.html, and pictures")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: choose from {', '.join(PARTS)}")
    options.passes = options.passes or (1 if options.quick else 4)
    options.round_s = options.round_s or (0.4 if options.quick else 3.0)
    if options.quick:
        options.positions = [2_000]
    return options


def _sizes(text: str) -> list[int]:
    return [int(number) for number in text.replace("k", "000").replace("M", "000000").split(",")]


class Report(measure.Report):
    """Keeps the lines for the page as well."""

    def __init__(self, out: Path | None) -> None:
        super().__init__(out)
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        """Passes a line on at once."""
        self.lines.append(line)
        super().write(line)

    def rounds(self) -> list[Line]:
        """Rounds that count."""
        return [line for line in self.lines if line["kind"] == "round"]


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when all that was to be measured was."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(options.out)
    report.write({"kind": "run", "parts": options.only, "quick": options.quick, "moved_factor": options.moved_factor})
    for part in (one for one in PARTS if one in options.only):
        print(f"{part} …", file=sys.stderr)
        try:
            for line in WORKS[part](options, report):
                report.write(line)
        except (measure.PartFailed, GeneratorFailed) as failed:
            report.write({"kind": "failed", "part": part, "why": str(failed)})
    dropped = sum(line["kind"] == "dropped" for line in report.lines)
    used = sum(line["kind"] in {"round", "step"} for line in report.lines)
    report.write({"kind": "rounds", "made": used, "dropped": dropped, "moved_factor": options.moved_factor})
    print(f"\n{report.table()}", file=sys.stderr)
    print(f"{dropped} rounds dropped because the machine moved or the generator was late", file=sys.stderr)
    if options.report:
        write_page(report.lines, options.report)
    return 0 if report.sound else 1


def _rows(options: argparse.Namespace, report: Report) -> Iterator[Line]:
    """The rows of the load generator, and the ratios of all that they compare."""
    given = ["--rows", options.rows, "--passes", str(options.passes), "--round-s", str(options.round_s)]
    given += ["--server-core", str(options.server_core), "--client-core", str(options.client_core)]
    given += ["--moved-factor", str(options.moved_factor)]
    given += ["--quick"] if options.quick else []
    given += ["--dir", str(options.dir)] if options.dir else []
    yield from measure.over_grpc(given)
    yield from ratios(report.rounds())


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        passes=options.passes,
        measure_s=options.round_s,
        moved_factor=options.moved_factor,
        positions=2_000 if options.quick else 100_000,
        directory=options.dir,
        server_core=options.server_core,
        client_core=options.client_core,
    )


def _open_loop(options: argparse.Namespace, report: Report, mix: str, work: Any) -> Iterator[Line]:
    plan = _plan(options)
    with Steps(plan, report.write, plan.positions) as steps:
        rate = options.rate
        if rate is None:
            most = steps.most(MIXES.get(mix, {mix: 1}))
            yield {"kind": "most", "mix": mix, "ops_per_s": most}
            rate = most / 2
        yield from work(steps, rate)
        steps.verify()


def _floor(options: argparse.Namespace, report: Report) -> Iterator[Line]:
    return _open_loop(options, report, "check", floor)


def _flash(options: argparse.Namespace, report: Report) -> Iterator[Line]:
    return _open_loop(options, report, "flash-sale", flash)


def _sizes_of(options: argparse.Namespace, report: Report) -> Iterator[Line]:
    """Over gRPC, then within the engine, where ten million positions fit."""
    yield from sizes(_plan(options), report.write, options.positions)
    if options.quick:
        return
    programs = measure.built({ENGINE})
    for count in ENGINE_SIZES:
        left, needed = available_bytes(), ENGINE_BYTES * count
        name = f"engine-positions-{count}"
        if left < needed:
            why = f"it needs {needed >> 20:,} MiB of memory, {left >> 20:,} MiB are available"
            yield {"kind": "skipped", "row": name, "why": why}
            continue
        for line in measure.lines_of([programs / ENGINE, "memory", str(count)], options.server_core):
            for key, metric in (("median_ns", "check_ns"), ("bytes_per_position", "bytes_per_position")):
                if key in line:
                    title = f"inside the engine, {count:,} positions with 2 receipts and 2 commitments"
                    yield row(name, title, metric, "engine", [float(line[key])])


WORKS = {"rows": _rows, "floor": _floor, "flash": _flash, "sizes": _sizes_of}
"""What yields the lines of each part."""
