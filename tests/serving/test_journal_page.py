"""The commands of docs/operate/journal.md, run as they stand there on the journal of a real engine."""

import re
import shlex
from datetime import UTC, datetime

import pytest

from bespeak import Engine, Item, Location, ManualClock, ReserveLine
from tests.conftest import REPO
from tests.serving.cli_process import call

PAGE = REPO / "docs/operate/journal.md"
NOON_MS = int(datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where the commands were run: four records before noon, then a wrong count and a promise that it spoiled."""
    place = tmp_path_factory.mktemp("journal-page")
    (place / "data").mkdir()
    clock = ManualClock(NOON_MS - HOUR_MS)
    with Engine(place / "data/journal", clock=clock) as engine:
        engine.put_item(Item("tea"))
        engine.put_location(Location("ams1"))
        engine.set_on_hand("tea", "ams1", 20)
        engine.reserve([ReserveLine("tea", "ams1", 5)], order_ref="o-1", confirm=True)
        clock.set_ms(NOON_MS)
        engine.adjust_on_hand("tea", "ams1", -1, "SALE")
        clock.set_ms(NOON_MS + 1)
        wrong = engine.set_on_hand("tea", "ams1", 0)
        assert wrong.shock is not None
    lines = [line for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) for line in block.splitlines()]
    assert len(lines) == 8
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[:3] == ["python", "-m", "serving"]
        told = call(*words[3:], cwd=place)
        assert told.returncode == 0, (line, told.stderr)
    return place


def on_hand(directory):
    with Engine(directory, clock=ManualClock(NOON_MS + HOUR_MS)) as engine:
        position = engine.get_position("tea", "ams1")
        return position.unrestricted, position.confirmed


def test_each_restore_is_of_its_moment(place):
    assert on_hand(place / "restored") == (0, 5)
    assert on_hand(place / "before-the-count") == (19, 5)
    assert on_hand(place / "at-noon") == (19, 5), "what happened at the moment itself is in it"


def test_a_moment_may_carry_its_own_offset(place):
    told = call("journal", "restore", "backups/monday", "earlier", "--time", "2026-11-25T12:59:59+01:00", cwd=place)
    assert told.returncode == 0, told.stderr
    assert on_hand(place / "earlier") == (20, 5)


def test_a_moment_that_is_none_is_said(place):
    told = call("journal", "restore", "backups/monday", "never", "--time", "noon", cwd=place)
    assert told.returncode == 2
    assert "noon is no time" in told.stderr
    both = call("journal", "restore", "backups/monday", "never", "--time", "now", "--revision", 3, cwd=place)
    assert both.returncode == 2
    assert not (place / "never").exists()
