"""A parent that outlives the worker, so that not even kill -9 leaves Ray behind.

    guard (adopts orphans) ── worker ── Ray's daemons ── replicas

When the worker ends, for whatever reason, the guard ends what is left below
it. When the guard is killed, the kernel asks the worker to stop, and the
worker ends its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

from serving.worker_processes import adopt_orphans, descendants, end_descendants

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 3.0


def guard() -> None:
    """Returns in a child process; the calling process waits for it and exits as it did.

    Call it before anything starts threads.
    """
    adopt_orphans()
    spared = descendants()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        # Whatever signals a whole process group below us, such as Ray at its end, must not reach those above us.
        os.setpgid(0, 0)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew what to do then
            os.kill(os.getpid(), signal.SIGTERM)
        return

    def forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    _, status = os.waitpid(child, 0)
    end_descendants(spared, GRACE_SECONDS)
    code = os.waitstatus_to_exitcode(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if code >= 0 else 128 - code)
