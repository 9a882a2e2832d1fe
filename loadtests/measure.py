"""Measures every row of the benchmark table: `make bench`. JSON lines on standard output, a table on standard error.

The rows over gRPC come from the load generator (loadtests/run), which gets every option that is not of this program;
the others from programs of the tree, whose lines are brought into the same shape.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from loadtests.allocation.targets import ROWS as ALLOCATION_ROWS
from loadtests.chaos import cli as chaos
from loadtests.machine import available_bytes
from loadtests.parts import ENGINE, PROGRAMS, ROWS, Row
from loadtests.row import AT_MOST
from loadtests.row import row as line_of
from loadtests.slo import cli as slo

REPO = Path(__file__).resolve().parents[1]
PARTS = ("engine", "python", "recovery", "forecasts", "forecast-speed", "instructions", "allocation", "grpc")
COUNTS = REPO / "rust_core/engine/benches/instructions.sh"
BOUND_PASSED = 1
"""The status of COUNTS when a count is over its bound: a target that was missed, not a failure."""

Line = dict[str, Any]


class PartFailed(Exception):
    """A program did not end well: its numbers are not there, and the run is not sound."""


class Report:
    """Where lines go, and what the table at the end is made of."""

    def __init__(self, out: Path | None):
        self._out = out.open("w", encoding="utf-8") if out else None
        self._rows: list[Line] = []
        self._notes: list[str] = []
        self.sound = True

    def write(self, line: Line) -> None:
        """Passes a line on at once."""
        for stream in (sys.stdout, self._out):
            if stream:
                stream.write(json.dumps(line) + "\n")
                stream.flush()
        where = line.get("row") or line.get("server") or line.get("part")
        if line["kind"] == "row":
            self._rows.append(line)
        elif line["kind"] in {"skipped", "refused", "failed"}:
            self._notes.append(f"{str(line['kind']).upper()}: {where}: {line['why']}")
        if line["kind"] == "failed":
            self.sound = False

    def table(self) -> str:
        """Every row with its bound, then what was not measured and why."""
        shown = [("", "row", "what", "measured", "bound")]
        for row in self._rows:
            unit = " x" if row.get("peer") else ""
            against = f" / {row['peer']}" if row.get("peer") else ""
            met = {True: "met", False: "MISSED", None: "-"}[row["met"]]
            sign = "<=" if row["sense"] == AT_MOST else ">="
            bound = "" if row["bound"] is None else f"{sign} {row['bound']:,}{unit}"
            what = f"{row['title']}: {row['metric']} of {row['ours']}{against}"
            median, least, most = (_shown(row[name]) for name in ("median", "min", "max"))
            spread = f"{median}{unit} ({least}..{most})"
            shown.append((met, str(row["row"]), what, spread, bound))
        widths = [max(len(each[column]) for each in shown) for column in range(5)]
        lines = ["  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)) for each in shown]
        return "\n".join([line.rstrip() for line in lines] + self._notes)


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 1_000 else f"{number:,.2f}"


def judged(row: Row, lines: list[Line]) -> Line:
    """The row's line, out of one line of each run of its program."""
    values = [float(line[row.metric]) for line in lines]
    bound = lines[0][row.target] if row.target else None
    return line_of(row.name, row.title, row.metric, row.ours, values, sense=row.sense, bound=bound)


def lines_of(command: list[str | Path], core: int | None = None, also_sound: Iterable[int] = ()) -> list[Line]:
    """Runs a program to its end.

    Raises:
        PartFailed: it left with another status than 0 and those of `also_sound`.
    """
    pin = [] if core is None or not shutil.which("taskset") else ["taskset", "--cpu-list", str(core)]
    done = subprocess.run([*pin, *command], cwd=REPO, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in {0, *also_sound}:
        raise PartFailed(f"{' '.join(map(str, command))} left with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def built(examples: Iterable[str]) -> Path:
    """Builds examples of the Rust tree; returns where they lie. BENCH_PROFILE=ci takes the build of the tests."""
    profile = os.environ.get("BENCH_PROFILE", "release")
    chosen = [text for name in sorted(examples) for text in ("--package", PROGRAMS[name], "--example", name)]
    if chosen:
        build = ["cargo", "build", "--quiet", "--locked", "--profile", profile, *chosen]
        if subprocess.run(build, cwd=REPO, check=False).returncode:
            sys.exit(f"error: {' '.join(build)} failed: its message is above")
    return REPO / os.environ.get("CARGO_TARGET_DIR", "target") / profile / "examples"


class Runs:
    """Runs of programs by what they were told to do: rows that one program measures share its runs."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._made: dict[tuple[str, ...], list[list[Line]]] = {}

    def of(self, row: Row, command: Iterable[str | Path], repeats: int) -> Iterator[Line]:
        """Yields the lines of each run, of which there are `repeats`."""
        told = tuple(map(str, command))
        made = self._made.setdefault(told, [])
        for number in range(repeats):
            if number == len(made):
                made.append(lines_of(list(told), self._core if row.one_core else None))
            yield from made[number]


def measure(row: Row, programs: Path, options: argparse.Namespace, runs: Runs) -> Iterator[Line]:
    """Yields what the programs said, as `measured`, and the row; or why it is not measured."""
    arguments = row.quick if options.quick else row.arguments
    left = available_bytes()
    if arguments is None:
        yield {"kind": "skipped", "row": row.name, "why": "it takes minutes: run without --quick"}
        return
    if not options.quick and left < row.needs_bytes:
        why = f"it needs {row.needs_bytes >> 20:,} MiB of memory, {left >> 20:,} MiB are available"
        yield {"kind": "skipped", "row": row.name, "why": why}
        return
    command = [programs / row.program] if isinstance(row.program, str) else [sys.executable, *row.program]
    counted = []
    for line in runs.of(row, [*command, *arguments], options.repeats if row.repeated else 1):
        yield {"kind": "measured", "row": row.name, **line}
        if line["bench"] == row.bench:
            counted.append(line)
    if not counted:
        yield {"kind": "skipped", "row": row.name, "why": f"there is no {row.bench} here: the program printed none"}
        return
    yield judged(row, counted)


def instructions(binary: Path) -> Iterator[Line]:
    """Counts under callgrind: the same on a busy machine and on a quiet one."""
    if not shutil.which("valgrind"):
        yield {"kind": "skipped", "part": "instructions", "why": "valgrind is not installed: apt-get install valgrind"}
        return
    for line in lines_of([COUNTS, binary], also_sound=[BOUND_PASSED]):
        row = Row(
            part="instructions",
            ours="engine",
            name=f"instructions-{str(line['what']).replace('_', '-')}",
            title=f"instructions of one {str(line['what']).replace('_', ' + ')}",
            program="",
            arguments=(),
            quick=(),
            bench="",
            metric="instructions",
            sense=AT_MOST,
            target="bound",
        )
        yield judged(row, [line])


def over_grpc(options: list[str]) -> Iterator[Line]:
    """Yields the load generator's lines as they come. Its own table goes to standard error."""
    yield from streamed([REPO / "loadtests/run", *options])


def allocations(options: argparse.Namespace) -> Iterator[Line]:
    """Yields the lines of the allocation suite as they come."""
    named = [name for name in options.rows if name in ALLOCATION_ROWS]
    chosen = [*(["--quick"] if options.quick else []), *([f"--rows={','.join(named)}"] if named else [])]
    yield from streamed([sys.executable, "-m", "loadtests.allocation", "targets", *chosen])


def streamed(command: list[str | Path]) -> Iterator[Line]:
    """Yields the lines of a program as they come.

    Raises:
        PartFailed: it left with another status than 0.
    """
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            # This program is being ended: the other one then stops its servers and removes its data.
            process.terminate()
            raise
    if process.returncode:
        raise PartFailed(f"{' '.join(map(str, command))} left with status {process.returncode}")


def parsed(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and those that are for the load generator."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        epilog="With --slo FILE or --search METHOD objectives are proven instead, with --peers what others use is measured "
        "in the same run, with --chaos something happens under load: add --help for the options of each.",
        allow_abbrev=False,
    )
    parser.add_argument("--only", metavar="PART,…", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rows", metavar="ROW,…", help="only these rows, of any part")
    parser.add_argument("--quick", action="store_true", help="under two minutes: it shows that all works, no more")
    parser.add_argument("--repeats", type=int, help="runs of each program beside gRPC [default: 3, quick: 1]")
    parser.add_argument("--core", type=int, default=(os.cpu_count() or 1) - 1, help="for the rows of one core")
    parser.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    options, others = parser.parse_known_args(arguments)
    options.only = options.only.split(",") if options.only else list(PARTS)
    options.rows = options.rows.split(",") if options.rows else []
    if wrong := set(options.only) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(wrong))}: choose from {', '.join(PARTS)}")
    options.repeats = options.repeats or (1 if options.quick else 3)
    if options.rows:
        # The load generator knows its own rows, and says so when there is none of a name.
        part_of = {row.name: row.part for row in ROWS} | {"instructions": "instructions"}
        part_of |= dict.fromkeys(ALLOCATION_ROWS, "allocation")
        wanted = {part_of.get(name, "grpc") for name in options.rows}
        options.only = [part for part in options.only if part in wanted]
        if not options.only:
            parser.error(f"--rows {','.join(options.rows)}: of none of the parts in --only")
    if others and "grpc" not in options.only:
        parser.error(f"{' '.join(others)}: of the gRPC rows, and they are not measured")
    return options, others


def works(options: argparse.Namespace, others: list[str]) -> Iterator[tuple[str, Iterator[Line]]]:
    """Yields what is to be measured and the lines of it, which are measured as they are taken."""
    rows = [row for row in ROWS if row.part in options.only and (not options.rows or row.name in options.rows)]
    counted = "instructions" in options.only
    examples = {row.program for row in rows if isinstance(row.program, str)}
    programs = built(examples | ({ENGINE} if counted else set()))
    runs = Runs(options.core)
    for row in rows:
        yield row.name, measure(row, programs, options, runs)
    if counted:
        yield "instructions", instructions(programs / ENGINE)
    if "allocation" in options.only:
        yield "allocation", allocations(options)
    if "grpc" in options.only:
        known = {"instructions", *ALLOCATION_ROWS, *(row.name for row in ROWS)}
        named = [name for name in options.rows if name not in known]
        chosen = [f"--rows={','.join(named)}"] if named else []
        yield "grpc", over_grpc([*(["--quick"] if options.quick else []), *chosen, *others])


def main() -> int:
    """Returns 0 when all that was to be measured was, whether or not the targets were met; with --slo when they were."""
    if chaos.wanted(sys.argv[1:]):
        return chaos.main(sys.argv[1:])
    if slo.wanted(sys.argv[1:]):
        return slo.main(sys.argv[1:])
    if "--peers" in sys.argv[1:]:
        # It is made of this module's parts.
        from loadtests.peers.cli import main as peers

        return peers(sys.argv[1:])
    options, others = parsed(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(options.out)
    started = time.monotonic()
    report.write({"kind": "run", "parts": options.only, "quick": options.quick, "repeats": options.repeats})
    for name, lines in works(options, others):
        print(f"{time.monotonic() - started:5.0f} s  {name}", file=sys.stderr)
        try:
            for line in lines:
                report.write(line)
        except PartFailed as failed:
            report.write({"kind": "failed", "part": name, "why": str(failed)})
    print(f"\n{report.table()}", file=sys.stderr)
    if options.quick:
        print("A quick run: sizes are smaller than the rows say, and its numbers mean little.", file=sys.stderr)
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
