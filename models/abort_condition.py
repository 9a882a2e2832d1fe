"""Conditions such as `p99_ms > 40 or wql_ratio > 1.05`, parsed by hand.

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "(" condition ")" | NAME compare NUMBER
    compare    = ">" | ">=" | "<" | "<="

Names are those of `NAMES`. A number that is not known yet makes its comparison
false, so nothing is aborted before there is evidence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models.protocol import InputError

#: What a condition may look at, and what it means.
NAMES: dict[str, str] = {
    "p50_ms": "median time of the candidate's answers, milliseconds",
    "p99_ms": "99 % of the candidate's answers took no longer, milliseconds",
    "error_rate": "share of its calls that the candidate failed",
    "wql": "weighted quantile loss of the candidate, where truth has come",
    "wql_ratio": "that loss by the active version's on the same items and days",
    "promises_changed": "share of positions whose units to keep would differ",
}
TEXT_MAX = 500
DEPTH_MAX = 20
TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-z][a-z0-9_]*)|(?P<sign>>=|<=|>|<|\(|\)))")
COMPARE = {
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
}


class ConditionError(InputError):
    """A condition cannot be read; the message says where and what may stand there."""


@dataclass(frozen=True)
class Comparison:
    """`name sign bound`."""

    name: str
    sign: str
    bound: float

    def met(self, known: Mapping[str, float | None]) -> list[str]:
        """The comparisons that hold, as text with their values; empty when it does not."""
        value = known.get(self.name)
        if value is None or not COMPARE[self.sign](value, self.bound):
            return []
        return [f"{self.name} is {value:.4g}, {self.sign} {self.bound:g}"]


@dataclass(frozen=True)
class Joined:
    """Conditions of which one or all must hold."""

    every: bool
    parts: tuple[Comparison | Joined, ...]

    def met(self, known: Mapping[str, float | None]) -> list[str]:
        """See `Comparison.met`."""
        found = [part.met(known) for part in self.parts]
        if self.every and not all(found):
            return []
        return [text for texts in found for text in texts]


Condition = Comparison | Joined


def parse(text: str) -> Condition:
    """Reads a condition.

    Raises:
        ConditionError: it is none.
    """
    if len(text) > TEXT_MAX:
        raise ConditionError(f"the condition has {len(text)} characters: use at most {TEXT_MAX}")
    reader = _Reader(text)
    found = reader.condition(0)
    if reader.token is not None:
        raise reader.wrong("'and', 'or' or the end")
    return found


class _Reader:
    def __init__(self, text: str):
        self._text = text
        self._end = 0
        self._start = 0
        self.token: str | None = None
        self._kind: str | None = None
        self._next()

    def condition(self, depth: int) -> Condition:
        return self._joined("or", lambda: self._joined("and", lambda: self._one(depth)))

    def _joined(self, word: str, read: Callable[[], Condition]) -> Condition:
        parts = [read()]
        while self.token == word:
            self._next()
            parts.append(read())
        return parts[0] if len(parts) == 1 else Joined(word == "and", tuple(parts))

    def _one(self, depth: int) -> Condition:
        if self.token == "(":
            if depth == DEPTH_MAX:
                raise ConditionError(f"the condition has more than {DEPTH_MAX} brackets in each other: use fewer")
            self._next()
            inside = self.condition(depth + 1)
            self._take(self.token == ")", "')'")
            return inside
        name = self._take(self.token in NAMES, f"one of {', '.join(NAMES)}")
        sign = self._take(self.token in COMPARE, f"one of {' '.join(COMPARE)}")
        bound = self._take(self._kind == "number", "a number")
        return Comparison(name, sign, float(bound))

    def _take(self, fits: bool, wanted: str) -> str:  # noqa: FBT001 - read aloud it is a sentence
        if not fits or self.token is None:
            raise self.wrong(wanted)
        taken = self.token
        self._next()
        return taken

    def _next(self) -> None:
        rest = self._text[self._end :]
        if not rest.strip():
            self.token, self._kind, self._start = None, None, len(self._text)
            return
        found = TOKEN.match(rest)
        if found is None:
            at = len(self._text) - len(rest.lstrip())
            raise ConditionError(
                f"the condition {self._text!r} has {rest.strip()[0]!r} at {at + 1}: write it as 'p99_ms > 40 or wql_ratio > 1.05'"
            )
        self._kind = found.lastgroup
        self.token = found[self._kind or 0]
        self._start = self._end + found.end() - len(self.token)
        self._end += found.end()

    def wrong(self, wanted: str) -> ConditionError:
        here = "its end" if self.token is None else repr(self.token)
        return ConditionError(f"the condition {self._text!r} has {here} at {self._start + 1}: there must be {wanted}")
