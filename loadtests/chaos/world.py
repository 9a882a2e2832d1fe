"""The server that things happen to, and the worker behind it: started, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bespeak.v1 import admin_pb2_grpc
from loadtests.chaos.disk import SlowDisk

REPO = Path(__file__).resolve().parents[2]
START_S = 180.0
#: The kernel tells a process of the end of this program, so that nothing is left behind.
WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
#: Of the worker. Ray is slow to come, and the worker with it: START_S is for both.
MODEL = "climatology"
#: A model of which there are versions, and the checkpoints that they are.
VERSIONED = "demand"
VERSIONS = ("patch-nano", "patch-nano-fresh")


class NotThere(Exception):
    """A process ended, or did not come up in time."""


@dataclass(frozen=True)
class Settings:
    """What a world is started with; events with the same share one.

    Attributes:
        segment_bytes: of the journal; 0 is the server's own.
        touch_memory_bytes: that the server touches at its start.
        compute: of the worker, local or ray; "" is none.
        slow_disk: the disk can be made slow.
        versions: the worker has a registry with two versions of a model, of which the first is in production.
    """

    segment_bytes: int = 0
    touch_memory_bytes: int = 0
    compute: str = ""
    slow_disk: bool = False
    versions: bool = False


@dataclass
class Process:
    """A command of the service, and what it has said."""

    command: list[str]
    environment: Mapping[str, str]
    directory: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events: set[str] = set()
        self._told = threading.Condition()
        self.process = subprocess.Popen(
            [*WITH_US, *self.command],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for text in self.process.stderr:
                with self._told:
                    self.said.append(text)
                    self._events.update(_events(text))
                    self._told.notify_all()
        with self._told:
            self._events.add("ended")
            self._told.notify_all()

    def until_serving(self) -> None:
        """Waits until it says so.

        Raises:
            NotThere: it ended, or took too long.
        """
        with self._told:
            self._told.wait_for(lambda: self._events & {"serving", "ended"}, START_S)
            if "serving" not in self._events:
                raise NotThere(f"{' '.join(self.command)} does not serve: {''.join(self.said[-8:])}")

    def kill(self) -> None:
        """SIGKILL, and it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends it in the ordinary way, with all that it started."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._reader.join(10)


def _names(place: Path) -> set[str]:
    return {entry.name for entry in place.iterdir()} if place.exists() else set()


def _events(text: str) -> list[str]:
    """Events that a line tells of: one, or more where two threads wrote at once."""
    found, decoder = [], json.JSONDecoder()
    while text.startswith("{"):
        try:
            told, end = decoder.raw_decode(text)
        except ValueError:
            break
        found.append(str(told.get("event", "")))
        text = text[end:].lstrip()
    return found


def descendants(pid: int) -> list[int]:
    """All processes below one, children first."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in thread.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


class World:
    """A server with a journal of its own, and what else an event needs.

    Args:
        directory: where it keeps its data; on a disk.
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self.settings = settings
        self.journal = directory / "journal"
        self.disk = SlowDisk(directory) if settings.slow_disk else None
        self.worker: Process | None = None
        self.versions = self._pushed() if settings.versions else []
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.server = self._serve()
        try:
            self.server.until_serving()
        except NotThere:
            self.server.stop()
            raise
        self.channel = grpc.insecure_channel(self.address)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)

    @property
    def address(self) -> str:
        """Where the server listens, before and after it was killed."""
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> Process:
        command = [sys.executable, "-m", "serving", "server", "--listen", self.address, "--data", str(self.journal)]
        return Process(command, self._environment(), self.directory)

    def _environment(self) -> dict[str, str]:
        """Ours, without the configuration of whoever runs this."""
        paths = [str(REPO), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        made = {name: value for name, value in os.environ.items() if not name.startswith("BESPEAK_")}
        made["PYTHONPATH"] = os.pathsep.join(paths)
        if self.settings.segment_bytes:
            made["BESPEAK_SERVER__JOURNAL__SEGMENT_BYTES"] = str(self.settings.segment_bytes)
        if self.settings.touch_memory_bytes:
            made["BESPEAK_SERVER__TOUCH_MEMORY_BYTES"] = str(self.settings.touch_memory_bytes)
        if self.settings.compute:
            made["BESPEAK_SERVER__COMPUTE__ADDRESS"] = self.worker_address
        if self.settings.versions:
            made["BESPEAK_WORKER__REGISTRY"] = str(self._registry)
        return made | (self.disk.environment if self.disk else {})

    @property
    def worker_address(self) -> str:
        """Where the worker listens."""
        return f"unix:{self.directory / 'worker.sock'}"

    def _pushed(self) -> list[str]:
        """Pushes two checkpoints as versions of one model, and promotes the first."""
        place, pushed = self._registry / VERSIONED / "versions", []
        for name in VERSIONS:
            before = _names(place)
            self._models("push", str(REPO / "models/checkpoints" / name), "--name", VERSIONED)
            (version,) = _names(place) - before
            pushed.append(f"{VERSIONED}@{version}")
        self._models("promote", pushed[0])
        return pushed

    def _models(self, *words: str) -> None:
        """A command of the registry.

        Raises:
            NotThere: it failed.
        """
        command = [sys.executable, "-m", "models", *words, "--registry", str(self._registry)]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=START_S, check=False)
        if done.returncode:
            raise NotThere(f"{' '.join(command)} left with {done.returncode}: {done.stdout}{done.stderr}")

    @property
    def _registry(self) -> Path:
        return self.directory / "registry"

    def kill_server(self) -> None:
        """SIGKILL to the engine."""
        self.server.kill()

    def restart_server(self) -> float:
        """The server again, on the same journal; returns the seconds until it serves."""
        begun = time.monotonic()
        self.server.stop()
        self.server = self._serve()
        self.server.until_serving()
        return time.monotonic() - begun

    def start_worker(self) -> None:
        """Starts the worker, or another one, and waits until it serves."""
        if self.worker is not None:
            self.worker.stop()
        model = VERSIONED if self.settings.versions else MODEL
        how = ["--compute", self.settings.compute, "--address", self.worker_address, "--model", model]
        command = [sys.executable, "-m", "serving", "worker", *how]
        environment = {name: value for name, value in self._environment().items() if name != "LD_PRELOAD"}
        self.worker = Process(command, environment, self.directory)
        self.worker.until_serving()

    def kill_worker(self) -> list[int]:
        """SIGKILL to the worker and to all of Ray below it, which is all that computes; returns the process ids."""
        assert self.worker is not None
        pid = self.worker.process.pid
        killed = [pid, *descendants(pid)]
        for one in killed:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.worker.process.wait()
        return killed

    def segments(self) -> set[str]:
        """Names of the journal's segments."""
        return {entry.name for entry in os.scandir(self.journal) if entry.name.endswith(".seg")}

    def close(self) -> None:
        """Ends all of it."""
        self.channel.close()
        if self.worker is not None:
            self.worker.stop()
        self.server.stop()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
