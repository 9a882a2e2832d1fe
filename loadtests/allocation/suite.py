"""Runs batches through the solvers and says how good the plans are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from loadtests.allocation.evaluate import Broken, Judge, Outcome, rows_of
from loadtests.allocation.instances import SUITE, Shape, make
from loadtests.allocation.solvers import RULES, Run, run
from loadtests.allocation.tables import Tables
from loadtests.allocation.targets import OVERRUN_MAX, Target
from loadtests.row import row

Line = dict[str, Any]
#: Up to this many orders the whole problem is proven by HiGHS; beyond it column generation gives the bound.
PROVEN_ORDERS = 200


class Batch:
    """A batch, its judge, and the best that is known of it."""

    def __init__(self, given: Tables, shape: str = "", seed: int = 0):
        self.given, self.shape, self.seed = given, shape, seed
        self.judge = Judge(given)
        self.bound = 0
        self.best: int | None = None
        self.rules = self._seen(run(RULES, given, 0))

    def reference(self, seconds: float) -> None:
        """Learns a bound, and mostly the optimum."""
        orders = len(set(self.given.orders["order_id"].to_pylist()))
        names = ["highs"] if orders <= PROVEN_ORDERS else ["column-generation"]
        for name in names:
            self._seen(run(name, self.given, int(1000 * seconds)))

    def tried(self, name: str, budget_ms: int, policy: str = "cost", floors: Sequence[tuple[int, int]] = ()) -> Line:
        """Runs a solver once and judges its plan; what is relative to the bound is added by `judged`."""
        started = time.perf_counter()
        try:
            found = run(name, self.given, budget_ms, policy, floors)
        except ValueError as refused:
            # A solver that knows a part of the problem only.
            found = Run(None, None, time.perf_counter() - started, str(refused))
        line: Line = {
            "kind": "plan",
            "batch": self.given.name,
            "shape": self.shape,
            "seed": self.seed,
            "solver": name,
            "policy": policy,
            "budget_ms": budget_ms,
            "milliseconds": round(1000 * found.seconds, 3),
            "made_by": found.made_by,
            "bound": found.bound,
            "trace": [[round(1000 * at, 3), cost] for at, cost in _falling(found.trace)],
        }
        try:
            outcome = self._seen(found)
        except Broken as broken:
            return line | {"feasible": False, "why": str(broken)}
        return line | ({"feasible": None} if outcome is None else {"feasible": True} | described(outcome))

    def _seen(self, found: Run) -> Outcome | None:
        if found.bound is not None:
            self.bound = max(self.bound, found.bound)
        if found.plan is None:
            return None
        outcome = self.judge.outcome(rows_of(found.plan))
        self.best = outcome.total if self.best is None else min(self.best, outcome.total)
        return outcome

    def judged(self, line: Line) -> Line:
        """Adds what is relative to the best that is known by now.

        `gap_percent` is above the best bound. `recovered` is the share of what the rule engine wastes, its cost above
        the best bound, that the plan saves: `recovered_stock` by who gets scarce stock (what is unfilled costs less),
        `recovered_freight` by what it costs to bring the rest. `to_…_ms` is when the plan came within a share of the bound.
        """
        assert self.rules is not None
        assert self.best is not None
        bound = line["bound"]
        line = line | {"best_bound": self.bound, "best_cost": self.best}
        line["bound_valid"] = bound is None or bound <= self.best
        if line["feasible"] is not True:
            return line
        wasted = max(1, self.rules.total - self.bound)
        bought = self.rules.unfilled - line["unfilled"]
        return line | {
            "gap_percent": 100 * (line["cost"] - self.bound) / max(1, self.bound),
            "own_gap_percent": None if bound is None else 100 * (line["cost"] - bound) / max(1, bound),
            "rules_cost": self.rules.total,
            "recovered": (self.rules.total - line["cost"]) / wasted,
            "recovered_stock": bought / wasted,
            "recovered_freight": (self.rules.total - line["cost"] - bought) / wasted,
            "to_first_ms": _reached(line, None),
            "to_1_percent_ms": _reached(line, 1.01 * self.bound),
            "to_0.1_percent_ms": _reached(line, 1.001 * self.bound),
            "overrun": line["milliseconds"] / line["budget_ms"] - 1 if line["budget_ms"] else None,
        }


def _falling(trace: Sequence[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """The best cost so far, over time: parts of a solver may tell theirs one after the other."""
    best = None
    for at, cost in sorted(trace):
        if best is None or cost < best:
            best = cost
            yield at, cost


def _reached(line: Line, cost: float | None) -> float | None:
    """When the plan was there, or no dearer than that; None when it never was or the solver says not."""
    trace = line["trace"] or [[line["milliseconds"], line["cost"]]]
    return next((at for at, then in trace if cost is None or then <= cost), None)


def described(outcome: Outcome) -> Line:
    """What a plan costs and serves."""
    return {
        "cost": outcome.total,
        "package": outcome.package,
        "freight": outcome.freight,
        "handling": outcome.handling,
        "late": outcome.late,
        "unfilled": outcome.unfilled,
        "fill": outcome.lines_filled / max(1, outcome.lines),
        "fill_by_tier": {str(tier): share for tier, share in outcome.fill_by_tier.items()},
        "lowest_customer_fill": outcome.lowest_customer_fill,
        "packages_per_order": outcome.packages / max(1, sum(filled > 0 for _, filled in outcome.by_order.values())),
        "lines_late": outcome.lines_late,
    }


def measured(target: Target, seeds: Iterable[int], known: dict[tuple[str, int], Batch]) -> Iterator[Line]:
    """Yields the plans of a target's batches, and its row: the worst of the seeds, by the best solver of each.

    Args:
        target: the row.
        seeds: of the batches.
        known: batches whose reference is known already, by shape and seed; new ones are added.
    """
    shape = SUITE[target.shape]
    warm(target.solvers)
    worst = []
    for seed in seeds:
        batch = known.get((target.shape, seed))
        if batch is None:
            batch = known[target.shape, seed] = Batch(make(shape, seed), target.shape, seed)
            batch.reference(target.reference_s)
        lines = [batch.tried(name, target.budget_ms) for name in target.solvers]
        lines = [batch.judged(line) | {"row": target.name} for line in lines]
        yield from lines
        worst.append(min(line.get(target.metric, float("inf")) for line in lines))
    words = f"{target.title}, worst of {len(worst)} seeds"
    yield row(target.name, words, target.metric, " / ".join(target.solvers), [max(worst)], bound=target.bound)


def summaries(plans: Sequence[Line]) -> Iterator[Line]:
    """What must hold of all plans of the targets: in time, and never dearer than the rule engine's."""
    made = [line for line in plans if line["feasible"] is True]
    if made:
        late = max(line["overrun"] for line in made)
        yield row(
            "allocation-overrun", "time over the budget, worst of all", "overrun", "all", [late], bound=OVERRUN_MAX
        )
        dearer = max(line["cost"] / line["rules_cost"] for line in made)
        yield row(
            "allocation-rules",
            "cost of the plan to the rule engine's, worst of all",
            "ratio",
            "all",
            [dearer],
            bound=1.0,
        )


def wrong(line: Line) -> str | None:
    """Why a plan is no plan or a bound none; what a fast machine does not heal."""
    if line.get("feasible") is False:
        return f"{line['solver']} on {line['batch']}: {line['why']}"
    if line.get("bound_valid") is False:
        return f"{line['solver']} on {line['batch']}: bound {line['bound']} is above a plan of {line['best_cost']}"
    return None


def warm(names: Iterable[str]) -> None:
    """The first run of a solver loads its libraries."""
    small = Batch(make(Shape(20, 4, single=True, lines=1), 0))
    for name in names:
        small.tried(name, 100)


def table(lines: Iterable[Line]) -> str:
    """Plans, one a line."""
    head = ("batch", "solver", "policy", "budget", "took ms", "gap %", "own %", "recovered", "stock", "freight")
    head += ("first ms", "1 % ms", "0.1 % ms", "fill by tier", "lowest", "pkg/order", "sound")
    shown = [head]
    for line in lines:
        if line.get("feasible") is not True:
            said = "NOT FEASIBLE" if line["feasible"] is False else "no plan"
            shown.append(
                (
                    line["batch"],
                    line["solver"],
                    line["policy"],
                    f"{line['budget_ms']:,}",
                    f"{line['milliseconds']:,.0f}",
                    said,
                    *[""] * 11,
                )
            )
            continue
        shares = (f"{line[name]:.0%}" for name in ("recovered", "recovered_stock", "recovered_freight"))
        times = (
            "-" if line[name] is None else f"{line[name]:,.0f}"
            for name in ("to_first_ms", "to_1_percent_ms", "to_0.1_percent_ms")
        )
        own = "-" if line["own_gap_percent"] is None else f"{line['own_gap_percent']:.3f}"
        shown.append(
            (
                line["batch"],
                line["solver"],
                line["policy"],
                f"{line['budget_ms']:,}",
                f"{line['milliseconds']:,.0f}",
                f"{line['gap_percent']:.3f}",
                own,
                *shares,
                *times,
                " ".join(f"{share:.0%}" for share in line["fill_by_tier"].values()),
                f"{line['lowest_customer_fill']:.0%}",
                f"{line['packages_per_order']:.2f}",
                "yes" if line["bound_valid"] else "BOUND WRONG",
            )
        )
    return aligned(shown)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side."""
    widths = [max(len(each[at]) for each in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)).rstrip() for each in rows
    )
