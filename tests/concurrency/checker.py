"""Decides whether a concurrent history of one position could have happened one step at a time.

The search is that of Wing and Gong (1993), with the memory of Lowe (2017): take any operation that began before
every other unfinished one had ended, see whether the sequential specification allows its answer, and go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Operation:
    """One call as its caller saw it.

    Attributes:
        kind: what was asked.
        quantity: units reserved or released; 0 for a check.
        held: whether a reserve got all its units.
        available: what a check or a refused reserve was told; None where the answer tells nothing.
        began_ns, ended_ns: when the call was made and when its answer was there, one clock for all.
    """

    kind: Literal["reserve", "release", "check"]
    quantity: int
    held: bool
    available: int | None
    began_ns: int
    ended_ns: int


def _after(operation: Operation, available: int) -> int | None:
    """Units available after the operation, or None when its answer would have been wrong."""
    if operation.available is not None and operation.available != available:
        return None
    if operation.kind == "check":
        return available
    if operation.kind == "release":
        return available + operation.quantity
    if operation.held:
        return available - operation.quantity if operation.quantity <= available else None
    return available if operation.quantity > available else None


def is_linearizable(history: Sequence[Operation], stock: int) -> bool:
    """Whether some order, in which no call comes after one that began once it had ended, explains all answers."""
    dead_ends: set[tuple[int, int]] = set()
    everything = (1 << len(history)) - 1
    stack = [(0, stock)]
    while stack:
        done, available = stack.pop()
        if done == everything:
            return True
        if (done, available) in dead_ends:
            continue
        dead_ends.add((done, available))
        left = [n for n in range(len(history)) if not done >> n & 1]
        first_end = min(history[n].ended_ns for n in left)
        for n in left:
            if history[n].began_ns > first_end:
                continue
            after = _after(history[n], available)
            if after is not None:
                stack.append((done | 1 << n, after))
    return False
