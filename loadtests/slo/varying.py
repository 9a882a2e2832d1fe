"""What else the highest rate is looked for with: one setting changed at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from loadtests.slo.file import CHOICES, Scenario, Server, Slo, WrongSlo, with_server

SUFFIXES = {"k": 1_000, "M": 1_000_000}
OF_SERVER = ("positions", "receipts", "commitments", "durability", "tls")
OF_SCENARIO = ("lines", "orders", "series", "connections", "streams", "keys", "transport")
POSITION_BYTES = 1_150
RECEIPT_BYTES = 480
COMMITMENT_BYTES = 170
"""Resident bytes of a position, of each receipt and each commitment, rounded up, with the second state of a snapshot and of the proof at
the end. Measured: 4.4 KB of 1,000,000 positions with 4 and 8, 1.7 KB of 10,000,000 with 1 and 1."""


@dataclass(frozen=True)
class Variant:
    """A search with one setting changed; both empty for the one as the file says."""

    name: str
    value: str
    slo: Slo
    scenario: Scenario

    @property
    def label(self) -> str:
        """What is changed, for a reader."""
        return f"{self.name} {self.value}" if self.name else "as the file says"

    @property
    def needs_bytes(self) -> int:
        """Memory that the server takes when it is filled, makes a snapshot and proves its account."""
        return filled_bytes(self.slo.server)


def filled_bytes(server: Server) -> int:
    """Memory of a server that is filled, makes a snapshot and proves its account; the machine must have it."""
    each = POSITION_BYTES + RECEIPT_BYTES * server.receipts + COMMITMENT_BYTES * server.commitments
    return server.positions * each


def variants(slo: Slo, scenario: Scenario, varied: list[str]) -> Iterator[Variant]:
    """Yields the search itself, then one for each value of each `name=value,…`.

    Raises:
        WrongSlo: there is no such setting, or it has no such value.
    """
    yield Variant("", "", slo, scenario)
    for text in varied:
        name, given, values = text.partition("=")
        if not given or name not in (*OF_SERVER, *OF_SCENARIO):
            raise WrongSlo(f"--vary {text}: give name=value,… with one of {', '.join((*OF_SERVER, *OF_SCENARIO))}")
        for value in values.split(","):
            yield _variant(slo, scenario, name, value)


def _variant(slo: Slo, scenario: Scenario, name: str, value: str) -> Variant:
    kind: Any = Server if name in OF_SERVER else Scenario
    default = next(field.default for field in fields(kind) if field.name == name)
    parsed = _parsed(name, value, default)
    if name in OF_SERVER:
        return Variant(name, value, with_server(slo, **{name: parsed}), scenario)
    return Variant(name, value, slo, replace(scenario, **{name: parsed}))


def _parsed(name: str, value: str, default: object) -> Any:
    allowed = {**CHOICES, "tls": ("false", "true")}.get(name)
    if allowed and value not in allowed:
        raise WrongSlo(f"--vary {name}={value}: choose from {', '.join(allowed)}")
    if isinstance(default, bool):
        return value == "true"
    if not isinstance(default, int):
        return value
    number, factor = (value[:-1], SUFFIXES[value[-1]]) if value[-1:] in SUFFIXES else (value, 1)
    if not number.isdigit() or not int(number):
        raise WrongSlo(f"--vary {name}={value}: give a whole number above 0, such as 100k or 1M")
    return int(number) * factor
