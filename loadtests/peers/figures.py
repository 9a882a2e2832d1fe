"""The figures of the README, from the lines of a run: a table in Markdown."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from loadtests.peers.ratios import medians
from loadtests.slo.charts import duration
from loadtests.slo.verdicts import shown

Line = dict[str, Any]
JOBS: tuple[tuple[str, str, str, Callable[[Line], str]], ...] = (
    ("reserve-1", "1", "one client: p50", lambda one: duration(one["p50_us"])),
    ("reserve-64-zipf", "64", "64 clients, Zipf keys: operations a second", lambda one: f"{one['ops_per_s']:,.0f}"),
    ("reserve-64-zipf", "64", "the same: server CPU an operation", lambda one: f"{one['server_cpu_us']:.1f} µs"),
    ("reserve-64-hot", "64", "64 clients, half on one SKU: p99", lambda one: duration(one["p99_us"])),
)
"""Row, clients, what it is called, what is told of it."""
SYSTEMS = {
    "bespeak-session": "Bespeak, stream",
    "bespeak-unary": "Bespeak, calls",
    "redis-always": "Redis, fsync always",
    "redis-everysec": "Redis, everysec",
    "redis-off": "Redis, no log",
    "postgres": "PostgreSQL, one statement",
    "postgres-for-update": "PostgreSQL, FOR UPDATE",
    "grpc-aio": "grpc.aio, a dict",
}


def figures(lines: Sequence[Line]) -> str:
    """Two tables: what each system did, and what was asked of it."""
    return "\n".join((*_machine(lines), "", *_systems(lines), "", *_rows(lines)))


def _machine(lines: Sequence[Line]) -> Iterator[str]:
    machines = [line for line in lines if line["kind"] == "machine"]
    for named in dict.fromkeys(f"{one['cpu']}, {one['cores']} cores, Linux {one['kernel']}" for one in machines):
        yield f"{named}; one core for the servers, one for the generator."


def _systems(lines: Sequence[Line]) -> Iterator[str]:
    did = {(one["row"], one["system"].split("/")[0]): one for one in _best(lines)}
    yield f"| durable reserve, closed loop | {' | '.join(SYSTEMS.values())} |"
    yield f"|---|{'---|' * len(SYSTEMS)}"
    for row, clients, title, tell in JOBS:
        cells = [_cell(did.get((row, system)), clients, tell) for system in SYSTEMS]
        yield f"| {title} | {' | '.join(cells)} |"


def _cell(one: Line | None, clients: str, tell: Callable[[Line], str]) -> str:
    if one is None:
        return ""
    others = one["system"].split("/")[1]
    return tell(one) if others == clients else f"{tell(one)} ({others} clients)"


def _best(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """A system that was measured with several numbers of clients is told where it had its best throughput."""
    return sorted(medians([line for line in lines if line["kind"] == "round"]), key=lambda one: float(one["ops_per_s"]))


def _rows(lines: Sequence[Line]) -> Iterator[str]:
    yield "| asked | of | measured (least to most) | bound | |"
    yield "|---|---|---|---|---|"
    for one in lines:
        if one["kind"] == "row" and one["bound"] is not None:
            unit = " x" if one["peer"] else ""
            of = f"{one['ours']} / {one['peer']}" if one["peer"] else one["ours"]
            measured = f"{shown(one['median'])}{unit} ({shown(one['min'])} to {shown(one['max'])})"
            bound = f"{'≤' if one['sense'] == 'at_most' else '≥'} {shown(one['bound'])}{unit}"
            what = one["metric"].replace("_us", "").replace("_", " ")
            yield f"| {one['title']}: {what} | {of} | {measured} | {bound} | {'met' if one['met'] else 'missed'} |"
