"""A worker on Ray is asked what a local one is, then rolls out versions under load, and replicas of it are killed: no
answer fails or names the wrong version. All of it on one cluster, as its start is what takes long.
"""

import os
import select
import signal
import time
from pathlib import Path

import pytest

from bespeak.v1 import compute_pb2 as pb
from serving.worker_processes import descendants
from tests.serving import rollout_worker
from tests.serving.rollout_worker import call_that_does_not_end, load, makers, more
from tests.serving.worker_questions import Questions

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
#: Replicas are added by more calls at a time than the other tests make.
SCALING = {
    "forecast_replicas_max": 2,
    "target_ongoing_requests": 6.0,
    "upscale_delay_seconds": 0.5,
    "downscale_delay_seconds": 2.0,
}
SCALED_WITHIN_S = 120
REPLACED_WITHIN_S = 120
#: Of a control call that waits for one that does not end.
SHORT_S = 20
#: A look that never rests would take a core from the start that it waits for.
LOOK_EVERY_S = 0.2


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    place = tmp_path_factory.mktemp("rollout")
    with rollout_worker.running_worker(place, "ray", others=("patch-nano", "climatology"), **SCALING) as one:
        yield one
        below = descendants(one.worker.process.pid)
    # Ray's daemons and replicas end with the worker.
    assert below
    assert not {pid for pid in below if Path(f"/proc/{pid}").exists()}
    assert one.worker.process.returncode == 0


@pytest.fixture
def asked(running):
    return running.worker


class TestRay(Questions):
    """The questions, in replicas."""


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
        # The canary goes on with a replica that takes the place of the killed one; until then the active one answers.
        end = time.monotonic() + SCALED_WITHIN_S
        while set(makers(running.ask()).values()) != {"1", "2"}:
            assert time.monotonic() < end, running.state()
            running.rest()
        more(answers, 20)


def test_what_has_taken_effect_is_not_called_undone(running):
    running.deploy("2", shadow=1.0)
    with call_that_does_not_end(running, "1") as let_go:
        request = pb.ComputeServicePromoteRequest(model="scaled@2")
        done = running.compute.Promote(request, timeout=SHORT_S).rollout
        assert (done.active, done.stage) == ("scaled@2", pb.ROLLOUT_STAGE_NONE)
        assert running.registry.show("scaled").version == "2"
        assert set(makers(running.ask()).values()) == {"2"}
        let_go()
    running.rollback()
    assert set(makers(running.ask()).values()) == {"1"}


def pid_of(replica):
    return int(replica.rpartition(":")[2])


def test_a_replica_whose_model_breaks_under_load_is_replaced_and_costs_no_answer(running):
    rollout_worker.left_as_before(running)
    with load(running) as answers:
        more(answers)
        broken = running.ask().origin.replica
        running.breaks.touch()
        end = time.monotonic() + REPLACED_WITHIN_S
        while running.ask().origin.replica == broken:
            assert time.monotonic() < end, f"{broken} still answers"
        more(answers)
    assert not running.breaks.exists()


def test_a_replica_whose_model_breaks_while_nobody_asks_is_replaced(running):
    rollout_worker.left_as_before(running)
    broken = pid_of(running.ask().origin.replica)
    running.breaks.touch()
    end = time.monotonic() + REPLACED_WITHIN_S
    # Only Serve's own check asks the model, finds it broken, and ends the replica.
    while Path(f"/proc/{broken}/cmdline").exists() and Path(f"/proc/{broken}/cmdline").read_bytes():
        assert time.monotonic() < end, f"process {broken} is still there, file taken: {not running.breaks.exists()}"
        select.select([], [], [], LOOK_EVERY_S)
    assert not running.breaks.exists()
    assert set(makers(running.ask()).values()) == {"1"}


def test_replicas_are_added_while_calls_queue_and_taken_away_after(running):
    rollout_worker.left_as_before(running)
    with load(running, threads=24) as answers:
        end = time.monotonic() + SCALED_WITHIN_S
        who = set()
        while len(who) < 2:
            assert time.monotonic() < end, f"only {who} answers {len(answers)} calls, 24 at a time"
            who.add(running.ask().origin.replica)
            running.rest()
        assert running.state()[1]["1"].replicas == 2, "as many as are allowed"
        more(answers)
    end = time.monotonic() + SCALED_WITHIN_S
    while (left := running.state()[1]["1"].replicas) != 1:
        assert time.monotonic() < end, f"{left} replicas although nobody asks"
        running.rest()
    # Which of the two went costs no answer.
    assert set(makers(running.ask()).values()) == {"1"}
