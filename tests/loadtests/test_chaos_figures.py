"""Figures around an event, against counts by hand and a slow way to the same."""

import json

import numpy as np
import pytest

from loadtests.chaos.figures import LAYOUT, back_s, inside, longest_gap_s, outside, read, summary, timeline, window
from loadtests.chaos.table import judged, table

LEGEND = {"ops": ["check", "reserve", "finish", "supply", "allocate", "forecast"], "codes": ["Unavailable"]}
LEGEND |= {"makers": ["worker climatology@1", "fallback climatology@1"]}
MS = 1_000_000


def calls(tmp_path, rows):
    """Calls of (due in seconds, took in milliseconds, op, outcome, by)."""
    raw = np.zeros(len(rows), LAYOUT)
    for place, (due, took, op, outcome, by) in enumerate(rows):
        raw[place] = (round(due * 1e9), round(took * MS), op, outcome, by, 0)
    raw.tofile(tmp_path / "samples")
    return read(tmp_path / "samples", LEGEND)


def steady(seconds, rate, took_ms):
    """A call in every `1 / rate` seconds, as slow as `took_ms` says of its moment; None is a failure."""
    rows = []
    for number in range(round(seconds * rate)):
        due = number / rate
        took = took_ms(due)
        rows.append((due, 1.0 if took is None else took, 0, 2 if took is None else 0, 0))
    return rows


def test_a_call_is_read_as_it_was_written(tmp_path):
    found = calls(tmp_path, [(0.5, 2, 1, 0, 0), (1.0, 3, 5, 0, 2), (1.5, 1, 1, 1, 0), (2.0, 9, 0, 2, 0)])
    assert found.op.tolist() == ["reserve", "forecast", "reserve", "check"]
    assert found.outcome.tolist() == ["", "", "refused", "Unavailable"]
    assert found.by.tolist() == ["", "fallback climatology@1", "", ""]
    assert found.took.tolist() == pytest.approx([0.002, 0.003, 0.001, np.inf])
    assert found.promises.op.tolist() == ["reserve", "reserve", "check"]


def test_failures_are_counted_by_code_and_their_speed_is_not(tmp_path):
    rows = [(0.001 * n, 5, 0, 0, 0) for n in range(400)] + [(0.4, 0.1, 0, 2, 0)] * 5 + [(0.4, 5, 1, 1, 0)]
    found = summary(calls(tmp_path, rows))
    assert (found["calls"], found["refused"], found["failed"]) == (406, 1, {"Unavailable": 5})
    assert found["p50_us"] == pytest.approx(5_000)
    assert found["p999_us"] is None, "of 401 answers the 99.9th percentile tells nothing"
    assert summary(calls(tmp_path, rows[:200]))["p99_us"] is None


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_ranks_of_sorted_latencies(tmp_path, seed):
    rng = np.random.default_rng(seed)
    took = rng.lognormal(1, 1, 5_000)
    found = summary(calls(tmp_path, [(0.001 * n, ms, 0, 0, 0) for n, ms in enumerate(took)]))
    ranked = sorted(round(ms * MS) for ms in took)
    for name, rank in (("p50_us", 2_500), ("p99_us", 4_950), ("p999_us", 4_995)):
        assert found[name] == pytest.approx(ranked[rank - 1] / 1_000), seed


def test_windows_are_of_calls_that_were_due_in_them(tmp_path):
    found = calls(tmp_path, [(0.9, 500, 0, 0, 0), (1.0, 1, 1, 0, 0), (1.99, 1, 1, 0, 0), (2.0, 1, 5, 0, 1)])
    seen = window(found, [(1.0, 2.0)])
    assert seen["promises"]["calls"] == seen["reserve"]["calls"] == 2
    assert "forecast" not in seen
    assert window(found, [(2.0, 3.0)])["forecast"]["made_by"] == {"worker climatology@1": 1}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_outside_and_inside_is_all_of_it(seed):
    rng = np.random.default_rng(seed)
    begins = rng.uniform(0, 10, 4)
    marks = [(begin, begin + length) for begin, length in zip(begins, rng.uniform(0.1, 3, 4), strict=True)]
    at = rng.uniform(0, 10, 2_000)
    met = inside(at, marks)
    assert (inside(at, outside(marks, 0.0, 10.0)) == ~met).all(), seed
    assert met.tolist() == [any(begin <= one < end for begin, end in marks) for one in at]


@pytest.mark.parametrize(
    ("took_ms", "back"),
    [
        (lambda _: 1.0, 0.0),
        # Slow in the event alone: the first whole second without any of it begins at its end.
        (lambda due: 50.0 if 3 <= due < 4 else 1.0, 1.0),
        (lambda due: 50.0 if 3 <= due < 6 else 1.0, 3.0),
        # Calls that fail have waited for ever.
        (lambda due: None if 3 <= due < 3.5 else 1.0, 0.5),
        (lambda due: 50.0 if due >= 3 else 1.0, None),
        # What was slow before the event is not of it.
        (lambda due: 50.0 if 1 <= due < 2 else 1.0, 0.0),
        # It begins late in the event.
        (lambda due: 50.0 if 3.9 <= due < 4.4 else 1.0, 1.4),
    ],
)
def test_when_all_is_as_it_was(tmp_path, took_ms, back):
    found = back_s(calls(tmp_path, steady(10, 200, took_ms)), [(3.0, 4.0)], 10.0, 0.002)
    assert found is back is None or found == pytest.approx(back, abs=0.11)


def test_the_longest_silence_is_between_answers(tmp_path):
    # Nothing is answered from 3 to 5 s; what fails meanwhile is no answer.
    found = calls(tmp_path, steady(10, 100, lambda due: None if 3 <= due < 5 else 1.0))
    assert longest_gap_s(found, 3.0, 10.0) == pytest.approx(2.01, abs=0.02)
    assert longest_gap_s(found, 0.0, 2.0) == pytest.approx(0.01, abs=0.002)
    # What was due in a stall and is answered at its end is silence all the same.
    stalled = calls(tmp_path, steady(10, 100, lambda due: 1000 * (5 - due) if 3 <= due < 5 else 1.0))
    assert longest_gap_s(stalled, 3.0, 10.0) == pytest.approx(2.0, abs=0.02)


def test_a_timeline_has_every_call_once(tmp_path):
    moments = timeline(calls(tmp_path, steady(5, 100, lambda due: None if 2 <= due < 2.1 else 1.0)), 5.0)
    assert sum(one["answered"] for one in moments) == 490
    assert [round(one["at_s"], 2) for one in moments if one["failed"]] == [2.05]


def chaos(event, ratio, objective=2.0, **more):
    window_ = {"calls": 10, "failed": {}, "p50_us": 1.0, "p99_us": 2.0, "p999_us": None, "max_us": 3.0}
    line = {"kind": "chaos", "event": event, "ratio": ratio, "objective": objective, "refused": None, "sound": True}
    line |= {"windows": {"normal": {"promises": window_}, "during": {"promises": window_}}, "told": {}, "settled": None}
    return line | more


@pytest.mark.parametrize(
    ("ratios", "met", "word"),
    [
        ([1.0, 2.0, 1.5], True, "met"),
        # What must never be more is not proven by a median.
        ([1.0, 5.0, 1.5], None, "NOT PROVEN"),
        ([1.0, 2.5, 3.0], False, "MISSED"),
        ([2.0], True, "met"),
        ([None], None, "NOT PROVEN"),
        ([None, 1.0], True, "met"),
    ],
)
def test_the_median_of_the_rounds_is_judged_and_each_of_them(ratios, met, word):
    lines = [chaos("snapshot", ratio) for ratio in ratios] + [chaos("kill", 99.0, None)]
    (verdict,) = judged(lines)
    assert (verdict["event"], verdict["met"]) == ("snapshot", met)
    drawn = table([*lines, verdict])
    assert f"{word}: snapshot: p99 during it" in drawn
    assert "kill: p99" not in drawn, "nothing is asked of it"
    assert ("; 1 of 3 rounds are above it" in drawn) == (ratios == [1.0, 5.0, 1.5])


def test_an_event_that_makes_calls_fail_has_not_left_them_as_they_were():
    fine = chaos("snapshot", 1.0)
    windows = {
        name: {"promises": {**fine["windows"]["normal"]["promises"], "calls": 1_000, "failed": failed}}
        for name, failed in (("normal", {"UNAVAILABLE": 1}), ("during", {"UNAVAILABLE": 30, "OVERLOADED": 21}))
    }
    lines = [fine, fine, fine | {"windows": windows}]
    (verdict,) = judged(lines)
    assert (verdict["median"], verdict["met"]) == (1.0, False)
    drawn = table([*lines, verdict])
    assert "MISSED: snapshot: p99 during it is 1.00 x normal" in drawn
    assert "5.00% more of the calls failed while it happened" in drawn
    windows["during"]["promises"]["failed"] = {"UNAVAILABLE": 1}
    assert judged(lines)[0]["met"] is True


def test_what_is_not_sound_or_was_left_out_is_said():
    lines = [chaos("kill", 1.0, None, sound=False, account={"why": "writes without a good answer"})]
    drawn = table([*lines, {"kind": "skipped", "event": "ray", "why": "ray is not installed"}])
    assert "NOT SOUND: kill" in drawn
    assert "SKIPPED: ray: ray is not installed" in drawn
    assert json.dumps(lines)
