"""Rollouts on Ray under load, and replicas that are killed: no answer fails or names the wrong version."""

import os
import signal

import pytest

from tests.serving import rollout_worker
from tests.serving.rollout_worker import load, makers, more

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with rollout_worker.running_worker(tmp_path_factory.mktemp("rollout"), "ray") as one:
        yield one


def test_a_version_goes_from_shadow_to_all_and_back_under_load(running):
    rollout_worker.goes_from_shadow_to_all_and_back(running)


def test_a_slow_canary_aborts_by_itself_and_costs_no_answer(running):
    rollout_worker.aborts_by_itself(running, "slow", "p99_ms > 40", "p99_ms is")


def test_killed_replicas_cost_no_answer_under_load(running):
    running.deploy("2", canary=0.3)
    with load(running) as answers:
        more(answers)
        for model in ("scaled@1", "scaled@2"):
            os.kill(int(running.ask(model=model).origin.replica.rpartition(":")[2]), signal.SIGKILL)
            more(answers)
        # The canary goes on with a replica that took the place of the killed one.
        more(answers, 20)
    assert set(makers(running.ask()).values()) == {"1", "2"}
