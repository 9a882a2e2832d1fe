"""A live worker with versions of a model from outside the tree, questions to it, and load on it."""

import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta

import grpc
import numpy as np
import pyarrow.compute as pc
import pytest

from bespeak.v1 import compute_pb2 as pb
from tests.serving.outside_model import Versions
from tests.serving.worker_process import forecast_table, history, worker

LEVELS = [0.1, 0.5, 0.9]
CONTEXT = history(60)
FACTORS = {"1": 1.0, "2": 2.0, "slow": 1.0, "failing": 1.0, "crossing": 1.0}
FAULTS = {"slow": {"delay_s": 0.06}, "failing": {"fails": True}, "crossing": {"crosses": True}}
WAIT_S = 60
#: A look that never rests would take a core from what it waits for.
LOOK_EVERY_S = 0.05


class Running:
    """A worker and the questions that the tests ask it."""

    def __init__(self, started, mode, place, registry):
        self.worker = started
        self.compute = started.compute
        self.mode = mode
        self.registry = registry
        #: A file that breaks the next model that is asked.
        self.breaks = place / "break"
        #: A file that holds what its version was asked.
        self.waits = place / "wait"

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
            self.rest()
        return found

    def rest(self):
        """Between two looks: a worker that ends meanwhile ends the wait."""
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the worker ended with {self.worker.process.wait(LOOK_EVERY_S)}")


class Answers(list):
    """The answers so far. Whoever adds one wakes whoever waits for more."""

    def __init__(self):
        super().__init__()
        self._come = threading.Condition()

    def add(self, answer):
        with self._come:
            self.append(answer)
            self._come.notify_all()

    def wait_for(self, count):
        with self._come:
            self._come.wait_for(lambda: len(self) >= count)


@contextmanager
def running_worker(place, compute, others=(), **more_settings):
    """A worker that serves `scaled`, of which version 1 is in production, and before it the others."""
    with pytest.MonkeyPatch.context() as patch:
        versions = Versions(place, patch)
        for version, factor in FACTORS.items():
            files = {"breaks": str(place / "break"), "waits": str(place / "wait")}
            versions.push(version, factor, **files, **FAULTS.get(version, {}))
        versions.registry.promote("scaled@1")
        settings = {"compute": compute, "models": (*others, "scaled"), "registry": versions.registry.root}
        with worker(place, metrics_address="127.0.0.1:0", **settings, **more_settings) as one:
            one.await_serving(seconds=240)
            yield Running(one, compute, place, versions.registry)


@contextmanager
def call_that_does_not_end(running, version):
    """Yields a function that lets the call go, while a call of the version is under way. It must be right."""
    come = running.waits.with_name("wait.come")
    come.unlink(missing_ok=True)
    running.waits.write_text(version)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(running.ask, CONTEXT, f"scaled@{version}")

        def let_go():
            assert not asked.done(), "it was under way until here"
            running.waits.unlink()
            makers(asked.result())

        try:
            while not come.exists():
                assert not asked.done(), asked.result()
                running.rest()
            yield let_go
        finally:
            running.waits.unlink(missing_ok=True)


def left_as_before(running):
    """Takes back what a test left: version 1 answers everything."""
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
    answers, failures = Answers(), []
    over = threading.Event()

    def go():
        while not over.is_set():
            try:
                answers.add(makers(running.ask()))
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
    answers.wait_for(len(answers) + count)


def goes_from_shadow_to_all_and_back(running):
    """Shadow, canary, all, and back, while questions are asked."""
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


def aborts_by_itself(running, version, condition, said):
    """A bad canary ends, and costs no answer."""
    with load(running) as answers:
        running.deploy(version, canary=0.5, abort_if=condition)
        found = running.until(lambda one: one.stage == pb.ROLLOUT_STAGE_ABORTED)
        assert found.candidate == f"scaled@{version}"
        assert f"scaled@{version} was aborted in canary: {said}" in found.said
        more(answers)
    seen = {made for answer in answers for made in answer.values()}
    assert seen == ({"1", "slow"} if version == "slow" else {"1"})
    assert running.rollback().said.startswith(f"the aborted scaled@{version} is put aside")
