"""Conditions, the drawing of items, splitting and scoring, each against a second way to the same."""

import math
import random

import numpy as np
import pyarrow as pa
import pytest

from models import Climatology
from models.abort_condition import NAMES, ConditionError, parse
from serving.deployments.jobs import ForecastJob
from serving.rollout import tables
from serving.rollout.scoring import Scoreboard, units_to_keep
from serving.worker_ipc import TableError, read_table, write_table
from tests.serving.worker_process import as_ipc, history

LEVELS = (0.1, 0.5, 0.9)


@pytest.mark.parametrize(
    ("text", "known", "met"),
    [
        ("p99_ms > 40", {"p99_ms": 41.0}, True),
        ("p99_ms > 40", {"p99_ms": 40.0}, False),
        ("p99_ms >= 40", {"p99_ms": 40.0}, True),
        ("p99_ms>40 or wql_ratio>1.05", {"p99_ms": 1.0, "wql_ratio": 1.06}, True),
        ("p99_ms > 40 and wql_ratio > 1.05", {"p99_ms": 50.0, "wql_ratio": 1.0}, False),
        ("error_rate > 0.5 or p50_ms > 1 and wql < 2", {"error_rate": 0.9, "p50_ms": 0.0}, True),
        ("(error_rate > 0.5 or p50_ms > 1) and wql < 2", {"error_rate": 0.9, "wql": 3.0}, False),
        ("wql_ratio > 1.05", {}, False),
        ("wql_ratio <= 1.05", {"wql_ratio": None}, False),
    ],
)
def test_a_condition_is_met_or_not(text, known, met):
    assert bool(parse(text).met(known)) == met


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has its end at 1"),
        ("p99 > 40", "has 'p99' at 1: there must be one of p50_ms"),
        ("p99_ms > ", "has its end at 10: there must be a number"),
        ("p99_ms = 40", "has '=' at 8"),
        ("p99_ms > 40 wql > 1", "has 'wql' at 13: there must be 'and', 'or' or the end"),
        ("(p99_ms > 40", "there must be ')'"),
        ("__import__('os')", "has '_' at 1"),
        ("p99_ms > 40; wql > 1", "has ';' at 12"),
        ("(" * 21 + "wql > 1" + ")" * 21, "more than 20 brackets"),
        ("wql > 1 or " * 60 + "wql > 1", "has 667 characters"),
    ],
)
def test_what_is_no_condition_says_where(text, said):
    with pytest.raises(ConditionError) as refused:
        parse(text)
    assert said in str(refused.value)


def test_conditions_mean_what_python_means():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)

    def condition(depth):
        if depth == 0 or draw.random() < 0.3:
            return f"{draw.choice(list(NAMES))} {draw.choice(['<', '<=', '>', '>='])} {draw.randrange(4)}"
        word = draw.choice(["and", "or"])
        parts = [condition(depth - 1) for _ in range(draw.randrange(1, 4))]
        return "(" + f" {word} ".join(parts) + ")" if draw.random() < 0.7 else f" {word} ".join(parts)

    for _ in range(500):
        text = condition(draw.randrange(4))
        known = {name: float(draw.randrange(4)) for name in NAMES}
        assert bool(parse(text).met(known)) == eval(text, {"__builtins__": {}}, known), (text, known)


def test_a_share_is_drawn_by_item_and_grows():
    items = [f"item-{number}" for number in range(20_000)]
    tenth, half = tables.drawn("m@2", items, 0.1), tables.drawn("m@2", items, 0.5)
    assert (tenth == tables.drawn("m@2", items, 0.1)).all()
    assert not (tenth & ~half).any()
    # Five standard errors of a fair draw.
    assert abs(tenth.mean() - 0.1) < 5 * math.sqrt(0.09 / 20_000)
    both = (tenth & tables.drawn("m@3", items, 0.1)).mean()
    assert abs(both - 0.01) < 5 * math.sqrt(0.0099 / 20_000)
    assert tables.drawn("m@2", items, 1.0).all()


@pytest.mark.parametrize("encoded", [False, True])
def test_a_split_request_merges_to_the_whole(encoded):
    context = history(200)
    if encoded:
        context = context.set_column(0, "item_id", context["item_id"].dictionary_encode())
    future = pa.table({"item_id": context["item_id"].unique().cast(pa.string()), "promotion": [1.0] * 200})
    job = ForecastJob("", as_ipc(context), as_ipc(future), 7, LEVELS, None)
    cut = tables.split(job, "m@2", 0.3)
    sides = [read_table(side.context, "context") for side in (cut.active, cut.candidate)]
    assert sum(side.num_rows for side in sides) == context.num_rows
    assert sorted(sides[1]["item_id"].unique().to_pylist()) == cut.items
    assert sorted(read_table(cut.candidate.future, "future")["item_id"].to_pylist()) == cut.items
    parts = [write_table(Climatology().predict(side, None, 7, LEVELS)) for side in sides]
    assert read_table(tables.merge(parts), "forecast").equals(Climatology().predict(context, None, 7, LEVELS))


def test_a_request_on_one_side_is_left_as_it_is():
    job = ForecastJob("", as_ipc(history(3)), b"", 7, LEVELS, None)
    assert tables.split(job, "m@2", 1.0).candidate is job
    assert tables.split(job, "m@2", 1e-12) == tables.Split(job, None, [])


SOUND = Climatology().predict(history(4), None, 7, LEVELS)
ITEMS = sorted(set(SOUND["item_id"].to_pylist()))


def other(name, change):
    column = SOUND[name].to_pylist()
    return SOUND.set_column(SOUND.column_names.index(name), name, pa.array(change(column), SOUND[name].type))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (SOUND.slice(0, 27), "27 rows"),
        (SOUND.slice(7), "21 rows of 3 items"),
        (SOUND.drop_columns(["0.5"]), "has columns"),
        (other("mean", lambda values: [-1.0, *values[1:]]), "negative"),
        (other("0.9", lambda values: [math.inf, *values[1:]]), "infinite"),
        (other("0.1", lambda values: [value + 1e3 for value in values]), "cross"),
        (other("timestamp", lambda days: [days[1], *days[1:]]), "7 days in a row"),
        (other("item_id", lambda items: ["x" if item == ITEMS[0] else item for item in items]), "of each item asked"),
    ],
)
def test_an_unsound_answer_is_seen(table, said):
    with pytest.raises(TableError, match=said):
        tables.arrays(write_table(table), 7, LEVELS, ITEMS)


def answered(items, first_day, values):
    """An answer with the same values for all items: values (horizon, 1 + levels)."""
    shaped = np.repeat(np.asarray(values, float)[None], len(items), axis=0)
    return tables.Answered(items, np.full(len(items), first_day), shaped[:, :, 0], shaped[:, :, 1:], LEVELS)


def rows(items, day, sold, stockout=0.0):
    days = np.full(len(items), day).astype("datetime64[D]")
    return as_ipc(pa.table({"item_id": items, "timestamp": days, "target": sold, "stockout": [stockout] * len(items)}))


def test_the_loss_is_the_weighted_quantile_loss():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    items = [f"i{number}" for number in range(60)]
    board = Scoreboard(0.9, 7)
    both = [np.sort(rng.uniform(0, 9, (3, 1 + len(LEVELS))), axis=1) for _ in range(2)]
    board.compare(*(answered(items, 100, values) for values in both))
    sold = rng.poisson(4.0, (3, 60)).astype(float)
    for step in range(2):
        board.truth(rows(items, 100 + step, sold[step]))
    board.truth(rows(items, 100, sold[2]))  # told again, otherwise: the first word counts
    board.truth(rows(items, 102, sold[2], stockout=0.5))  # hidden demand
    board.truth(rows(items, 99, sold[2]))  # before
    board.truth(rows(items, 103, sold[2]))  # beyond
    expected = []
    for values in both:
        loss = 0.0
        for step in range(2):
            for units in sold[step]:
                for level, quantile in zip(LEVELS, values[step, 1:].astype(np.float32).astype(float), strict=True):
                    loss += 2.0 / len(LEVELS) * (level if units >= quantile else level - 1.0) * (units - quantile)
        expected.append(loss / sold[:2].sum())
    found = board.numbers()
    assert board.days_scored == 120
    assert found["wql_active"] == pytest.approx(expected[0])
    assert found["wql"] == pytest.approx(expected[1])
    assert found["wql_ratio"] == pytest.approx(expected[1] / expected[0])


def test_little_evidence_is_none():
    board = Scoreboard(0.9, 7)
    assert set(board.numbers().values()) == {None}
    for _ in range(20):
        board.answered(0.01)
    board.failed()
    found = board.numbers()
    assert found["p50_ms"] == pytest.approx(10.0)
    assert found["error_rate"] == pytest.approx(1 / 21)
    assert found["wql_ratio"] is None


def test_units_to_keep_are_whole_and_cover_the_days():
    # Two days of mean 4 and 3, quantiles 3 and 4 above: 7 + sqrt(9 + 16) = 12.
    answer = answered(["a"], 100, [[4.0, 1.0, 4.0, 7.0], [3.0, 1.0, 3.0, 7.0], [9.0, 9.0, 9.0, 9.0]])
    assert units_to_keep(answer, 0.9, 2).tolist() == [12.0]
    assert units_to_keep(answer, 0.5, 2).tolist() == [7.0]
    assert units_to_keep(answer, 0.99, 2).tolist() == [12.0]  # the last level there is
    assert units_to_keep(answer, 0.9, 30).tolist() == [21.0]


def test_promises_change_when_a_unit_does():
    items = [f"i{number}" for number in range(50)]
    board = Scoreboard(0.9, 7)
    board.compare(answered(items, 100, [[4.0, 1.0, 4.0, 7.0]]), answered(items, 100, [[4.0, 1.0, 4.0, 6.9]]))
    assert board.numbers()["promises_changed"] == 0.0
    board.compare(answered(items, 101, [[4.0, 1.0, 4.0, 7.0]]), answered(items, 101, [[4.0, 1.0, 4.0, 7.1]]))
    assert board.numbers()["promises_changed"] == 0.5
