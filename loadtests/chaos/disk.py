"""A disk whose syncs take longer for a while: a library that is loaded before the server's own, compiled when needed."""

import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).with_name("slow_disk.c")
HOW = "LD_PRELOAD: each fsync and fdatasync of the server waits longer"


def compiler() -> str | None:
    """The C compiler; None where there is none."""
    wanted = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return shutil.which(shlex.split(wanted)[0]) or shutil.which("cc")


class SlowDisk:
    """A disk that is as fast as it is until it is told otherwise.

    Args:
        directory: where the library and the file that it looks at are made.
    """

    def __init__(self, directory: Path) -> None:
        self._told = directory / "slow-disk"
        self._told.write_bytes(bytes(8))
        self._library = directory / "slow_disk.so"
        made_by = compiler()
        assert made_by is not None, "the event is skipped without a compiler"
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
        subprocess.run([made_by, *flags, "-o", self._library, SOURCE], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a server is started with."""
        return {"LD_PRELOAD": str(self._library), "SLOW_DISK": str(self._told)}

    def slower(self, microseconds: int) -> None:
        """Each sync takes so much longer from now on; 0 is as it was."""
        with self._told.open("r+b") as file:
            file.write(microseconds.to_bytes(8, "little"))
