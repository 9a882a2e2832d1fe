"""Nothing of Ray outlives a worker, however it ends."""

import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from serving.worker_processes import descendants
from tests.serving.worker_process import worker

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
#: A look that never rests would take a core from the start that it waits for.
LOOK_EVERY_S = 0.2


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def wait_for_end(pid):
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(process) as end:
        select.select([end], [], [])


@pytest.mark.parametrize("killed", ["worker", "guard"])
def test_a_kill_leaves_no_process(tmp_path, killed):
    with worker(tmp_path, compute="ray", models=("climatology",)) as one:
        (inner,) = children(one.process.pid)
        below = set()
        while not any(b"raylet/raylet" in command(pid) for pid in below):
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(LOOK_EVERY_S)
                pytest.fail((tmp_path / "worker.log").read_text())
            below = descendants(one.process.pid)
        os.kill(inner if killed == "worker" else one.process.pid, signal.SIGKILL)
        if killed == "worker":
            assert one.process.wait(timeout=60) == 128 + signal.SIGKILL
        # Without its guard the worker ends its own, once the start under way has ended.
        for pid in below:
            wait_for_end(pid)
