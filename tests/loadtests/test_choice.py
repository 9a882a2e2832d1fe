"""What of the benchmarks is run, before any of it is: rows, parts, and rows for which there is no memory."""

import argparse
import dataclasses

import pytest

from loadtests import measure
from loadtests.machine import available_bytes
from loadtests.parts import ROWS


def chosen(*arguments):
    options, others = measure.parsed(list(arguments))
    return options.only, others


def test_all_parts_are_run_unless_some_are_named():
    assert chosen() == (list(measure.PARTS), [])
    assert chosen("--only", "recovery,grpc", "--passes", "2") == (["recovery", "grpc"], ["--passes", "2"])


def test_a_row_brings_its_part():
    assert chosen("--rows", "check-100k,recovery")[0] == ["engine", "recovery"]
    assert chosen("--rows", "reserve-1,instructions")[0] == ["instructions", "grpc"]


@pytest.mark.parametrize(
    "wrong",
    [["--only", "rust"], ["--only", "engine", "--passes", "2"], ["--only", "python", "--rows", "check-100k"]],
)
def test_what_cannot_be_run_is_said(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        measure.parsed(wrong)
    assert left.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_row_without_memory_is_skipped_and_says_what_it_needs(tmp_path):
    row = dataclasses.replace(next(row for row in ROWS if row.name == "check-10m"), needs_bytes=2**60)
    options = argparse.Namespace(quick=False, repeats=1, core=0)
    (line,) = measure.measure(row, tmp_path, options, measure.Runs(core=0))
    assert (line["kind"], line["row"]) == ("skipped", "check-10m")
    assert line["why"].startswith("it needs 1,099,511,627,776 MiB of memory, ")


def test_rows_of_one_program_share_its_runs(tmp_path):
    program = "import json, time; print(json.dumps({'bench': 'both', 'first': time.monotonic_ns(), 'second': 7}))"
    first = dataclasses.replace(
        next(row for row in ROWS if row.name == "recovery"),
        program=("-c", program),
        bench="both",
        metric="first",
        target="",
        needs_bytes=0,
    )
    second = dataclasses.replace(first, name="second", metric="second")
    other = dataclasses.replace(first, quick=("another",))
    options = argparse.Namespace(quick=True, repeats=2, core=0)
    runs = measure.Runs(core=0)
    measured = [list(measure.measure(row, tmp_path, options, runs)) for row in (first, second, other)]
    assert [[line["kind"] for line in lines] for lines in measured] == [["measured", "measured", "row"]] * 3
    times = [[line["first"] for line in lines[:2]] for lines in measured]
    assert times[0] == times[1], "run once for both"
    assert len({*times[0], *times[2]}) == 4, "each repeat and each other call is a run"
    assert measured[1][2]["median"] == 7


def test_the_memory_that_is_left_is_known():
    assert available_bytes() > 0
