"""One batch as a page: where packages go, how near the optimum each solver comes in which time, and who gets what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import pyarrow as pa

from loadtests.allocation.evaluate import rows_of
from loadtests.allocation.flow_map import flow_map
from loadtests.allocation.solvers import ALLOCATORS, BASELINES, POLICIES, RULES, run
from loadtests.allocation.suite import Batch, Line
from loadtests.allocation.svg import COLOURS, LogChart, grouped, stacked

PARTS = ("package", "freight", "handling", "late", "unfilled")
#: A gap of nothing is drawn here, percent.
FLOOR = 0.001
#: Plans that cost more than this, to the rule engine's, are left out of the bars.
DEAREST = 1.5
POLICY_MS = 1_000
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:960px;padding:0 1rem;color:#222;background:#fff}"
    "h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}"
    "table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}"
    "td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;margin:.4rem 0}"
    ".side{display:flex;flex-wrap:wrap;gap:1rem}.note{color:#555}.figures{display:flex;gap:2rem;flex-wrap:wrap}"
    ".figures div{font-size:1.5rem;font-weight:600}.figures small{display:block;font-size:.8rem;font-weight:400;color:#555}"
)


def write(batch: Batch, path: Path, reference: float, *, quick: bool) -> Iterator[Line]:
    """Measures, writes the page, and yields what was measured."""
    seconds = (0.3, 1.0) if quick else (0.3, 1.0, 3.0, 10.0)
    longest = int(1000 * seconds[-1])
    budgets = {"search": (50, 300, longest), "column-generation": (300, 2_000, longest)}
    if quick:
        budgets = {"search": (50, longest), "column-generation": (longest,)}
    lines = [batch.tried(RULES, 0)]
    for name in ("search", "column-generation"):
        batch.tried(name, 50)
        lines += [batch.tried(name, budget) for budget in dict.fromkeys(budgets[name])]
    for name in BASELINES:
        if name != RULES:
            lines += [batch.tried(name, int(1000 * each)) for each in seconds]
    policies = [batch.tried("search", 300 if quick else POLICY_MS, policy) for policy in POLICIES]
    if reference:
        batch.reference(reference)
    lines = [batch.judged(line) for line in lines]
    policies = [batch.judged(line) for line in policies]
    best = min((line for line in lines if line["feasible"]), key=lambda line: line["cost"])
    plan = run(best["solver"], batch.given, best["budget_ms"]).plan
    rules = run(RULES, batch.given, 0).plan
    assert plan is not None
    assert rules is not None
    path.write_text(html(batch, lines, policies, (rules, plan)), encoding="utf-8")
    yield from lines
    yield from policies
    yield {"kind": "page", "path": str(path)}


def html(batch: Batch, lines: Sequence[Line], policies: Sequence[Line], plans: tuple[pa.Table, pa.Table]) -> str:
    """The page."""
    made = [line for line in lines if line["feasible"]]
    rules = next(line for line in made if line["solver"] == RULES)
    fast = min((line for line in made if line["solver"] == "search"), key=lambda line: line["budget_ms"])
    best = min(made, key=lambda line: line["cost"])
    title = f"Allocation of {batch.given.name}"
    orders = batch.given.orders
    demand = sum(orders["quantity"].to_pylist())
    head = (
        f"<h1>{escape(title)}</h1><p class='note'>{len(set(orders['order_id'].to_pylist())):,} orders of {orders.num_rows:,} "
        f"lines and {demand:,} units, {len(batch.given.locations or []):,} locations. Costs are judged from the tables alone, "
        "independently of the solvers. No plan can cost less than the best bound.</p>"
    )
    figures = [
        (f"{rules['gap_percent']:.1f} %", "rule engine above the best bound"),
        (f"{fast['gap_percent']:.2f} %", f"search in {fast['budget_ms']} ms"),
        (f"{best['gap_percent']:.3f} %", f"best plan ({best['solver']})"),
        (f"{fast['recovered']:.0%}", f"of the avoidable cost saved in {fast['budget_ms']} ms"),
    ]
    shown = "".join(f"<div>{escape(number)}<small>{escape(what)}</small></div>" for number, what in figures)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
        f"{head}<div class='figures'>{shown}</div>"
        f"<h2>Where packages go</h2>{maps(batch, plans)}"
        f"<h2>Where the cost goes</h2>{costs(made)}"
        f"<h2>How near the optimum, in which time</h2>{gaps(lines)}"
        f"<h2>Who gets what is short</h2>{shortage(policies)}"
        f"<h2>Every run</h2>{every(lines)}</html>\n"
    )


def maps(batch: Batch, plans: tuple[pa.Table, pa.Table]) -> str:
    """The rule engine's flows and those of the best plan."""
    drawn = []
    for plan, title in zip(plans, ("rule engine", "best plan"), strict=True):
        outcome = batch.judge.outcome(rows_of(plan))
        note = f"{outcome.packages:,} packages, {outcome.lines_filled:,} of {outcome.lines:,} lines, cost {outcome.total:,}"
        drawn.append(flow_map(batch.given, plan, title, note))
    words = (
        "Discs are locations, larger with more packages. Squares are zones, larger with more lines; the part filled in "
        "was left unserved. Lines are packages, thicker with more."
    )
    return f"<div class='side'>{''.join(drawn)}</div><p class='note'>{words}</p>"


def costs(made: Sequence[Line]) -> str:
    """Cost in parts, of the rule engine and of each solver's best."""
    rules = next(line["cost"] for line in made if line["solver"] == RULES)
    rows: dict[str, list[float]] = {}
    notes = {}
    for name in (RULES, *ALLOCATORS, *BASELINES):
        own = [line for line in made if line["solver"] == name and line["cost"] <= DEAREST * rules]
        if own:
            line = min(own, key=lambda line: line["cost"])
            shown = "rule engine" if name == RULES else name
            rows[shown] = [line[part] for part in PARTS]
            saved = "" if name == RULES else f", {line['cost'] / rules - 1:+.1%}"
            notes[shown] = f"{line['cost']:,}{saved} in {_time(line['milliseconds'])}"
    chart = stacked("cost of the best plan of each", rows, PARTS, notes)
    best = min(made, key=lambda line: line["cost"])
    return (
        f"{chart}<p class='note'>Of what the rule engine wastes, the best plan saves {best['recovered']:.0%}: "
        f"{best['recovered_stock']:.0%} by who gets scarce stock (less is left unfilled, or what matters less), "
        f"{best['recovered_freight']:.0%} by what it costs to bring the rest.</p>"
    )


def gaps(lines: Sequence[Line]) -> str:
    """Gap above the best bound over time."""
    top = 2 * max((line["gap_percent"] for line in lines if line["feasible"]), default=10)
    last = max(line["milliseconds"] for line in lines)
    chart = LogChart(
        (1, max(100, 1.3 * last)), (FLOOR, min(1000.0, top)), ("milliseconds", "gap above the best bound"), 900
    )
    colour = dict(zip((*ALLOCATORS, *BASELINES), [*COLOURS, *COLOURS], strict=False))
    for name in ALLOCATORS:
        own = [line for line in lines if line["solver"] == name and line["feasible"]]
        if own:
            longest = max(own, key=lambda line: line["budget_ms"])
            trace = longest["trace"] or [[longest["milliseconds"], longest["cost"]]]
            bound = longest["best_bound"]
            chart.steps([(max(1, at), max(FLOOR, 100 * (cost / bound - 1))) for at, cost in trace], name, colour[name])
    for name in BASELINES:
        own = [line for line in lines if line["solver"] == name and line["feasible"]]
        if name == RULES and own:
            chart.rule(own[0]["gap_percent"], f"rule engine, {own[0]['gap_percent']:.1f} %")
        elif own:
            chart.dots([(line["milliseconds"], max(FLOOR, line["gap_percent"])) for line in own], name, colour[name])
    return (
        f"{chart.svg()}<p class='note'>Lines are one long run of each allocator, from the tables on. Dots are runs of the "
        f"baselines with a limit of time, at the time that they took. {FLOOR:g} % and less is drawn at the bottom.</p>"
    )


def shortage(policies: Sequence[Line]) -> str:
    """Fill by tier and of the worst served customer under each policy."""
    made = [line for line in policies if line["feasible"]]
    tiers = sorted({tier for line in made for tier in line["fill_by_tier"]})
    groups = {
        line["policy"]: [*(line["fill_by_tier"][tier] for tier in tiers), line["lowest_customer_fill"]] for line in made
    }
    chart = grouped("lines filled", groups, [*(f"tier {tier}" for tier in tiers), "lowest customer"])
    head = ("policy", "cost", "above the cheapest", "lines filled", "packages an order", "late lines")
    cheapest = min(line["best_cost"] for line in made)
    body = [
        (
            line["policy"],
            f"{line['cost']:,}",
            f"{line['cost'] / cheapest - 1:+.2%}",
            f"{line['fill']:.1%}",
            f"{line['packages_per_order']:.2f}",
            f"{line['lines_late']:,}",
        )
        for line in made
    ]
    return chart + _table(head, body)


def every(lines: Sequence[Line]) -> str:
    """All runs as a table."""
    head = ("solver", "limit", "took", "cost", "gap", "own bound", "saved of avoidable", "to 1 %", "to 0.1 %")
    body = []
    for line in lines:
        limit = f"{line['budget_ms']:,} ms" if line["budget_ms"] else ""
        start = (line["solver"], limit, _time(line["milliseconds"]))
        if not line["feasible"]:
            body.append((*start, "no plan", *[""] * 5))
            continue
        times = (line["to_1_percent_ms"], line["to_0.1_percent_ms"])
        body.append(
            (
                *start,
                f"{line['cost']:,}",
                f"{line['gap_percent']:.3f} %",
                f"{line['bound']:,}" if line["bound"] and line["bound"] > 0 else "",
                f"{line['recovered']:.1%}",
                *("" if at is None else _time(at) for at in times),
            )
        )
    return _table(head, body)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><tr>{top}</tr>{rows}</table>"


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:,.1f} s" if milliseconds >= 1000 else f"{milliseconds:,.0f} ms"
