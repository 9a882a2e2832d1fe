"""Verdicts, by a table: what was measured against what was asked for."""

import pytest

from loadtests.slo.file import Objective, Scenario
from loadtests.slo.verdicts import Round, judge


def latency(p50, p99=None, p999=None):
    return {"p50_us": p50, "p99_us": p99 or p50 * 10, "p999_us": p999 or p50 * 100, "max_us": p50 * 1000}


def line(p50=None, failed=0.0, achieved=1.0, refused=None, method="check"):
    summary = {"failed_share": failed, "latency": None if p50 is None else latency(p50)}
    return {"methods": {method: summary, "all": summary}, "achieved_share": achieved, "refused": refused}


def verdict(metric, bound, rounds, method="check"):
    scenario = Scenario("s", 100, {"check": 1}, (Objective(method, metric, bound, 5),))
    (found,) = judge(scenario, rounds)
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
    rounds = [Round({**line(1), "resident_bytes": [1_000, after], "table_bytes": tables})]
    assert verdict("growth", 0.02, rounds).met is met


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
    found = verdict("p50_us", 100, [Round(line(None, refused=LATE)), *ours(80)])
    assert (found.met, found.value) == (True, 80)


def test_a_method_that_was_never_answered_is_not_proven():
    found = verdict("p50_us", 100, [Round(line(10, method="reserve"))])
    assert found.met is None
    assert "no call of check was answered" in found.text()
