"""A row of the table: what was measured, against what was asked."""

import statistics
from collections.abc import Sequence
from typing import Any

AT_MOST, AT_LEAST = "at_most", "at_least"


def row(
    name: str,
    title: str,
    metric: str,
    ours: str,
    values: Sequence[float],
    *,
    peer: str | None = None,
    sense: str = AT_MOST,
    bound: float | None = None,
) -> dict[str, Any]:
    """The line of a row, in the shape that all rows have: the median of the values counts.

    Args:
        peer: to whom the values are ratios; None when they are none.
        sense: of the bound, `AT_MOST` or `AT_LEAST`.
        bound: what is asked; None where nothing is.
    """
    median = statistics.median(values)
    met = None if bound is None else median <= bound if sense == AT_MOST else median >= bound
    return {
        "kind": "row",
        "row": name,
        "title": title,
        "metric": metric,
        "ours": ours,
        "peer": peer,
        "sense": sense,
        "bound": bound,
        "median": median,
        "min": min(values),
        "max": max(values),
        "met": met,
    }
