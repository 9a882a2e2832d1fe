"""A disk that is really full: a small file system of our own, filled by the journal itself."""

import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from bespeak import BespeakError, Client, Item, Unavailable
from tests.serving.cli_process import server
from tests.serving.test_stop import Shopper, assert_kept, gone, shop

MIB = 1 << 20
SEGMENT_BYTES = 9 * MIB
# Room for the segment that is written and the next one, not for a third.
SMALL = 24 * MIB
ROWS = 8_192


@pytest.fixture
def small_disk(tmp_path):
    """A file system of `SMALL` bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SMALL}", "bespeak-test", place)
    (tmp_path / "bespeak.toml").write_text(f"[server.journal]\nsegment_bytes = {SEGMENT_BYTES}\n")
    yield place
    subprocess.run(["umount", place], check=True)


def mount(*options: object) -> None:
    """Mounts; who may not is told at the head of the tests, and these are left out (tests/conftest.py)."""
    subprocess.run(["mount", *map(str, options)], check=True)


def load(client: Client, times: int) -> None:
    """Writes about a tenth of a segment at a time."""
    lines = {"item": ["coffee"] * ROWS, "location": ["ams1"] * ROWS, "quantity": [1] * ROWS}
    for _ in range(times):
        client.reserve_table(pa.table(lines))


def fill(place: Path) -> Path:
    """Leaves not a byte."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    return filler


def test_a_journal_that_finds_no_room_stops_and_goes_on_when_there_is_some(tmp_path, small_disk):
    journal = small_disk / "journal"
    with server("--data", journal, cwd=tmp_path) as (running, address):
        threads = shop(address, shoppers=2, answers=50)
        with Client(address, timeout_ms=20_000) as client:
            client.put_item(Item("coffee"))
            client.set_on_hand("coffee", "ams1", 10_000_000)
            with pytest.raises(BespeakError):
                load(client, times=100)
        gone(threads)
        assert running.ended() == 1
        told = "".join(running.said)
    assert "the journal stopped" in told
    assert "No space left on device" in told
    assert "Traceback" not in told
    mount("-o", f"remount,size={4 * SMALL}", small_disk)
    assert_kept(journal, threads)


def test_a_snapshot_without_room_is_refused_and_promises_go_on(tmp_path, small_disk):
    with server("--data", small_disk / "journal", cwd=tmp_path) as (_, address):
        threads = shop(address, shoppers=1, answers=10)
        filler = fill(small_disk)
        with Client(address) as client:
            with pytest.raises(Unavailable, match="No space left on device"):
                client.snapshot()
            assert Shopper.reserve(client, uuid.uuid4()).outcome == "FULL"
            filler.unlink()
            assert client.snapshot().revision > 0
    gone(threads)
