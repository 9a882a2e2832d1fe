"""Versions are rolled out on a live worker: no answer fails or names the wrong version."""

from datetime import timedelta

import grpc
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from bespeak.v1 import compute_pb2 as pb
from serving.rollout.tables import drawn
from serving.worker_ipc import read_table
from tests.serving import rollout_worker
from tests.serving.rollout_worker import CONTEXT, WAIT_S, makers


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with rollout_worker.running_worker(tmp_path_factory.mktemp("rollout"), "local") as one:
        yield one


@pytest.fixture(autouse=True)
def as_before(running):
    assert running.state()[0].active == "scaled@1"
    yield
    rollout_worker.left_as_before(running)


def test_a_version_goes_from_shadow_to_all_and_back_under_load(running):
    rollout_worker.goes_from_shadow_to_all_and_back(running)


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


def test_totals_of_a_canary_are_each_items_own_versions(running):
    def totals(model="scaled"):
        answer = running.worker.forecast(CONTEXT, 7, model=model, quantiles=rollout_worker.LEVELS, totals=[1, 3, 7])
        assert answer.totals_approximate
        return answer, read_table(answer.totals, "totals")

    running.deploy("2", canary=0.3)
    first, second = (totals(f"scaled@{version}")[1] for version in "12")
    answer, merged = totals()
    by_item = makers(answer)
    assert set(by_item.values()) == {"1", "2"}
    chosen = pa.array([by_item[item] == "2" for item in merged["item_id"].to_pylist()])
    assert merged.select(["item_id", "horizon_days"]).equals(first.select(["item_id", "horizon_days"]))
    assert merged.filter(chosen).equals(second.filter(chosen))
    assert merged.filter(pc.invert(chosen)).equals(first.filter(pc.invert(chosen)))


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
    rollout_worker.aborts_by_itself(running, version, condition, said)


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
