"""Which of several good answers to a promise is given is the engine's choice: here is judged that it was a good one.

Every number is the oracle's: it takes over the parts that were given one by one, and refuses one that another promise
needs. Beside that, by the words of the protocol: a line comes from one location unless it may be split, and then in
parts that are not too small; no more packages than allowed; a line that may come later comes as early as it can; no
more locations than needed where few are wanted; and what could have been had in full is not refused.
"""

from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from types import SimpleNamespace as Record

from tests.oracle.oracle import TIMES


@dataclass(frozen=True)
class Asked:
    """A promise: lines are (item, candidate locations, quantity, ship time, latest ship time)."""

    lines: tuple
    fill: str
    sourcing: str = "IN_ORDER"
    packages: int = 0
    split: int = 0
    customer: str = ""

    @property
    def places(self):
        return self.lines[0][1]

    @property
    def most(self):
        return min(self.packages or len(self.places), len(self.places))

    @property
    def unlimited(self):
        return self.most == len(self.places)

    @property
    def quantities(self):
        return [line[2] for line in self.lines]


def fewest(oracle, asked):
    """How few locations serve every line in full and unsplit at its own time, tried in their order; 0 when none do."""
    smallest = 1 if asked.sourcing == "FEWEST_PACKAGES" or not asked.unlimited else asked.most
    for size in range(smallest, asked.most + 1):
        for some in combinations(asked.places, size):
            lines = [(item, some, *rest) for item, _, *rest in asked.lines]
            if deepcopy(oracle).hold(0, lines, "ALL_OR_NONE", confirm=True)["outcome"] == "FULL":
                return size
    return 0


def judged(oracle, new_id, asked, got):
    """The oracle's answer, once it has taken over the parts given: (location, units, ship time) of each, by line."""
    few, quantities = fewest(oracle, asked), asked.quantities
    taken = [sum(units for _, units, _ in parts) for parts in got]
    whole, some = taken == quantities, any(taken)
    wanted = sum(taken if asked.fill == "PARTIAL" and some else quantities)
    over = oracle.too_many(asked.customer, wanted)
    trial = deepcopy(oracle)
    held = trial.begin(new_id, customer=asked.customer)
    for line, parts in zip(asked.lines, got, strict=True):
        judge_line(trial, held, asked, line, parts, refused=over or (not some and asked.fill != "PARTIAL"))
    used = len({part.location for part in held.parts})
    assert used <= asked.most, f"{used} packages"
    assert not (over and some), "more than the customer may hold"
    assert whole or asked.fill == "PARTIAL" or not some, "a part, where all was asked"
    assert whole or over or not few, f"{few} locations could have served all of it"
    if asked.sourcing == "FEWEST_PACKAGES" and few and some:
        assert used <= few, f"{used} locations where {few} do"
    if not some:
        return {"outcome": "REFUSED", "refusal": "REFUSED", "over": over}
    oracle.reservations[new_id] = held
    return {"outcome": "FULL" if whole else "PARTIAL", "id": new_id, "held": held, "got": got}


def judge_line(trial, held, asked, line, parts, *, refused):
    """One line, after those before it have taken what they were given."""
    item, places, quantity, ship, latest = line
    last = max(ship, latest)
    units = sum(part[1] for part in parts)
    assert units <= quantity
    assert len({place for place, *_ in parts}) == len(parts)
    known = [place for place in places if trial.time_refusal(item, place, ship) not in TIMES]
    if asked.unlimited and not refused:
        times = [trial.earliest(item, place, quantity, ship) for place in known]
        times = [time for time in times if time is not None and time <= last]
        if asked.sourcing == "EARLIEST" and times and not asked.split:
            assert [part[2] for part in parts] == [min(times)], "it could have come earlier"
        if not parts:
            free = max((trial.atp(item, place, ship) for place in known), default=0)
            assert free < max(asked.split, 1), f"{free} units of {item} were there, and none was given"
    for place, amount, when in parts:
        assert place in places
        assert ship <= when <= last
        assert len(parts) == 1 or amount >= asked.split > 0, "a part that is too small"
        assert trial.time_refusal(item, place, when) is None
        assert trial.atp(item, place, when) >= amount, "another promise needs it"
        held.parts.append(Record(item=item, location=place, ship=when, open=amount, fulfilled=0, released=0))
