"""The final table."""

from rich.table import Table

from serving.demo.network import Network
from serving.demo.orders import Orders
from serving.demo.replay import Outcome

_CALLS = ("promise", "confirm", "fulfil")


def quantile(sorted_ns: list[int], level: float) -> float:
    """Returns a quantile in milliseconds: the smallest value that at least that share does not exceed."""
    rank = max(1, -(-int(level * 1_000_000) * len(sorted_ns) // 1_000_000))
    return sorted_ns[rank - 1] / 1e6


def table(orders: Orders, network: Network, outcome: Outcome) -> Table:
    """Says what was replayed, what became of it and what it cost."""
    shown = Table(title="Bespeak demo", show_header=False, title_justify="left", min_width=84)
    shown.add_column("what", style="bold", no_wrap=True)
    shown.add_column("how much")
    for name, value in _rows(orders, network, outcome):
        shown.add_row(name, value)
    return shown


def _rows(orders: Orders, network: Network, outcome: Outcome) -> list[tuple[str, str]]:
    figures, counters, verdict = outcome.figures, outcome.counters, outcome.verdict
    total = sum(figures.orders.values())
    lines = max(1, figures.lines)
    findings, reconcile = outcome.findings, outcome.reconcile
    rows = [
        ("orders", f"{total:,} from {orders.source}, {network.days} days, {len(network.dc_of)} stores, 2 centres"),
        ("left out of the source", "; ".join(f"{count:,} lines: {why}" for why, count in orders.left_out.items())),
        *(
            (f"  promised {what}", f"{figures.orders[name]:,} ({figures.orders[name] / max(1, total):.1%})")
            for name, what in (("full", "in full"), ("partial", "in part"), ("refused", "nothing (refused)"))
        ),
        (
            "lines meeting a shortage",
            (
                f"{figures.short_at_store:,} of {figures.lines:,} ({figures.short_at_store / lines:.1%}); "
                f"{figures.from_centre:,} of them came from the centre"
            ),
        ),
        ("units asked / promised / shipped", f"{figures.units_asked:,} / {verdict.promised:,} / {verdict.shipped:,}"),
        (
            "units oversold",
            (
                f"{verdict.oversold} by the tally in Python, {reconcile.oversold_units} by Reconcile "
                f"({reconcile.positions_checked:,} positions, {reconcile.records_checked:,} records)"
            ),
        ),
        (
            "tally against the service",
            (
                f"{len(verdict.stock):,} positions compared, {len(outcome.different)} differ, "
                f"{len(reconcile.discrepancies)} discrepancies, {verdict.refused_wrongly} lines refused wrongly"
            ),
        ),
        (
            "supply events",
            (
                f"{counters.purchases:,} purchases, {counters.transfers:,} transfers, {counters.arrivals:,} arrivals, "
                f"{counters.delays:,} delays, {counters.counts:,} counts; {counters.shocks:,} shocks"
            ),
        ),
        (
            "kill -9 in the middle",
            (
                f"{outcome.in_flight} calls without an answer; serving again after {outcome.restart_s:.1f} s; "
                f"{findings.open_found:,} open and {findings.finished_found:,} finished reservations looked up, "
                f"{len(findings.lost)} lost; {figures.replayed} answers given again for what had been done"
            ),
        ),
    ]
    for kind in _CALLS:
        if taken := sorted(outcome.timings.by_kind.get(kind, [])):
            p50, p99, p999 = (quantile(taken, level) for level in (0.5, 0.99, 0.999))
            rows.append(
                (f"latency of {kind}", f"p50 {p50:.2f} · p99 {p99:.2f} · p99.9 {p999:.2f} ms ({len(taken):,} calls)")
            )
    stats = outcome.stats
    rows += [
        (
            "journal",
            f"{stats.journal_bytes / 1e6:.1f} MB in {stats.journal_segments} segments, {stats.revision:,} records",
        ),
        ("time", ", ".join(f"{what} {took:.1f} s" for what, took in outcome.seconds.items())),
    ]
    return rows
