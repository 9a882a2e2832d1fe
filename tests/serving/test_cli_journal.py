"""`journal` on the journal of a real engine, whole and damaged."""

import json

import pytest

from bespeak import Engine, Item, Location, ReserveLine
from tests.serving.cli_process import call, run


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory with a journal of a few records and one snapshot."""
    place = tmp_path_factory.mktemp("journal")
    with Engine(place / "journal", actor="test") as engine:
        engine.put_item(Item("tea"))
        engine.put_location(Location("ams1"))
        engine.set_on_hand("tea", "ams1", 20)
        engine.snapshot()
        engine.reserve([ReserveLine("tea", "ams1", 5)], order_ref="o-1", confirm=True)
    return place


def test_verify_reads_all_and_finds_it_whole(written):
    told = run("journal", "verify", "journal", "--json", cwd=written)
    report = json.loads(told.stdout)
    assert told.returncode == 0
    assert (report["records"] >= 4, report["torn_bytes"], len(report["snapshots"])) == (True, 0, 1)
    assert "whole:" in call("journal", "verify", "journal", cwd=written).stdout


def test_stats_count_events(written):
    found = json.loads(run("journal", "stats", "journal", "--json", cwd=written).stdout)
    assert found["events"]["held"] == 1
    assert found["events"]["counted"] == 1
    assert found["records"] == found["newest_revision"]
    shown = call("journal", "stats", "journal", cwd=written).stdout
    assert "newest revision" in shown
    assert "item_put" in shown


def test_dump_writes_a_record_a_line(written):
    lines = [json.loads(line) for line in run("journal", "dump", "journal", cwd=written).stdout.splitlines()]
    assert [line["revision"] for line in lines] == list(range(1, len(lines) + 1))
    held = next(line for line in lines if "Held" in json.dumps(line["events"]))
    assert held["meta"]["actor"] == "test"
    assert len(held["meta"]["request_id"]) == 36
    part = call("journal", "dump", "journal", "--from", 2, "--limit", 1, cwd=written).stdout
    assert json.loads(part)["revision"] == 2


def test_a_copy_can_be_brought_back_to_an_earlier_revision(written, tmp_path):
    made = json.loads(run("journal", "backup", tmp_path / "b", "--data", "journal", "--json", cwd=written).stdout)
    assert call("journal", "verify", tmp_path / "b", cwd=written).stdout.startswith("whole: backup")
    ran = run("journal", "restore", tmp_path / "b", tmp_path / "r", "--revision", 3, "--json", cwd=written)
    assert json.loads(ran.stdout)["left_out"] == made["revision"] - 3
    with Engine(tmp_path / "r") as engine:
        assert engine.check("tea", "ams1").available == 20
    whole = call("journal", "restore", tmp_path / "b", tmp_path / "whole", cwd=written).stdout
    beside = {file.name: file.read_bytes() for file in (written / "journal/demand").iterdir()}
    assert f"{len(beside)} files of demand history, forecasts and networks beside it" in whole
    assert {file.name: file.read_bytes() for file in (tmp_path / "whole/demand").iterdir()} == beside
    again = call("journal", "restore", tmp_path / "b", tmp_path / "r", cwd=written)
    assert again.returncode == 1
    assert "is not empty" in again.stderr


def test_damage_is_named_with_its_segment_and_offset(written, tmp_path):
    call("journal", "backup", tmp_path / "b", "--data", "journal", cwd=written)
    call("journal", "restore", tmp_path / "b", tmp_path / "r", cwd=written)
    segment = min(
        file for file in (tmp_path / "r").iterdir() if file.is_file() and file.suffix not in (".tmp", ".snap")
    )
    content = bytearray(segment.read_bytes())
    place = content.index(b"ams1")
    content[place] ^= 1
    segment.write_bytes(content)
    told = call("journal", "verify", tmp_path / "r", cwd=written)
    assert told.returncode == 1
    assert f"{segment.name} is damaged at offset" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("command", ["verify", "stats", "dump"])
def test_a_journal_that_is_not_there_is_said(tmp_path, command):
    told = call("journal", command, tmp_path / "gone", cwd=tmp_path)
    assert told.returncode == 2
    assert "gone is no directory" in told.stderr
