"""A worker that computes in its own process, asked through real gRPC. One on Ray is asked the same in test_rollout_ray.py."""

import pytest

from serving.worker_processes import descendants
from tests.serving.worker_process import worker
from tests.serving.worker_questions import Questions


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    with worker(tmp_path_factory.mktemp("worker"), compute="local", models=("patch-nano", "climatology")) as one:
        one.await_serving(seconds=240)
        yield one
        assert descendants(one.process.pid) == set()
    assert one.process.returncode == 0


class TestLocal(Questions):
    """The questions, in the process that was asked."""
