"""Runs our own command line as a process, and reads what it says."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.cli import main

REPO = Path(__file__).resolve().parents[2]
OURS = ("-m", "serving")


def environment() -> dict[str, str]:
    """Ours, without the configuration of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BESPEAK_")}
    return kept | {"PYTHONPATH": f"{REPO}:{REPO / 'rust_core/python'}", "COLUMNS": "160"}


def run(*arguments: object, cwd: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "serving", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def call(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end in this process: what it does, without the seconds that its start takes.

    For commands that end by themselves and start no process. That they start as well is told by a `run` of each.
    """
    out, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["serving", *map(str, arguments)])
        for name in os.environ.keys() - environment().keys():
            patch.delenv(name)
        with pytest.raises(SystemExit) as left:
            main()
    assert isinstance(left.value.code, int), f"left with {left.value.code}"
    return subprocess.CompletedProcess(arguments, left.value.code, out.getvalue(), errors.getvalue())


class Process:
    """A command that runs until it is told to stop."""

    def __init__(
        self, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, program: Sequence[str] = OURS
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=cwd,
            env=environment() | dict(env or {}),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []

    def line(self, event: str, **wanted: object) -> dict[str, Any]:
        """Waits for the log line with this event and these values.

        Raises:
            AssertionError: the process ended without it.
        """
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.said.append(text)
            try:
                found = json.loads(text)
            except ValueError:
                continue
            if found.get("event") == event and wanted.items() <= found.items():
                return dict(found)
        raise AssertionError(f"ended without saying {event}:\n{''.join(self.said)}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end, and returns its status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Waits for its end, and returns its status."""
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)
        return self.process.wait(30)


@contextmanager
def process(
    *arguments: object, cwd: Path, env: Mapping[str, str] | None = None, program: Sequence[str] = OURS
) -> Iterator[Process]:
    """A command, with more in its environment, that has ended when the block has; `program` runs another than ours."""
    started = Process(*arguments, cwd=cwd, env=env, program=program)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait(30)
        if started.process.stderr is not None:
            started.process.stderr.close()


@contextmanager
def server(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[tuple[Process, str]]:
    """A server on a free port, and its address, once it serves."""
    with process("server", "--listen", "127.0.0.1:0", *arguments, cwd=cwd, env=env) as started:
        address = started.line("listening")["address"]
        started.line("serving")
        yield started, str(address)
