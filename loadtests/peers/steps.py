"""What is asked of one server in open loop: its tail beside the floor's, a flash sale, and its cost by size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.machine import available_bytes
from loadtests.row import row
from loadtests.slo.file import MIXES, Generator, Server, Slo
from loadtests.slo.generator import Generator as Running
from loadtests.slo.generator import GeneratorFailed
from loadtests.slo.search import Limits, Probe, search
from loadtests.slo.varying import filled_bytes

Line = dict[str, Any]
FLOOR_BOUND = 1.5
FLASH_BOUND = 2.0
TRIES = 2
"""How often a round is made when it cannot be used each time."""
CONNECTIONS, STREAMS = 4, 16
MOST_FROM, MOST_S, ACHIEVED = 20_000.0, 1.0, 0.99
"""Where the search for the most begins, how long it looks at a rate, and the share that must be answered in time."""
H2, TONIC = "bare h2", "bare gRPC"
UNIFORM, HOT = "uniform", "one-hot"
SIZE_CHECKS, SIZE_ORDERS = 8_000.0, 2_000.0
"""Operations a second at which sizes are compared: below what every size sustains."""


@dataclass(frozen=True)
class Plan:
    """How the steps are run.

    Attributes:
        moved_factor: a round is dropped when a probe after it differs from the one before by more than this factor.
    """

    passes: int
    measure_s: float
    moved_factor: float
    positions: int = 100_000
    directory: Path | None = None
    server_core: int = 0
    client_core: int = 1


def moved(before: Line, after: Line, factor: float) -> str | None:
    """Why a round cannot be used: what the machine can do was not the same before and after it."""
    for key, what in (("disk_p50_us", "a durable write"), ("loopback_p50_us", "a trip over loopback")):
        first, last = before[key], after[key]
        if max(first, last) > factor * min(first, last):
            return f"the machine moved: {what} took {first:.0f} us before and {last:.0f} us after, more than {factor:g} times"
    return None


class Steps:
    """A server of its own, and rounds on it that can be used."""

    def __init__(self, plan: Plan, tell: Callable[[Line], None], positions: int, receipts: int = 4) -> None:
        self._plan = plan
        self._tell = tell
        server = Server(positions=positions, receipts=receipts, cores=(plan.server_core,))
        slo = Slo(Path("peers"), server, Generator(core=plan.client_core), ())
        self._running = Running(slo, tell, plan.directory)

    def __enter__(self) -> "Steps":
        self._running.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._running.__exit__(*raised)

    def verify(self) -> None:
        """Ends the server, which is held to what it answered."""
        self._running.verify()

    def one(self, name: str, rate: float, mix: dict[str, int], seed: int, **more: Any) -> Line | None:
        """A round that can be used; nothing when none could be, which is told."""
        step = {"name": name, "rate": rate, "mix": mix, "seed": seed, **more}
        step |= {"connections": CONNECTIONS, "streams": STREAMS}
        step |= {"warmup_s": min(1.0, self._plan.measure_s), "measure_s": self._plan.measure_s, "drain_s": 5.0}
        for _ in range(TRIES):
            line = self._running.run(step)
            why = line["refused"] or moved(line["before"], line["after"], self._plan.moved_factor)
            if not why:
                return line
            told = {key: line[key] for key in ("target", "keys", "before", "after")}
            self._tell({"kind": "dropped", "row": name, "system": line["target"], "pass": seed - 1, **told, "why": why})
        return None

    def most(self, mix: dict[str, int]) -> float:
        """The highest rate at which the server answers 99 % in time, on as many connections and streams.

        Raises:
            GeneratorFailed: it keeps up with no rate.
        """
        seconds = min(MOST_S, self._plan.measure_s)

        def kept_up(rate: float) -> Probe:
            times = {"warmup_s": min(0.3, seconds), "measure_s": seconds, "drain_s": 5.0}
            # How late the generator is does not matter: no latency is told.
            shape = {"connections": CONNECTIONS, "streams": STREAMS, "lag_share_max": 1e9}
            line = self._running.run({"name": "most", "rate": rate, "mix": mix, "seed": 1, **shape, **times})
            return Probe(rate, met=line["achieved_share"] >= ACHIEVED)

        found = search(kept_up, MOST_FROM, Limits(resolution=0.1, confirmations=1))
        if not found.rate:
            raise GeneratorFailed(f"the server keeps up with no rate of {mix}")
        return found.rate

    def turns(
        self, choices: Sequence[Line], name: str, rate: float, mix: dict[str, int]
    ) -> Iterator[list[Line | None]]:
        """Yields a round of each choice a pass, in turn from the first and from the last."""
        for number in range(self._plan.passes):
            order = range(len(choices)) if number % 2 == 0 else reversed(range(len(choices)))
            made: dict[int, Line | None] = {}
            for index in order:
                made[index] = self.one(name, rate, mix, number + 1, **choices[index])
            yield [made[index] for index in range(len(choices))]


def floor(steps: Steps, rate: float) -> Iterator[Line]:
    """Yields rows: the tail of unary checks beside the same on bare servers."""
    passes = list(
        steps.turns([{"target": "server"}, {"target": "h2"}, {"target": "echo"}], "floor", rate, {"check": 1})
    )
    title = f"unary check at {rate:,.0f} a second, half of the most"
    for place, peer, bound in ((1, H2, FLOOR_BOUND), (2, TONIC, None)):
        both = [(one[0], one[place]) for one in passes if one[0] and one[place]]
        for key in ("p999_us", "p99_us", "p50_us") if both else ():
            asked = bound if key == "p999_us" else None
            found = [_of(ours, "all", key) / _of(theirs, "all", key) for ours, theirs in both]
            yield row("check-floor", title, key, "bespeak-unary", found, peer=peer, bound=asked)
            # What the generator itself was late by is the same for both, and makes them alike: it is told without, too.
            found = [_of(ours, "all", key, "begun") / _of(theirs, "all", key, "begun") for ours, theirs in both]
            begun = f"{title}, without what the generator was late by"
            yield row("check-floor-begun", begun, key, "bespeak-unary", found, peer=peer, bound=asked)


def flash(steps: Steps, rate: float) -> Iterator[Line]:
    """Yields the row: reserves when half of all are for one SKU, beside uniform keys."""
    passes = list(steps.turns([{"keys": HOT}, {"keys": UNIFORM}], "flash", rate, MIXES["flash-sale"]))
    title = f"reserve, half of all on one SKU, {rate:,.0f} operations a second"
    for key, bound in (("p99_us", FLASH_BOUND), ("p50_us", None)):
        found = [_of(one[0], "reserve", key) / _of(one[1], "reserve", key) for one in passes if one[0] and one[1]]
        if found:
            yield row("flash-sale", title, key, "bespeak-unary", found, peer="uniform keys", bound=bound)


def _of(line: Line | None, method: str, key: str, since: str = "latency") -> float:
    assert line is not None
    return float(line["methods"][method][since][key])


def sizes(plan: Plan, tell: Callable[[Line], None], positions: Sequence[int], receipts: int = 4) -> Iterator[Line]:
    """Yields rows: server CPU of a check and of an order's call with more positions, and a line of what memory forbids."""
    for count in positions:
        needed, left = filled_bytes(Server(positions=count, receipts=receipts)), available_bytes()
        name = f"positions-{count}"
        if left < needed:
            why = f"it needs {needed >> 20:,} MiB of memory, {left >> 20:,} MiB are available"
            yield {"kind": "skipped", "row": name, "why": why}
            continue
        with Steps(plan, tell, count, receipts) as steps:
            checks = [steps.one("size-check", SIZE_CHECKS, {"check": 1}, 1 + n) for n in range(plan.passes)]
            orders = [steps.one("size-order", SIZE_ORDERS, MIXES["checkout"], 1 + n) for n in range(plan.passes)]
            steps.verify()
        for what, rate, ran in (("unary check", SIZE_CHECKS, checks), ("checkout", SIZE_ORDERS, orders)):
            used = [one for one in ran if one]
            title = f"{what} at {rate:,.0f} a second, {count:,} positions"
            for key in ("server_cpu_us", "p50_us", "p99_us") if used else ():
                values = [one[key] if key == "server_cpu_us" else _of(one, "all", key) for one in used]
                yield row(name, title, key, "bespeak-unary", values)
