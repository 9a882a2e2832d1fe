"""Looks whether this machine is fit to serve. Each check says what it saw and what to do."""

import ctypes
import importlib.metadata
import os
import platform
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serving.config import Config

SYNCS = 64
SYNC_P50_MS_WARN = 5.0
SYNC_P99_MS_WARN = 50.0
DISK_FREE_WARN = 2 << 30
OPEN_FILES_WARN = 8_192
CLOCK_UNSYNCHRONISED = 5  # TIME_ERROR, what adjtimex(2) returns
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
PACKAGES_NEEDED = ("grpcio", "protobuf", "pyarrow", "polars", "pydantic", "typer")
PACKAGES_COMPUTE = ("ortools", "torch", "ray")


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw."""

    check: str
    level: Level
    message: str


def examine(config: Config) -> Iterator[Finding]:
    """Yields one finding a check, in the order in which they matter."""
    data = config.server.journal.path if config.server.journal.mode != "memory" else None
    checks: list[Callable[[], Iterator[Finding]]] = [
        _versions,
        _machine,
        lambda: _data(data),
        _clock,
        lambda: _port("server.listen", config.server.listen),
        lambda: _port("worker.address", config.worker.address),
    ]
    if config.server.metrics_listen is not None:
        address = config.server.metrics_listen
        checks.append(lambda: _port("server.metrics_listen", address))
    for check in checks:
        yield from check()


def _versions() -> Iterator[Finding]:
    yield Finding("python", Level.OK, platform.python_version())
    try:
        from bespeak import _core
    except ImportError as error:
        yield Finding("bespeak", Level.FAIL, f"the native module cannot be loaded: {error}: run make test to build it")
    else:
        yield Finding("bespeak", Level.OK, _core.__version__)
    for name in PACKAGES_NEEDED:
        found = _version(name)
        if found is None:
            yield Finding(name, Level.FAIL, "not installed: install requirements/base.txt")
        else:
            yield Finding(name, Level.OK, found)
    for name in PACKAGES_COMPUTE:
        found = _version(name)
        if found is None:
            yield Finding(name, Level.WARN, "not installed: the worker needs requirements/compute.txt")
        else:
            yield Finding(name, Level.OK, found)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> Iterator[Finding]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("machine", Level.OK, f"{len(os.sched_getaffinity(0))} cores, {memory / (1 << 30):.1f} GiB of memory")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files < OPEN_FILES_WARN:
        message = f"{files} allowed: raise it to {OPEN_FILES_WARN} with ulimit -n, each connection takes one"
        yield Finding("open files", Level.WARN, message)
    else:
        yield Finding("open files", Level.OK, f"{files} allowed")


def _data(path: Path | None) -> Iterator[Finding]:
    if path is None:
        yield Finding("data", Level.WARN, "promises are kept in memory: a stop loses them; set server.journal.mode")
        return
    whole = (path.absolute(), *path.absolute().parents)
    blocked = next((place for place in whole if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        yield Finding("data", Level.FAIL, f"{blocked} is no directory: move it, or set server.journal.path")
        return
    standing = next(place for place in whole if place.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=standing) as scratch:
            yield Finding("data", Level.OK, f"{path} can be written")
            yield _sync_speed(Path(scratch) / "probe")
    except OSError as error:
        message = f"{standing} cannot be written: {error.strerror}: set server.journal.path to a directory that can"
        yield Finding("data", Level.FAIL, message)
        return
    kind = file_system(standing)
    if kind in MEMORY_FILE_SYSTEMS:
        message = f"{standing} is {kind}, which is memory: a power cut loses all; choose a disk"
        yield Finding("file system", Level.WARN, message)
    else:
        yield Finding("file system", Level.OK, kind)
    free = shutil.disk_usage(standing).free
    level = Level.WARN if free < DISK_FREE_WARN else Level.OK
    yield Finding("disk space", level, f"{free / (1 << 30):.1f} GiB free")


def _sync_speed(probe: Path) -> Finding:
    """Does what the journal does: writes into a file of zeros and waits for the disk."""
    with probe.open("wb", buffering=0) as file:
        file.write(bytes(4096 * SYNCS))
        os.fsync(file.fileno())
        taken = []
        for index in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(file.fileno(), os.urandom(4096), 4096 * index)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    half, most = taken[SYNCS // 2], taken[SYNCS * 99 // 100]
    said = f"a durable write takes {half:.2f} ms (p50), {most:.2f} ms (p99)"
    if half > SYNC_P50_MS_WARN or most > SYNC_P99_MS_WARN:
        return Finding("disk sync", Level.WARN, f"{said}: every promise waits so long; choose a faster disk")
    return Finding("disk sync", Level.OK, said)


def file_system(path: Path) -> str:
    """Returns the type of the file system that a path lies on."""
    best, kind = "", "unknown"
    real = str(path.resolve())
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, found, *_ = line.split()
        inside = real == where or real.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, kind = where, found
    return kind


def _clock() -> Iterator[Finding]:
    if time.time() < 1_700_000_000:
        yield Finding("clock", Level.FAIL, f"it is {time.ctime()}: set the clock, promises carry its time")
        return
    buffer = ctypes.create_string_buffer(512)  # struct timex, modes 0: only asks
    state = ctypes.CDLL(None).adjtimex(buffer)
    if state == CLOCK_UNSYNCHRONISED:
        message = "not synchronised: run chrony or ntpd; a jump of more than a minute stops promising"
        yield Finding("clock", Level.WARN, message)
    else:
        yield Finding("clock", Level.OK, "synchronised")


def _port(key: str, address: str) -> Iterator[Finding]:
    if address.startswith("unix:"):
        parent = Path(address.removeprefix("unix:")).parent
        if os.access(parent, os.W_OK):
            yield Finding(key, Level.OK, address)
        else:
            yield Finding(key, Level.FAIL, f"{parent} cannot be written: choose another directory for the socket")
        return
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except (OSError, ValueError) as error:
        message = f"{address} cannot be listened on: {error}: stop what uses it, or set {key}"
        yield Finding(key, Level.FAIL, message)
    else:
        yield Finding(key, Level.OK, f"{address} is free")
