"""The dashboard of plans: what is asked, how good and how fast it is, and what becomes of it."""

from ops.objectives import Objectives
from ops.panel import Panel, Rows
from ops.queries import HERE, RATE, one_quantile, quantiles, rate


def allocation(chosen: Objectives) -> Rows:
    """Plans of `Allocate`: the server's side, then the solvers' in the worker."""
    made = f"rate(bespeak_plans_total{{{HERE}}}[15m])"
    fallback = f'sum(rate(bespeak_plans_total{{{HERE}, outcome="fallback"}}[15m])) / sum({made})'
    now = [
        Panel("Plans", "A second.", "reqps", ((f"sum({made})", ""),), stat=True, width=6),
        Panel(
            "Fallbacks",
            "Share of plans that the server's search made where the worker should have.",
            "percentunit",
            ((fallback, ""),),
            chosen.thresholds.fallback_ratio,
            stat=True,
            width=6,
        ),
        Panel(
            "Lines served",
            "Share of order lines that plans serve.",
            "percentunit",
            (_share(FILLED, "15m"),),
            stat=True,
            width=6,
        ),
        Panel("Packages an order", "Of plans.", "short", (_share(PACKAGES, "15m"),), stat=True, width=6),
    ]
    plans = [
        Panel(
            "Plans by solver",
            "A second. A fallback is one that the worker should have made.",
            "reqps",
            (rate("bespeak_plans_total", "{{solver}} {{outcome}}", by="solver, outcome"),),
        ),
        Panel(
            "Time of a plan",
            "From its request to its answer, holds included.",
            "s",
            quantiles("bespeak_plan_seconds"),
            log=True,
        ),
        Panel(
            "Gap",
            "Share of a plan's cost that another could save at most: p50 and worse ones.",
            "percentunit",
            quantiles("bespeak_plan_gap_ratio"),
        ),
        Panel(
            "Orders and lines",
            "Planned a second.",
            "short",
            (
                rate("bespeak_plan_orders_total", "orders {{instance}}"),
                rate("bespeak_plan_lines_total", "lines {{instance}}"),
            ),
        ),
        Panel("Lines served", "Share of order lines that plans serve.", "percentunit", (_share(FILLED, RATE),)),
        Panel("Packages an order", "Of plans.", "short", (_share(PACKAGES, RATE),)),
    ]
    after = [
        Panel(
            "Holds",
            "Orders a second: held as planned, held before under the same request id, moved to a better plan.",
            "short",
            (
                rate("bespeak_plan_holds_total", "held {{instance}}"),
                rate("bespeak_plan_holds_replayed_total", "replayed {{instance}}"),
                rate("bespeak_plan_moves_total", "moved {{instance}}"),
            ),
            width=12,
        ),
        Panel(
            "Planned again",
            "Share of orders whose stock was gone when they were to be held: several want the same.",
            "percentunit",
            (_share(REPLANS, RATE),),
            width=12,
        ),
    ]
    solvers = [
        Panel(
            "Solves, p99",
            "In the worker, by solver.",
            "s",
            one_quantile("bespeak_compute_pass_seconds", "name, version", more=', method="Allocate"'),
            log=True,
        ),
        Panel(
            "First feasible plan, p99",
            "Time until a solve had one.",
            "s",
            one_quantile("bespeak_compute_plan_first_seconds", "solver"),
            log=True,
        ),
        Panel(
            "Gap, median",
            "Of the worker's plans, by solver.",
            "percentunit",
            one_quantile("bespeak_compute_plan_gap_ratio", "solver", 0.5),
        ),
        Panel(
            "Another solver's plans",
            "A second: plans that another solver made than the one asked for.",
            "reqps",
            (rate("bespeak_compute_plan_fallbacks_total", "{{asked}}: {{solver}}", by="asked, solver"),),
        ),
        Panel(
            "Units of plans",
            "Units a second that plans served or left unfilled.",
            "short",
            (rate("bespeak_compute_allocated_units_total", "{{solver}} {{outcome}}", by="solver, outcome"),),
        ),
        Panel(
            "Queue, p99",
            "Waiting in the worker.",
            "s",
            one_quantile("bespeak_compute_queue_seconds", "method", more=', method="Allocate"'),
            chosen.thresholds.worker_queue_p99_s,
        ),
    ]
    return [("Now", now), ("Plans", plans), ("What becomes of them", after), ("Solvers of the worker", solvers)]


FILLED = ("plan_lines_filled", "plan_lines")
PACKAGES = ("plan_packages", "plan_orders")
REPLANS = ("plan_replans", "plan_orders")


def _share(counters: tuple[str, str], window: str) -> tuple[str, str]:
    """One counter's rate by another's."""
    above, below = (f"sum(rate(bespeak_{name}_total{{{HERE}}}[{window}]))" for name in counters)
    return f"{above} / {below}", ""
