"""Versions are rolled out on a live worker, in its process and on Ray: no answer fails or names the wrong version."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bespeak.v1 import compute_pb2 as pb
from serving.rollout.tables import drawn
from tests.serving.outside_model import Versions
from tests.serving.worker_process import forecast_table, history, worker

LEVELS = [0.1, 0.5, 0.9]
CONTEXT = history(60)
FACTORS = {"1": 1.0, "2": 2.0, "slow": 1.0, "failing": 1.0, "crossing": 1.0}
FAULTS = {"slow": {"delay_s": 0.06}, "failing": {"fails": True}, "crossing": {"crosses": True}}
WAIT_S = 60


class Running:
    """A worker and the questions that the tests ask it."""

    def __init__(self, started, mode):
        self.worker = started
        self.compute = started.compute
        self.mode = mode

    def ask(self, context=CONTEXT, model="scaled"):
        return self.worker.forecast(context, 7, model=model, quantiles=LEVELS)

    def deploy(self, version, **fields):
        request = pb.ComputeServiceDeployRequest(model=f"scaled@{version}", **fields)
        return self.compute.Deploy(request, timeout=WAIT_S).rollout

    def promote(self, version):
        return self.compute.Promote(pb.ComputeServicePromoteRequest(model=f"scaled@{version}"), timeout=WAIT_S).rollout

    def rollback(self):
        return self.compute.Rollback(pb.ComputeServiceRollbackRequest(model="scaled"), timeout=WAIT_S).rollout

    def state(self):
        answer = self.compute.Rollouts(pb.ComputeServiceRolloutsRequest(), timeout=WAIT_S)
        (found,) = [one for one in answer.rollouts if one.route == "scaled"]
        return found, {one.version: one for one in answer.loaded if one.name == "scaled"}

    def until(self, told):
        """The state once `told` holds of it."""
        end = time.monotonic() + WAIT_S
        while not told(found := self.state()[0]):
            assert time.monotonic() < end, found
        return found


@pytest.fixture(
    scope="module", params=["local", pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.timeout(300)])]
)
def running(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("rollout")
    with pytest.MonkeyPatch.context() as patch:
        versions = Versions(place, patch)
        for version, factor in FACTORS.items():
            versions.push(version, factor, **FAULTS.get(version, {}))
        versions.registry.promote("scaled@1")
        settings = {"compute": request.param, "models": ("scaled",), "registry": versions.registry.root}
        with worker(place, **settings) as one:
            one.await_serving(seconds=240)
            yield Running(one, request.param)


@pytest.fixture(autouse=True)
def as_before(running):
    """Version 1 answers everything before a test, and after it."""
    assert running.state()[0].active == "scaled@1"
    yield
    found, _ = running.state()
    if found.stage != pb.ROLLOUT_STAGE_NONE:
        running.rollback()
    if found.active != "scaled@1":
        running.rollback()
    found, loaded = running.state()
    assert (found.active, found.stage, set(loaded)) == ("scaled@1", pb.ROLLOUT_STAGE_NONE, {"1"})


def makers(answer, context=CONTEXT):
    """Version by item, as the answer tells it; and every value is that version's."""
    table = forecast_table(answer)
    items = sorted(context["item_id"].unique().to_pylist())
    assert table["item_id"].to_pylist() == [item for item in items for _ in range(7)]
    by_item = dict.fromkeys(items, answer.origin.version)
    if answer.shares:
        rest, chosen = answer.shares
        assert answer.origin.version == f"{rest.origin.version}+{chosen.origin.version}"
        assert (rest.series + chosen.series, chosen.series) == (len(items), len(chosen.item_ids))
        by_item = dict.fromkeys(items, rest.origin.version) | dict.fromkeys(chosen.item_ids, chosen.origin.version)
    last = pc.max(context["timestamp"]).as_py()
    recent = context.filter(pc.greater(context["timestamp"], last - timedelta(days=28)))
    means = recent.group_by("item_id").aggregate([("target", "mean")]).to_pydict()
    level = dict(zip(means["item_id"], means["target_mean"], strict=True))
    expected = np.repeat([level[item] * FACTORS[by_item[item]] for item in items], 7)
    np.testing.assert_allclose(table["mean"], expected, rtol=1e-5)
    np.testing.assert_allclose(table["0.9"], 1.8 * expected, rtol=1e-5)
    return by_item


@contextmanager
def load(running, threads=3):
    """Asks without a pause meanwhile; yields the answers so far. Nothing may fail, and all must be right."""
    answers, failures = [], []
    over = threading.Event()

    def go():
        while not over.is_set():
            try:
                answers.append(makers(running.ask()))
            except (grpc.RpcError, AssertionError) as failure:
                failures.append(failure)

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(go)
        try:
            yield answers
        finally:
            over.set()
    assert not failures, failures[:3]
    assert answers


def more(answers, count=10):
    """Returns once so many more answers have come."""
    wanted = len(answers) + count
    while len(answers) < wanted:
        time.sleep(0)


def test_a_version_goes_from_shadow_to_all_and_back_under_load(running):
    with load(running) as answers:
        shadow = running.deploy("2", shadow=1.0)
        assert (shadow.active, shadow.candidate, shadow.stage) == ("scaled@1", "scaled@2", pb.ROLLOUT_STAGE_SHADOW)
        more(answers)
        assert {version for answer in answers for version in answer.values()} == {"1"}
        canary = running.deploy("2", canary=0.3)
        assert canary.stage == pb.ROLLOUT_STAGE_CANARY
        more(answers)
        promoted = running.promote("2")
        assert (promoted.active, promoted.candidate, promoted.stage) == ("scaled@2", "", pb.ROLLOUT_STAGE_NONE)
        assert set(running.state()[1]) == {"2"}, "the old version has left"
        assert set(makers(running.ask()).values()) == {"2"}
        back = running.rollback()
        assert back.active == "scaled@1"
        assert "answers again all of scaled, after scaled@2" in back.said
        assert set(makers(running.ask()).values()) == {"1"}
    seen = {frozenset(answer.values()) for answer in answers}
    assert seen == {frozenset("1"), frozenset("12"), frozenset("2")}


def test_a_canary_is_sticky_by_item_and_says_who_made_what(running):
    running.deploy("2", canary=0.3)
    items = sorted(CONTEXT["item_id"].unique().to_pylist())
    expected = {item for item, one in zip(items, drawn("scaled@2", items, 0.3), strict=True) if one}
    for _ in range(3):
        by_item = makers(running.ask())
        assert {item for item, version in by_item.items() if version == "2"} == expected
    alone = CONTEXT.filter(pc.equal(CONTEXT["item_id"], min(expected)))
    answer = running.ask(alone)
    assert (answer.origin.version, len(answer.shares)) == ("2", 0)
    running.deploy("2", canary=0.6)
    by_item = makers(running.ask())
    assert {item for item, version in by_item.items() if version == "2"} > expected
    assert running.ask(model="scaled@2").origin.version == "2"
    assert running.ask(model="scaled@1").origin.version == "1"


def test_a_shadow_is_scored_as_truth_comes(running):
    running.deploy("2", shadow=1.0)
    last = pc.max(CONTEXT["timestamp"]).as_py()
    for back in (3, 2, 1, 0):
        running.ask(CONTEXT.filter(pc.less_equal(CONTEXT["timestamp"], last - timedelta(days=back))))
        running.until(lambda one, count=60 * (4 - back): one.score.positions == count)
    # Three days of truth for the first forecast, two for the second, one for the third.
    score = running.until(lambda one: one.score.days_scored == 6 * 60 and one.score.positions == 240).score
    assert score.wql_ratio == pytest.approx(score.wql / score.wql_active)
    assert score.wql_ratio > 1.2, "twice the demand is a worse forecast"
    assert score.promises_changed == 1.0
    assert score.errors == 0
    stopped = running.rollback()
    assert (stopped.active, stopped.candidate) == ("scaled@1", "")
    assert "taken out of shadow" in stopped.said


@pytest.mark.parametrize(
    ("version", "condition", "said"),
    [
        ("slow", "p99_ms > 40", "p99_ms is"),
        ("failing", "", "error_rate is 1, > 0.05"),
        ("crossing", "", "error_rate is 1, > 0.05"),
    ],
)
def test_a_bad_canary_aborts_by_itself_and_costs_no_answer(running, version, condition, said):
    with load(running) as answers:
        running.deploy(version, canary=0.5, abort_if=condition)
        found = running.until(lambda one: one.stage == pb.ROLLOUT_STAGE_ABORTED)
        assert found.candidate == f"scaled@{version}"
        assert f"scaled@{version} was aborted in canary: {said}" in found.said
        more(answers)
    seen = {made for answer in answers for made in answer.values()}
    assert seen == ({"1", "slow"} if version == "slow" else {"1"})
    assert running.rollback().said.startswith(f"the aborted scaled@{version} is put aside")


def test_a_wrong_call_is_not_held_against_the_candidate(running):
    running.deploy("2", canary=1.0)
    for _ in range(12):
        with pytest.raises(grpc.RpcError) as refused:
            running.ask(CONTEXT.set_column(2, "target", pa.array([-1.0] * CONTEXT.num_rows)))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    found, _ = running.state()
    assert (found.stage, found.score.errors) == (pb.ROLLOUT_STAGE_CANARY, 0)


REFUSED = {
    "not stored": (lambda one: one.deploy("9", shadow=1.0), "no scaled@9 in"),
    "no share": (lambda one: one.deploy("2"), "give scaled@2 a shadow or canary share, or promote it"),
    "both": (lambda one: one.deploy("2", shadow=1.0, canary=0.1), "give one"),
    "the active one": (lambda one: one.deploy("1", shadow=1.0), "scaled@1 is the active version of scaled already"),
    "promoted twice": (lambda one: one.promote("1"), "scaled@1 is the active version of scaled already"),
    "a share of 10": (lambda one: one.deploy("2", canary=10), "the share is 10"),
    "no such route": (lambda one: one.deploy("2", shadow=1.0, alias="beta"), "beta has no active version here"),
    "retired in use": (
        lambda one: one.compute.Retire(pb.ComputeServiceRetireRequest(model="scaled@1"), timeout=WAIT_S),
        "scaled@1 is the active version of scaled: roll that back first",
    ),
}


@pytest.mark.parametrize(("act", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused(running, act, said):
    with pytest.raises(grpc.RpcError) as refused:
        act(running)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert said in refused.value.details()


def test_a_second_candidate_is_refused(running):
    running.deploy("2", shadow=1.0)
    with pytest.raises(grpc.RpcError, match="has candidate 2 in shadow"):
        running.deploy("slow", shadow=1.0)
    with pytest.raises(grpc.RpcError, match="there must be one of p50_ms"):
        running.deploy("2", canary=0.5, abort_if="p99 > 1")


def test_killed_replicas_cost_no_answer_under_load(running):
    if running.mode == "local":
        # There is one process; without it the server's fallback answers, see test_public_compute.
        assert running.ask().origin.replica == f"pid:{running.worker.process.pid}"
        return
    running.deploy("2", canary=0.3)
    with load(running) as answers:
        more(answers)
        for model in ("scaled@1", "scaled@2"):
            os.kill(int(running.ask(model=model).origin.replica.rpartition(":")[2]), signal.SIGKILL)
            more(answers)
        more(answers, 20)
