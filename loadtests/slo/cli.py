"""Proves the objectives of a file, or finds the highest rate that meets them.

JSON lines on standard output, verdicts on standard error. Leaves with 1 when an objective is missed or not proven, and with
2 when the file asks for what cannot be proven.
"""

import argparse
import itertools
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtests.machine import available_bytes
from loadtests.numbers import above_0, natural, whole
from loadtests.peers.figures import figures
from loadtests.slo.file import METHODS, Objective, Scenario, Slo, WrongSlo, read, seconds_needed
from loadtests.slo.generator import Generator, GeneratorFailed
from loadtests.slo.page import document, page, parts
from loadtests.slo.pictures import picture
from loadtests.slo.search import Found, Limits, Probe, search
from loadtests.slo.varying import Variant, variants
from loadtests.slo.verdicts import Round, Verdict, judge

Line = dict[str, Any]
EXAMPLE = Path(__file__).resolve().parents[1] / "slo.toml"
OPTIONS = ("--slo", "--search", "--from")
LONGEST_S = 300.0
"""Measured seconds of one step of a search at most: at low rates it takes long until there are calls enough for a p99.9."""
PICTURES = ("peers", "tail", "latency", "throughput", "growth", "timeline", "memory", "chaos")
"""Parts of a page that are worth one."""
NOT_MET = 1
WRONG = 2


def wanted(arguments: list[str]) -> bool:
    """Whether these options of `bench` are for this program."""
    return any(argument.split("=")[0] in OPTIONS for argument in arguments)


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The options; leaves with status 2 when they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m serving bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--slo", type=Path, default=EXAMPLE, metavar="FILE", help="[default: loadtests/slo.toml]")
    parser.add_argument("--scenario", metavar="NAME,…", help="only these scenarios")
    parser.add_argument("--rounds", type=whole, help="rounds of each scenario, in place of the file's")
    parser.add_argument("--search", metavar="METHOD", help="find the highest rate; a method or a scenario's name")
    parser.add_argument("--vary", action="append", default=[], metavar="NAME=VALUE,…", help="search with these as well")
    parser.add_argument(
        "--resolution", type=above_0, default=0.05, help="share to which a rate is found [default: 0.05]"
    )
    parser.add_argument(
        "--confirmations", type=natural, default=2, help="times a found rate must hold again [default: 2]"
    )
    parser.add_argument("--highest", type=above_0, default=1e6, help="rate beyond which none is tried")
    parser.add_argument("--dir", type=Path, help="where data directories are made, on a disk")
    parser.add_argument("--out", type=Path, help="also write the JSON lines to this file")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page of the run: report.html, report.png")
    parser.add_argument(
        "--from", dest="lines", type=Path, action="append", metavar="LINES", help="run nothing: report of stored lines"
    )
    parser.add_argument("--figures", action="store_true", help="of stored lines, with --from: print the README's table")
    options = parser.parse_args(arguments)
    if options.vary and not options.search:
        parser.error("--vary is for --search")
    if options.figures and not options.lines:
        parser.error("--figures is for --from")
    if options.lines and not (options.report or options.figures):
        parser.error("--from is for --report and --figures")
    return options


class Report:
    """Where lines go."""

    def __init__(self, out: Path | None) -> None:
        self._out = out.open("w", encoding="utf-8") if out else None
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        """Passes a line on at once."""
        self.lines.append(line)
        for stream in (sys.stdout, self._out):
            if stream:
                stream.write(json.dumps(line) + "\n")
                stream.flush()

    @staticmethod
    def say(text: str) -> None:
        """Tells the reader."""
        print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Returns 0 when every objective is met, or a rate was found that meets them."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if options.lines:
            return again(options)
        report = Report(options.out)
    except (OSError, ValueError) as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return WRONG
    try:
        return run(options, report)
    finally:
        if options.report and report.lines:
            write_page(report.lines, options.report)


def again(options: argparse.Namespace) -> int:
    """Tells stored lines again.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: one has other lines than JSON.
    """
    stored = []
    for path in options.lines:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                stored.append(json.loads(line))
            except ValueError as wrong:
                raise ValueError(f"{path}:{number}: {wrong}: give what --out has written") from wrong
    if options.figures:
        print(figures(stored))
    if options.report:
        write_page(stored, options.report)
    return 0


def run(options: argparse.Namespace, report: Report) -> int:
    """Proves or searches; returns the status."""
    try:
        slo = read(options.slo)
        if options.rounds:
            slo = replace(slo, generator=replace(slo.generator, rounds=options.rounds))
        if options.search:
            return find(slo, options, report)
        return prove(chosen(slo, options.scenario), options, report)
    except WrongSlo as wrong:
        report.say(f"error: {wrong}")
        return WRONG
    except GeneratorFailed as failed:
        report.write({"kind": "failed", "why": str(failed)})
        report.say(f"error: {failed}")
        return NOT_MET


def write_page(lines: list[Line], directory: Path) -> None:
    """Writes the page of a run, and where Chromium is installed pictures of it and of its parts."""
    directory.mkdir(parents=True, exist_ok=True)
    whole = page(lines)
    (directory / "report.html").write_text(whole, encoding="utf-8")
    picture(whole, directory / "report.png")
    made = parts(lines)
    for name in PICTURES:
        if made[name]:
            picture(document(made[name]), directory / f"{name}.png")


def chosen(slo: Slo, names: str | None) -> Slo:
    """The scenarios that are to be run.

    Raises:
        WrongSlo: there is none of that name.
    """
    if not names:
        return slo
    known = {scenario.name: scenario for scenario in slo.scenarios}
    if unknown := [name for name in names.split(",") if name not in known]:
        raise WrongSlo(f"there is no scenario {', '.join(unknown)}: choose from {', '.join(known)}")
    return replace(slo, scenarios=tuple(known[name] for name in names.split(",")))


def prove(slo: Slo, options: argparse.Namespace, report: Report) -> int:
    """Runs every scenario as often as the file says, and judges it."""
    verdicts: list[Verdict] = []
    with Generator(slo, report.write, options.dir) as generator:
        for scenario in slo.scenarios:
            report.say(f"{scenario.name}: {scenario.rate:,.0f} operations a second")
            found = judge(scenario, rounds(slo, scenario, generator))
            for verdict in found:
                report.write(verdict.line())
                report.say(f"  {verdict.text()}")
            verdicts += found
        generator.verify()
    failed = [verdict for verdict in verdicts if verdict.met is not True]
    for verdict in failed:
        report.say(f"{slo.path}:{verdict.objective.line}: {verdict.text()}")
    report.say(f"{len(verdicts) - len(failed)} of {len(verdicts)} objectives met")
    return NOT_MET if failed else 0


def rounds(slo: Slo, scenario: Scenario, generator: Generator) -> list[Round]:
    """Measures a scenario. A round that the generator spoiled is run once more."""
    asks_echo = any(objective.against_echo for objective in scenario.objectives)
    made: list[Round] = []
    for seed in range(1, slo.generator.rounds + 1):
        for _ in range(2):
            made.append(_round(slo, scenario, generator, seed, asks_echo=asks_echo))
            if not made[-1].refused:
                break
    return made


def _round(slo: Slo, scenario: Scenario, generator: Generator, seed: int, *, asks_echo: bool) -> Round:
    steps = [slo.step(scenario, seed)]
    if asks_echo:
        steps.append(slo.step(scenario, seed, echo=True))
    # In turn first and last, so that a drift of the machine weighs on both alike.
    ran = [generator.run(step) for step in (steps if seed % 2 else reversed(steps))]
    ours, *theirs = ran if seed % 2 else ran[::-1]
    return Round(ours, theirs[0] if theirs else None)


def searched(slo: Slo, name: str) -> Scenario:
    """The scenario that a search is made with: of that name, or that method alone under its first objectives.

    Raises:
        WrongSlo: there is neither.
    """
    for scenario in slo.scenarios:
        if scenario.name == name:
            return scenario
    for scenario in slo.scenarios:
        objectives = tuple(one for one in scenario.objectives if one.method == name)
        if name in METHODS and objectives:
            # What is reserved has to be finished, or the state would only grow; a step needs what it finishes.
            mix = {"reserve": 1, "finish": 1} if name in {"reserve", "finish"} else {name: 1}
            whole = tuple(one for one in scenario.objectives if one.method == "all" and not one.metric.startswith("p"))
            return replace(scenario, name=name, mix=mix, objectives=objectives + whole)
    names = ", ".join(scenario.name for scenario in slo.scenarios)
    raise WrongSlo(f"--search {name}: no scenario is called so, nor has an objective for such a method: {names}")


def find(slo: Slo, options: argparse.Namespace, report: Report) -> int:
    """Searches as the file says, then with each changed setting; tells a table."""
    scenario = searched(slo, options.search)
    if not any(one.metric == "achieved" for one in scenario.objectives):
        scenario = replace(scenario, objectives=(*scenario.objectives, Objective("all", "achieved", 0.99)))
    limits = Limits(highest=options.highest, resolution=options.resolution, confirmations=options.confirmations)
    table: list[tuple[str, Found]] = []
    made = list(variants(slo, scenario, options.vary))
    # Those with the same server one after another: it is filled once for all of them.
    for server in dict.fromkeys(one.slo.server for one in made):
        same = [one for one in made if one.slo.server == server]
        left = available_bytes()
        if left < same[0].needs_bytes:
            why = f"it needs {same[0].needs_bytes >> 20:,} MiB of memory, {left >> 20:,} MiB are available"
            for one in same:
                report.write({"kind": "skipped", "variant": one.label, "why": why})
                report.say(f"SKIPPED: {one.label}: {why}")
            continue
        with Generator(same[0].slo, report.write, options.dir) as generator:
            for one in same:
                report.say(f"{options.search}, {one.label}:")
                found = _search(one, limits, generator, report)
                report.write({"kind": "found", "search": options.search, "variant": one.label, **_found(found)})
                table.append((one.label, found))
            generator.verify()
    if not table:
        return NOT_MET
    width = max(len(label) for label, _ in table)
    report.say(f"\nhighest rate of {options.search} that meets its objectives, operations a second")
    for label, found in table:
        limit = f"; beyond it: {found.limited_by}" if found.limited_by else ""
        report.say(f"{label:<{width}}  {found.rate:>12,.0f}{limit}")
    return 0 if all(found.rate for _, found in table) else NOT_MET


def _search(variant: Variant, limits: Limits, generator: Generator, report: Report) -> Found:
    asks_echo = any(objective.against_echo for objective in variant.scenario.objectives)
    seeds = itertools.count(1)

    def probe(rate: float) -> Probe:
        scenario = replace(variant.scenario, rate=rate, rate_to=None)
        seconds = max(variant.slo.measure_s(scenario), seconds_needed(scenario))
        if seconds > LONGEST_S:
            why = f"too slow to tell: {seconds:,.0f} s would be needed for calls enough"
            report.say(f"  {rate:>12,.0f} a second: {why}")
            return Probe(rate, met=False, why=why)
        scenario = replace(scenario, measure_s=seconds)
        one = _round(variant.slo, scenario, generator, next(seeds), asks_echo=asks_echo)
        missed = [verdict for verdict in judge(scenario, [one]) if verdict.met is not True]
        why = missed[0].text() if missed else ""
        report.say(f"  {rate:>12,.0f} a second: {why or 'met'}")
        return Probe(rate, not missed, why)

    return search(probe, variant.scenario.rate, limits)


def _found(found: Found) -> Line:
    return {
        "rate": found.rate,
        "limited_by": found.limited_by,
        "steps": [{"rate": probe.rate, "met": probe.met, "why": probe.why} for probe in found.probes],
    }
