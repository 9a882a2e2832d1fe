"""Ends what this process started, whoever its parent is by then. Linux only."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes orphaned grandchildren children of this process, so that none is lost sight of.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot adopt orphaned processes: {os.strerror(code)}")


def descendants(root: int | None = None) -> set[int]:
    """Process ids below this process or another, zombies included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    open_ends = [os.getpid() if root is None else root]
    while open_ends:
        below = children.get(open_ends.pop(), [])
        found.update(below)
        open_ends += below
    return found


def end_descendants(spared: set[int], grace_s: float) -> int:
    """Asks every descendant but the spared to end, then kills, then reaps.

    Returns:
        how many had to be killed.
    """
    _signal(descendants() - spared, signal.SIGTERM)
    if _gone(spared, grace_s):
        return 0
    killed = 0
    # What is killed may leave children behind, which we adopt in turn.
    for _ in range(5):
        left = descendants() - spared
        killed += len(left)
        _signal(left, signal.SIGKILL)
        if _gone(spared, 2.0):
            break
    return killed


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _gone(spared: set[int], patience_s: float) -> bool:
    """Reaps until no descendant but the spared is left, or patience ends."""
    until = time.monotonic() + patience_s
    while left := descendants() - spared:
        for pid in left:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue  # a grandchild: its own parent reaps it
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True
