"""Which metrics and labels a PromQL expression names. Enough of the language for rules and dashboards of the tree."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
SELECTOR = re.compile(r"\b((?:bespeak|process)[a-z0-9_:]*|up)(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
TEXT = re.compile(r"\"[^\"]*\"")


@dataclass(frozen=True)
class Selector:
    """A metric with the matchers that it is given: label, operator, value."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def plain(expr: str) -> str:
    """The expression without the variables of a dashboard."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


def selectors(expr: str) -> Iterator[Selector]:
    """Yields every metric that the expression reads."""
    for name, inside in SELECTOR.findall(_without_groupings(expr)):
        yield Selector(name, tuple(MATCHER.findall(inside)))


def groupings(expr: str) -> set[str]:
    """Labels that the expression groups by."""
    return {label.strip() for inside in GROUPING.findall(TEXT.sub("", expr)) for label in inside.split(",")}


def _without_groupings(expr: str) -> str:
    return GROUPING.sub("", expr)
