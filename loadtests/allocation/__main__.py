"""`python -m loadtests.allocation`: allocators and baselines on batches made from seeds, judged from the tables alone.

JSON lines on standard output, tables on standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from loadtests.allocation.instances import SUITE, make
from loadtests.allocation.one_order import one_order
from loadtests.allocation.solvers import NAMES, POLICIES
from loadtests.allocation.suite import Batch, Line, aligned, measured, summaries, table, warm, wrong
from loadtests.allocation.tables import load_study
from loadtests.allocation.targets import GRPC, ORDER, QUICK, ROWS, TARGETS, Target

BROWSERS = ("chromium", "google-chrome", "chrome")
PNG_SIZE = "1000,3000"


def main() -> int:
    """Returns 0 when every plan was feasible and every bound one, whether or not the targets were met."""
    options = _parsed()
    lines = for_lines_alone()
    kept: list[Line] = []
    out = options.out.open("w", encoding="utf-8") if options.out else None
    try:
        for line in options.work(options):
            kept.append(line)
            _write(line, lines, out)
            if why := wrong(line):
                kept.append({"kind": "failed", "part": "allocation", "why": why})
                _write(kept[-1], lines, out)
    finally:
        if out:
            out.close()
    for kind, shown in (("plan", table), ("row", verdicts)):
        if of_kind := [line for line in kept if line["kind"] == kind]:
            print(f"\n{shown(of_kind)}", file=sys.stderr)
    failures = [line["why"] for line in kept if line["kind"] == "failed"]
    print("".join(f"FAILED: {why}\n" for why in failures), end="", file=sys.stderr)
    return 1 if failures else 0


def for_lines_alone() -> TextIO:
    """Returns standard output; what else is written to it, as solvers do in C, goes to standard error from now on."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return lines


def _write(line: Line, *streams: TextIO | None) -> None:
    for stream in streams:
        if stream:
            stream.write(json.dumps(line) + "\n")
            stream.flush()


def verdicts(rows: Iterable[Line]) -> str:
    """The table of the targets."""
    shown = [("", "row", "what", "found", "bound")]
    for line in rows:
        what = f"{line['title']}: {line['metric']} of {line['ours']}"
        found = f"{line['median']:,.3f}"
        shown.append(("met" if line["met"] else "MISSED", line["row"], what, found, f"<= {line['bound']:g}"))
    return aligned(shown)


def targets(options: argparse.Namespace) -> Iterator[Line]:
    """The rows of the targets."""
    names = options.rows.split(",") if options.rows else list(QUICK if options.quick else ROWS)
    if unknown := set(names) - set(ROWS):
        sys.exit(f"error: there is no row {', '.join(sorted(unknown))}: choose from {', '.join(ROWS)}")
    plans = []
    known: dict[tuple[str, int], Batch] = {}
    for target in TARGETS:
        if target.name in names:
            for line in measured(target, _seeds(options, target), known):
                plans += [line] if line["kind"] == "plan" else []
                yield line
    yield from summaries(plans)
    if ORDER in names:
        yield from one_order(options.first_seed)
    if GRPC in names:
        yield from over_grpc(options)


def _seeds(options: argparse.Namespace, target: Target) -> range:
    count = options.seeds or (2 if options.quick else target.seeds)
    return range(options.first_seed, options.first_seed + count)


def compare(options: argparse.Namespace) -> Iterator[Line]:
    """Every solver, budget and policy on every batch."""
    names = options.solvers.split(",")
    if unknown := set(names) - set(NAMES):
        sys.exit(f"error: there is no solver {', '.join(sorted(unknown))}: choose from {', '.join(NAMES)}")
    budgets = [int(text) for text in options.budgets.split(",")]
    warm(names)
    for batch in _batches(options):
        lines = [
            batch.tried(name, budget, policy)
            for policy in options.policies.split(",")
            for name in names
            for budget in (budgets if name != "greedy" else [0])
        ]
        if options.reference:
            batch.reference(options.reference)
        yield from (batch.judged(line) for line in lines)


def _batches(options: argparse.Namespace) -> Iterator[Batch]:
    for path in options.instance:
        yield Batch(load_study(path), path.stem)
    if not options.instance or options.batches:
        for name in (options.batches or "tiny,small,mid").split(","):
            if name not in SUITE:
                sys.exit(f"error: there is no batch {name}: choose from {', '.join(SUITE)}")
            for seed in range(options.first_seed, options.first_seed + (options.seeds or 3)):
                yield Batch(make(SUITE[name], seed), name, seed)


def over_grpc(options: argparse.Namespace) -> Iterator[Line]:
    """Batches through a server with reservation, and promises beside them."""
    from loadtests.allocation.through_server import rounds

    yield from rounds(quick=options.quick, seed=options.first_seed)


def report(options: argparse.Namespace) -> Iterator[Line]:
    """Measures one batch and writes the page."""
    from loadtests.allocation.page import write

    batch = next(_batches(options))
    yield from write(batch, options.page, options.reference, quick=options.quick)
    if options.png:
        _draw(options.page, options.png)


def _draw(page: Path, png: Path) -> None:
    """Has a browser draw the page."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"error: no browser to draw {png}: install one of {', '.join(BROWSERS)}, or leave out --png")
    size = f"--window-size={PNG_SIZE}"
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, f"--screenshot={png.resolve()}")
    subprocess.run([browser, *flags, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.allocation", description=__doc__)
    parser.set_defaults(work=targets, png=None, rows="", quick=False, seeds=0, first_seed=1, out=None)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seeds", type=int, default=0, help="how many batches of each kind")
    common.add_argument("--first-seed", type=int, default=1, help="seed of the first [default: 1]")
    common.add_argument("--quick", action="store_true", help="in a minute: it shows that all works, no more")
    common.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    these = argparse.ArgumentParser(add_help=False)
    these.add_argument("--batches", default="", help=f"of {', '.join(SUITE)} [default: tiny,small,mid]")
    these.add_argument("--instance", type=Path, action="append", default=[], help="an instance as .npz instead")
    these.add_argument("--reference", type=float, default=0.0, help="seconds for a bound of its own [default: none]")
    parts = parser.add_subparsers(metavar="WHAT")
    part = parts.add_parser("targets", parents=[common], help="the rows of the targets (what is run without a word)")
    part.add_argument("--rows", default="", metavar="ROW,…", help="some of them")
    part.set_defaults(work=targets)
    part = parts.add_parser("compare", parents=[common, these], help="solvers, budgets and policies side by side")
    part.add_argument("--solvers", default="greedy,search,column-generation,scip,highs,cp-sat")
    part.add_argument("--budgets", default="50,300,2000", help="milliseconds")
    part.add_argument("--policies", default="cost", help=f"of {', '.join(POLICIES)}; the baselines know cost only")
    part.set_defaults(work=compare)
    part = parts.add_parser("grpc", parents=[common], help="through a server, with reservation")
    part.set_defaults(work=over_grpc)
    part = parts.add_parser("report", parents=[common, these], help="a page about one batch")
    part.add_argument("--page", type=Path, default=Path("allocation.html"), help="the file [default: allocation.html]")
    part.add_argument("--png", type=Path, help="also draw it, with a browser that is installed")
    part.set_defaults(work=report)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
