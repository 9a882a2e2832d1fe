"""The section of the page, and what is told of sources and of calls under way."""

import re

import numpy as np
import pytest

from loadtests.chaos.figures import Calls
from loadtests.chaos.measure import _as_before, _met
from loadtests.chaos.page import section
from loadtests.slo.page import page


def calls(rows):
    """Calls of (due, waited, op, by); all are answered."""
    due, waited, op, by = zip(*rows, strict=True)
    took = np.array(waited, float)
    blank = np.array([""] * len(due))
    return Calls(np.array(due, float), took, took, np.array(op), blank, np.array(by))


def moment(at, answered, failed=0):
    latencies = {"p50_us": 900.0, "p99_us": 3000.0, "max_us": 9000.0} if answered else {}
    return {"at_s": at, "answered": answered, "failed": failed} | latencies


def line(**more):
    window = {
        "calls": 10,
        "failed": {"NoConnection": 7},
        "p50_us": 900.0,
        "p99_us": 3e3,
        "p999_us": None,
        "max_us": 9e3,
    }
    moments = [moment(0.5, 10), moment(1.5, 0, 7), moment(2.5, 0, 7), moment(3.5, 10), moment(4.5, 10)]
    found = {"kind": "chaos", "event": "kill", "title": "engine <killed>", "seconds": 5.0, "ratio": 3.0, "sound": True}
    found |= {"marks": [{"name": "kill -9", "begin_s": 1.0, "end_s": 3.0}], "told": {"serving_after_s": 1.9}}
    found |= {"windows": {"normal": {"promises": window}, "during": {"promises": window}}, "timeline": moments}
    return found | {"settled": None, "objective": None, "refused": None, "back_s": 2.5, "gap_s": 2.1} | more


def test_without_events_there_is_no_section():
    assert section([{"kind": "step"}]) == ""
    assert "something happens" not in page([])


def test_an_event_is_shown_with_its_figures_and_nothing_is_drawn_over_silence():
    made = section([line()])
    assert "engine &lt;killed&gt;" in made
    assert "7 NoConnection" in made
    assert ">kill -9</text>" in made
    assert "2.50 s" in made
    latency = made.split("<figure>")[1]
    # Three lines, each in two parts: before the silence and after it.
    points = [path.split() for path in re.findall(r'points="([^"]+)"', latency)]
    assert [len(path) for path in points] == [1, 2] * 3
    assert section([line()]) in page([line()])


def test_names_of_events_that_are_near_are_left_out():
    near = [{"name": "roll", "begin_s": at, "end_s": at + 0.1} for at in (1.0, 1.2, 3.0)]
    made = section([line(marks=near)])
    assert made.split("<figure>")[1].count(">roll</text>") == 2
    assert made.split("<figure>")[1].count('class="event"') == 3


def test_verdicts_and_what_was_left_out_are_said():
    verdict = {
        "kind": "chaos_verdict",
        "event": "roll",
        "bound": 2.0,
        "median": 3.1,
        "min": 2.0,
        "max": 4.0,
        "met": False,
    }
    made = section([line(), verdict, {"kind": "skipped", "event": "ray", "why": "ray is not installed"}])
    assert "<li class='missed'>MISSED: roll: p99 during it is 3.10 x normal" in made
    assert "ray was left out: ray is not installed" in made


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        (["worker", "worker", "worker", "worker"], 0.0),
        (["worker", "fallback", "fallback", "worker"], 2.1),
        (["worker", "fallback", "fallback", "fallback"], None),
    ],
)
def test_when_the_worker_answers_again(sources, told):
    # A single answer of another before the event is not what is usual.
    rows = [(0.1, 0.1, "worker"), (0.2, 0.1, "fallback")] + [(float(at), 0.1, by) for at, by in enumerate(sources)]
    asked = calls([(due, waited, "forecast", by) for due, waited, by in rows])
    assert _as_before(asked, 1.0) == {"forecast": pytest.approx(told)}


def test_a_call_that_an_event_meets_under_way_is_of_the_event():
    asked = calls(
        [(0.5, 0.1, "check", ""), (0.9, 0.2, "check", ""), (0.95, 0.01, "check", ""), (1.5, 0.1, "check", "")]
    )
    assert _met(asked, 1.0) == 0.9
    assert _met(asked, 1.45) == 1.45
