"""Whether a model is never worse than what needs no model: seasonal naive and climatology.

The ratio of weighted quantile losses is drawn again in pairs, both models on
the same items (see `models.scores`). A model is no worse where the whole 95 %
interval is at or below 1, worse where the whole of it is above, and else it
is open: other items of this kind could show either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from models.protocol import InputError

REFERENCES = ("seasonal-naive", "climatology")


class Verdict(NamedTuple):
    """One model against one reference: the ratio of losses, and the ends of its interval; None where not known."""

    model: str
    reference: str
    ratio: float | None
    low: float | None
    high: float | None

    @property
    def said(self) -> str:
        """`no worse`, `worse` or `open`."""
        if self.low is None or self.high is None:
            return "open"
        return "no worse" if self.high <= 1.0 else "worse" if self.low > 1.0 else "open"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "verdict": self.said}

    def within(self, ratio_max: float) -> bool:
        """Whether the whole interval is at or below a ratio."""
        return self.high is not None and self.high <= ratio_max


def verdicts(found: Mapping[str, Any]) -> list[Verdict]:
    """Every model that is no reference itself against each reference of the run; `found` is what `compare` gave."""
    return [
        Verdict(row["model"], reference, *row["wql_over"][reference])
        for row in found["models"]
        if row["model"] not in REFERENCES
        for reference in REFERENCES
        if reference in row["wql_over"]
    ]


def must_be_there(models: Sequence[str]) -> None:
    """Refuses models of which no verdict follows.

    Raises:
        InputError: a reference is not among them, or nothing but references.
    """
    if not set(REFERENCES) < set(models):
        raise InputError(
            f"models {list(models)}: a verdict needs {' and '.join(REFERENCES)} and another model, so name each with --model"
        )
