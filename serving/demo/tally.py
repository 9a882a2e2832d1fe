"""An account of every unit, kept beside the service from its answers alone.

Each answer names the journal position at which it was decided, so the answers of concurrent callers
can be put in the service's own order afterwards. The account then goes through them one by one and
works out the projected balances anew for each promise, in plain Python: a promise that leaves a balance
below zero at its ship time or later is an oversale, and a line refused although its units were there
is a wrong refusal.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from serving.demo.network import Key


class Part(NamedTuple):
    """Units held: the line of the reservation, where, how many and for when (UTC milliseconds)."""

    line: int
    key: Key
    units: int
    ship_ms: int


class Short(NamedTuple):
    """A line that did not get all it asked for, with the positions that were tried.

    `took_all` says that it took what there was; else it left everything, and the stock was merely too little.
    """

    keys: tuple[Key, ...]
    units: int
    ship_ms: int
    took_all: bool


@dataclass(slots=True)
class Stock:
    """One position: units on hand, and open receipts and commitments as (when, units) by name."""

    on_hand: int = 0
    receipts: dict[str, tuple[int, int]] = field(default_factory=dict)
    commitments: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def lowest(self, ship_ms: int) -> int:
        """The lowest projected balance from `ship_ms` on."""
        changes = [(when, units) for when, units in self.receipts.values()]
        changes += [(when, -units) for when, units in self.commitments.values()]
        balance = self.on_hand + sum(units for when, units in changes if when <= ship_ms)
        lowest = balance
        later: dict[int, int] = defaultdict(int)
        for when, units in changes:
            if when > ship_ms:
                later[when] += units
        for when in sorted(later):
            balance += later[when]
            lowest = min(lowest, balance)
        return lowest


@dataclass(slots=True)
class Verdict:
    """What going through the account showed."""

    promised: int = 0
    shipped: int = 0
    oversold: int = 0
    refused_wrongly: int = 0
    stock: dict[Key, Stock] = field(default_factory=dict)


class Tally:
    """Answers as they come, in any order."""

    def __init__(self) -> None:
        # Revision, then whether it only looked (a refusal carries the revision that it saw), then arrival.
        self._entries: list[tuple[int, bool, int, str, tuple[Any, ...]]] = []
        self.revision_max = 0

    def _add(self, revision: int, what: str, *values: object, looked: bool = False) -> None:
        self._entries.append((revision, looked, len(self._entries), what, values))
        self.revision_max = max(self.revision_max, revision)

    def seen(self, revision: int) -> None:
        """An answer that moves no units named this journal position."""
        self.revision_max = max(self.revision_max, revision)

    def counted(self, revision: int, key: Key, units: int) -> None:
        """A count: so many units are there."""
        self._add(revision, "count", key, units)

    def expected(self, revision: int, receipt: str, key: Key, units: int, due_ms: int) -> None:
        """A receipt was planned."""
        self._add(revision, "expect", receipt, key, units, due_ms)

    def postponed(self, revision: int, receipt: str, due_ms: int) -> None:
        """A receipt comes at another time."""
        self._add(revision, "postpone", receipt, due_ms)

    def received(self, revision: int, receipt: str, units: int) -> None:
        """The last of a receipt came."""
        self._add(revision, "receive", receipt, units)

    def sent(self, revision: int, source: Key, receipt: str, target: Key, units: int, due_ms: int) -> None:
        """A transfer left."""
        self._add(revision, "send", source, receipt, target, units, due_ms)

    def held(self, revision: int, reservation: int, parts: Iterable[Part], short: Iterable[Short]) -> None:
        """A promise was made; `short` are lines that got less than they asked for."""
        self._add(revision, "hold", reservation, tuple(parts), tuple(short))

    def refused(self, revision: int, short: Iterable[Short]) -> None:
        """A promise was refused."""
        self._add(revision, "refuse", tuple(short), looked=True)

    def left(self, revision: int, reservation: int) -> None:
        """Everything of a reservation was handed over."""
        self._add(revision, "leave", reservation)

    def settle(self) -> Verdict:
        """Goes through all answers in the order of the journal."""
        verdict = Verdict()
        stock = verdict.stock = defaultdict(Stock)
        where: dict[str, Key] = {}
        parts_of: dict[int, tuple[Part, ...]] = {}
        for _, _, _, what, values in sorted(self._entries, key=lambda entry: entry[:3]):
            match what, values:
                case "count", (key, units):
                    stock[key].on_hand = units
                case "expect", (receipt, key, units, due_ms):
                    where[receipt] = key
                    stock[key].receipts[receipt] = (due_ms, units)
                case "postpone", (receipt, due_ms):
                    receipts = stock[where[receipt]].receipts
                    receipts[receipt] = (due_ms, receipts[receipt][1])
                case "receive", (receipt, units):
                    position = stock[where[receipt]]
                    del position.receipts[receipt]
                    position.on_hand += units
                case "send", (source, receipt, target, units, due_ms):
                    stock[source].on_hand -= units
                    where[receipt] = target
                    stock[target].receipts[receipt] = (due_ms, units)
                case "hold", (reservation, parts, short):
                    parts_of[reservation] = parts
                    for part in parts:
                        position = stock[part.key]
                        position.commitments[(reservation, part.line)] = (part.ship_ms, part.units)
                        verdict.promised += part.units
                        verdict.oversold += min(part.units, max(0, -position.lowest(part.ship_ms)))
                    verdict.refused_wrongly += _wrong(stock, short)
                case "refuse", (short,):
                    verdict.refused_wrongly += _wrong(stock, short)
                case "leave", (reservation,):
                    for part in parts_of[reservation]:
                        del stock[part.key].commitments[(reservation, part.line)]
                        stock[part.key].on_hand -= part.units
                        verdict.shipped += part.units
        return verdict


def _wrong(stock: dict[Key, Stock], short: Iterable[Short]) -> int:
    """Counts lines that were told there was too little, although there was enough."""
    wrong = 0
    for line in short:
        free = sum(max(0, stock[key].lowest(line.ship_ms)) for key in line.keys)
        wrong += free > 0 if line.took_all else free >= line.units
    return wrong
