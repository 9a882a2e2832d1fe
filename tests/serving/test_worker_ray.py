"""What happens to calls and processes when parts of the Ray worker are killed."""

import os
import signal
from pathlib import Path

import grpc
import pytest

from models import Climatology
from serving.worker_processes import descendants
from tests.serving.worker_process import forecast_table, history, worker

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_kills_cost_no_answer_and_leave_no_process(tmp_path):
    context = history(20)
    expected = Climatology().predict(context, None, 7)
    with worker(tmp_path, compute="ray", models=("climatology",)) as one:
        one.await_serving(seconds=240)
        replica = int(one.forecast(context, 7).origin.replica.rpartition(":")[2])
        os.kill(replica, signal.SIGKILL)
        # The next call finds the replica dead or dying, and waits for another.
        answer = one.forecast(context, 7, timeout=120)
        assert forecast_table(answer).equals(expected)
        assert not answer.origin.replica.endswith(f":{replica}")

        below = descendants(one.process.pid)
        (inner,) = (
            int(pid) for pid in Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children").read_text().split()
        )
        os.kill(inner, signal.SIGKILL)
        with pytest.raises(grpc.RpcError):
            one.forecast(context, 7, timeout=10)
        assert one.process.wait(timeout=60) == 128 + signal.SIGKILL
        assert len(below) > 5
        assert not {pid for pid in below if Path(f"/proc/{pid}").exists()}
