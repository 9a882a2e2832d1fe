"""Verdicts, by a table: what was measured against what was asked for."""

import pytest

from loadtests.slo.file import Objective, Scenario
from loadtests.slo.verdicts import Round, judge


def latency(p50, p99=None, p999=None):
    return {"p50_us": p50, "p99_us": p99 or p50 * 10, "p999_us": p999 or p50 * 100, "max_us": p50 * 1000}


ON_TIME = {"p50_us": 0, "p99_us": 0, "p999_us": 0}


def line(p50=None, failed=0.0, achieved=1.0, refused=None, method="check", lag=ON_TIME, calls=10_000):
    summary = {"failed_share": failed, "latency": None if p50 is None else latency(p50), "lag": lag, "calls": calls}
    return {
        "methods": {method: summary, "all": summary},
        "achieved_share": achieved,
        "refused": refused,
        "lag_share_max": 0.1,
    }


def verdict(metric, bound, rounds, method="check"):
    scenario = Scenario("s", 100, {"check": 1}, (Objective(method, metric, bound, 5),))
    numbered = [Round({"seed": number, **one.server}, one.echo) for number, one in enumerate(rounds)]
    (found,) = judge(scenario, numbered)
    return found


def ours(*p50s):
    return [Round(line(p50)) for p50 in p50s]


@pytest.mark.parametrize(
    ("metric", "bound", "rounds", "value", "met"),
    [
        ("p50_us", 100, ours(100), 100, True),
        ("p50_us", 99.9, ours(100), 100, False),
        ("p50_us", 100, ours(90, 1000, 95), 95, True),
        ("p50_us", 100, ours(90, 1000, 995), 995, False),
        ("p50_us", 100, ours(90, 130), 110, False),
        ("p99_us", 1000, ours(100), 1000, True),
        ("p999_us", 9_999, ours(100), 10_000, False),
        ("p50_echo", 2, [Round(line(100), line(50))], 2, True),
        ("p50_echo", 2, [Round(line(100), line(49))], 100 / 49, False),
        # The median of the ratios, not the ratio of the medians: 3, 1, 5.
        ("p50_echo", 3, [Round(line(a), line(b)) for a, b in ((30, 10), (100, 100), (50, 10))], 3, True),
        ("p99_echo", 4, [Round(line(100), line(20))], 5, False),
        ("errors", 0.0, [Round(line(1, failed=0.0))], 0, True),
        ("errors", 0.0, [Round(line(1, failed=1e-6))], 1e-6, False),
        ("errors", 0.01, [Round(line(1, failed=f)) for f in (0.5, 0.001, 0.002)], 0.002, True),
        ("achieved", 0.99, [Round(line(1, achieved=0.99))], 0.99, True),
        ("achieved", 0.99, [Round(line(1, achieved=0.98))], 0.98, False),
    ],
)
def test_a_median_on_the_right_side_is_met(metric, bound, rounds, value, met):
    found = verdict(metric, bound, rounds)
    assert found.value == pytest.approx(value)
    assert found.met is met
    assert ("met" in found.text()) is met
    assert ("MISSED" in found.text()) is not met
    assert found.line()["line"] == 5


@pytest.mark.parametrize(
    ("after", "tables", "met"),
    [
        (1_020, [7, 7], True),
        (900, [7, 7], True),
        (1_021, [7, 7], False),
        (1_120, [0, 100], True),
        (1_120, [1, 100], False),
    ],
)
def test_memory_may_grow_by_a_share_of_itself_and_by_its_tables_of_what_was_written_lately(after, tables, met):
    samples = [
        {"at_s": at, "resident_bytes": resident, "table_bytes": table}
        for at, resident, table in ((0, 1_000, tables[0]), (9, after, tables[1]))
    ]
    told = {"resident_bytes": [1_000, after], "table_bytes": tables, "memory": samples, "measure_s": 9}
    assert verdict("growth", 0.02, [Round({**line(1), **told})]).met is met


def memory(sizes):
    """A step of as many moments: medians of its first and last quarter, and all of them."""
    quarter = len(sizes) // 4
    ends = [sorted(part)[len(part) // 2] for part in (sizes[:quarter], sizes[-quarter:])]
    samples = [{"at_s": at, "resident_bytes": size, "table_bytes": 0} for at, size in enumerate(sizes)]
    told = {"resident_bytes": ends, "table_bytes": [0, 0], "memory": samples, "measure_s": len(sizes) - 1}
    return {**line(1), **told}


@pytest.mark.parametrize(
    ("sizes", "growth"),
    [
        # Evenly, and the whole of it: the medians lie three quarters of the time apart.
        ([100_000 + 100 * moment for moment in range(41)], 4_000 / 100_500),
        # A step, which no slope between most pairs sees.
        ([1_000] * 30 + [1_050] * 10, 0.05),
        # What comes and goes is no growth.
        ([1_000, 1_000, 1_000, 1_900] * 10, 0.0),
    ],
)
def test_growth_is_what_is_seen_evenly_or_as_a_step(sizes, growth):
    found = verdict("growth", 0.02, [Round(memory(sizes))])
    assert found.value == pytest.approx(growth, rel=0.01)
    assert "MiB with the tables" in found.text()


@pytest.mark.parametrize(("after", "met"), [(9_000, True), (9_001, False)])
def test_data_may_grow_by_so_many_bytes_a_call(after, met):
    rounds = [Round({**line(1), "data_bytes": [5_000, after], "calls": 10})]
    found = verdict("data_bytes", 400, rounds)
    assert (found.met, found.value) == (met, (after - 5_000) / 10)


LATE = "generator started operations 900 us late"


@pytest.mark.parametrize(
    ("metric", "rounds"),
    [
        ("p99_us", [Round(line(None, refused=LATE))]),
        ("p99_echo", [Round(line(100), line(None, refused=LATE))]),
        ("p99_echo", [Round(line(None, refused=LATE), line(100))]),
    ],
)
def test_what_the_generator_spoiled_is_not_proven(metric, rounds):
    found = verdict(metric, 1e9, rounds)
    assert (found.met, found.value) == (None, None)
    assert found.text().startswith("NOT PROVEN")
    assert LATE in found.text()


def test_errors_and_what_was_achieved_are_known_of_a_late_generator_too():
    late = [Round(line(None, failed=0.2, achieved=0.5, refused=LATE))]
    assert verdict("errors", 0.1, late).met is False
    assert verdict("achieved", 0.9, late).met is False


def test_good_rounds_count_where_others_were_spoiled():
    found = verdict("p50_us", 100, [Round(line(None, refused=LATE)), *ours(80, 80)])
    assert (found.met, found.value) == (True, 80)


def test_a_method_that_was_never_answered_is_not_proven():
    found = verdict("p50_us", 100, [Round(line(10, method="reserve"))])
    assert found.met is None
    assert "no call of check was answered" in found.text()


@pytest.mark.parametrize(
    ("metric", "failed", "met"),
    [("p99_us", 0.01, True), ("p99_us", 0.011, False), ("p50_us", 0.5, True), ("p999_us", 0.011, False)],
)
def test_a_call_that_failed_counts_as_one_that_takes_for_ever(metric, failed, met):
    found = verdict(metric, 1e6, [Round(line(1, failed=failed))])
    assert found.met is met
    assert met or "of the calls of check failed" in found.text()
    assert found.line()["median"] is None or met


def test_a_method_of_which_every_call_failed_is_missed():
    found = verdict("p50_us", 100, [Round(line(None, failed=1.0))])
    assert (found.met, found.value) == (False, None)


LAGGING = {"p50_us": 0, "p99_us": 101, "p999_us": 0}


@pytest.mark.parametrize(
    ("metric", "bound", "rounds", "met"),
    [
        # What the generator was late by is part of what is told: a bound that holds does so without it as well.
        ("p99_us", 1_000, [Round(line(100, lag=LAGGING))], True),
        ("p99_us", 999, [Round(line(100, lag=LAGGING))], None),
        ("p999_us", 999, [Round(line(100, lag=LAGGING))], False),
        # Never better than 50 microseconds.
        ("p99_us", 99, [Round(line(10, lag={"p99_us": 50}))], False),
        # A ratio is of both, and lateness makes them alike.
        ("p99_echo", 9, [Round(line(100, lag=LAGGING), line(50))], None),
        ("p99_echo", 9, [Round(line(100), line(50, lag=LAGGING))], None),
        ("p50_echo", 9, [Round(line(100, lag=LAGGING), line(50, lag=LAGGING))], True),
        # One of three is not half.
        ("p99_us", 999, [Round(line(100, lag=LAGGING)), *ours(100, 100)], False),
    ],
)
def test_what_only_the_generator_may_have_missed_is_not_proven(metric, bound, rounds, met):
    found = verdict(metric, bound, rounds)
    assert found.met is met
    assert met is not None or "the generator itself began calls 101 us late (p99)" in found.text()


def test_fewer_calls_than_a_quantile_needs_prove_nothing():
    found = verdict("p999_us", 1e9, [Round(line(1, calls=1_499))])
    assert found.met is None
    assert "1,499 calls of check were made in a round, 3,000 are needed" in found.text()
    assert verdict("p999_us", 1e9, [Round(line(1, calls=1_500))]).met is True


def test_one_good_round_of_three_proves_nothing():
    late = Round(line(None, refused=LATE))
    found = verdict("p50_us", 100, [late, late, *ours(80)])
    assert found.met is None
    assert "1 of 3 rounds could be used" in found.text()
    assert (found.line()["rounds_used"], found.line()["rounds"]) == (1, 3)
    found = verdict("p50_us", 100, [late, *ours(80, 90)])
    assert found.met is True
    assert "2 of 3 rounds" in found.text()


def test_a_round_that_was_run_again_counts_once():
    scenario = Scenario("s", 100, {"check": 1}, (Objective("check", "p50_us", 100, 5),))
    again = [Round({"seed": 1, **line(None, refused=LATE)}), Round({"seed": 1, **line(80)})]
    (found,) = judge(scenario, again)
    assert (found.met, found.rounds) == (True, (1, 1))
