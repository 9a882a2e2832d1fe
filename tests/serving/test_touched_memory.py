"""Memory that a server touches at its start, told by the kernel."""

from pathlib import Path

import pytest

from tests.serving.cli_process import server

MIB = 1 << 20


def resident(pid: int) -> int:
    told = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in told.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def started_with(touched: int, place: Path) -> int:
    with server("--data", place / "journal", cwd=place, env={"BESPEAK_SERVER__TOUCH_MEMORY_BYTES": str(touched)}) as (
        process,
        _,
    ):
        return resident(process.process.pid)


def test_a_server_has_what_it_was_told_to_touch(tmp_path: Path) -> None:
    sizes = {}
    for mib in (0, 256):
        place = tmp_path / str(mib)
        place.mkdir()
        sizes[mib] = started_with(mib * MIB, place)
    # What the server needs anyway comes out of it.
    assert sizes[256] >= 256 * MIB
    assert 160 * MIB < sizes[256] - sizes[0] < 320 * MIB


def test_more_than_the_machine_has_is_refused_with_the_setting_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="touch_memory_bytes"):
        started_with(1 << 60, tmp_path)
