"""The highest rate at which everything that was asked for holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Probe:
    """What one step at a rate showed.

    Attributes:
        met: whether everything held.
        why: what did not, for a reader.
    """

    rate: float
    met: bool
    why: str = ""


@dataclass
class Found:
    """The end of a search.

    Attributes:
        rate: operations a second; 0 when nothing held at any rate that was tried.
        limited_by: what did not hold at the next higher rate that was tried; "" when no higher one was tried.
        probes: every step, in order.
    """

    rate: float
    limited_by: str
    probes: list[Probe] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """How far and how finely to search.

    Attributes:
        resolution: the search ends when the lowest rate that did not hold is no more than this share above the highest
            that did.
        confirmations: how often the found rate must hold again, in a row.
    """

    lowest: float = 1.0
    highest: float = 1_000_000.0
    resolution: float = 0.05
    confirmations: int = 2


def search(probe: Callable[[float], Probe], start: float, limits: Limits | None = None) -> Found:
    """Brackets by doubling or halving from `start`, bisects, and confirms.

    A machine is not the same from minute to minute. So the rate that is told must hold again; when it does not, it
    counts as one that did not hold, and the search goes on below it.
    """
    return _Search(probe, limits or Limits()).run(start)


class _Search:
    def __init__(self, probe: Callable[[float], Probe], limits: Limits) -> None:
        self._probe = probe
        self._limits = limits
        self._probes: list[Probe] = []
        self._held = 0.0
        self._failed: Probe | None = None

    def run(self, start: float) -> Found:
        for rate in self._bracket(start):
            self._try(rate)
        self._bisect()
        while self._held and not self._confirmed():
            # What held once and not again is the new upper end; a lower end has to be found anew below it.
            self._held = 0.0
            for rate in self._below():
                self._try(rate)
            self._bisect()
        return Found(self._held, self._failed.why if self._failed else "", self._probes)

    def _try(self, rate: float) -> bool:
        seen = self._probe(rate)
        self._probes.append(seen)
        if seen.met:
            self._held = max(self._held, rate)
        elif self._failed is None or rate <= self._failed.rate:
            self._failed = seen
        return seen.met

    def _bracket(self, start: float) -> Iterator[float]:
        limits = self._limits
        rate = min(max(start, limits.lowest), limits.highest)
        yield rate
        if self._held:
            while self._failed is None and rate < limits.highest:
                rate = min(2 * rate, limits.highest)
                yield rate
        else:
            yield from self._below()

    def _below(self) -> Iterator[float]:
        assert self._failed is not None
        rate, step = self._failed.rate, self._limits.resolution
        while not self._held and rate > self._limits.lowest:
            rate = max(rate / (1 + step), self._limits.lowest)
            # Small steps at first, for a rate that just did not hold again; then halves.
            step = min(2 * step, 1.0)
            yield rate

    def _bisect(self) -> None:
        while self._held and self._failed and self._failed.rate > self._held * (1 + self._limits.resolution):
            self._try((self._held * self._failed.rate) ** 0.5)

    def _confirmed(self) -> bool:
        return all(self._try(self._held) for _ in range(self._limits.confirmations))
