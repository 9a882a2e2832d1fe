"""What rounds say of two systems: the median of the ratios of the same pass, and their range."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Line = dict[str, Any]
OURS = ("bespeak-session", "bespeak-unary")
"""What is held against every peer of a row; the one that a row lacks is left out."""
METRICS: dict[str, Callable[[Line], float]] = {
    "ops_per_s": lambda one: float(one["ops_per_s"]),
    "p50_us": lambda one: float(one["latency"]["p50_us"]),
    "p99_us": lambda one: float(one["latency"]["p99_us"]),
    "server_cpu_us": lambda one: float(one["server_cpu_us"]),
}
CROSS_CHECK = "check-h2load"
"""The row in which one server is asked by two generators; there ours is the generator."""


def label(one: Line) -> str:
    """A system and its clients."""
    return f"{one['system']}/{one['clients']}"


def ratios(rounds: Sequence[Line]) -> Iterator[Line]:
    """Yields a line for each row, metric, and pair of ours and a peer."""
    for row in dict.fromkeys(one["row"] for one in rounds):
        of_row = [one for one in rounds if one["row"] == row]
        labels = list(dict.fromkeys(map(label, of_row)))
        for ours, peer in _pairs(row, labels):
            for metric, value in METRICS.items():
                found = list(_of_passes(of_row, ours, peer, value))
                if found:
                    yield {
                        "kind": "ratio",
                        "row": row,
                        "metric": metric,
                        "ours": ours,
                        "peer": peer,
                        "median": statistics.median(found),
                        "min": min(found),
                        "max": max(found),
                        "passes": len(found),
                    }


def _pairs(row: str, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    if row == CROSS_CHECK:
        for peer in labels:
            ours = peer.replace("h2load", "bespeak-unary")
            if ours != peer and ours in labels:
                yield ours, peer
        return
    for ours in labels:
        if ours.split("/")[0] in OURS:
            yield from ((ours, peer) for peer in labels if not peer.startswith("bespeak-"))


def _of_passes(rounds: Sequence[Line], ours: str, peer: str, value: Any) -> Iterator[float]:
    mine, theirs = ({one["pass"]: value(one) for one in rounds if label(one) == name} for name in (ours, peer))
    yield from (mine[number] / theirs[number] for number in sorted(mine.keys() & theirs.keys()) if theirs[number])


def medians(rounds: Iterable[Line]) -> Iterator[Line]:
    """Yields what each system of each row did itself, in the order in which they were first measured."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for one in rounds:
        groups.setdefault((one["row"], label(one)), []).append(one)
    for (row, name), ones in groups.items():
        values = {metric: statistics.median(value(one) for one in ones) for metric, value in METRICS.items()}
        values["p999_us"] = statistics.median(one["latency"]["p999_us"] for one in ones)
        values |= {key: statistics.median(one[key] for one in ones) for key in ("server_busy", "client_busy")}
        yield {"row": row, "system": name, "rounds": len(ones), **values}
