"""What happens to a server in the middle of a run. Each event says when it began and ended, and what it was."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc

from bespeak.v1 import admin_pb2, compute_pb2, compute_pb2_grpc
from loadtests.chaos.beside import Allocator, Filler, Push
from loadtests.chaos.disk import HOW, compiler
from loadtests.chaos.world import Settings, World

Line = dict[str, Any]
POLL_S = 0.005
ROLLOUT_S = 120.0
"""For one step of a rollout: a version is loaded and looks at a forecast before it gets traffic."""
#: The server's least segment holds its largest record, 8 MiB.
SMALL_SEGMENT = 9 << 20


@dataclass(frozen=True)
class Mark:
    """Something that happened: from and to a moment of `time.monotonic_ns`."""

    name: str
    begin_ns: int
    end_ns: int


@dataclass
class Run:
    """One event in one run.

    Attributes:
        world: what it happens to.
        positions: of the catalogue.
        seconds: how long what has a length goes on.
        delay_ms: by how much a slow disk's syncs take longer.
        begin_ns: when the measured time begins, known once the run has begun.
        marks: what happened when.
        told: what else there is to say.
    """

    world: World
    positions: int
    seconds: float
    delay_ms: float
    begin_ns: int = 0
    marks: list[Mark] = field(default_factory=list)
    told: Line = field(default_factory=dict)

    def mark(self, name: str, what: Callable[[], Any]) -> Any:
        """Does something and notes when."""
        begin = time.monotonic_ns()
        found = what()
        self.marks.append(Mark(name, begin, time.monotonic_ns()))
        return found


class Event:
    """One kind of event.

    Attributes:
        name: as the command line calls it.
        title: for a reader.
        settings: what its world is started with.
        objective: p99 within it must not be above this many times the normal; None where nothing is asked.
        beside: calls a second beside the promises, by method.
        step: other fields of the step.
        apart: it happens again and again: what is normal is the rest of the run, which drifts as the event's time does.
        by_itself: it needs no doing, and is watched from the beginning.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    settings: Settings = Settings()
    objective: ClassVar[float | None] = None
    beside: ClassVar[Mapping[str, float]] = {}
    step: ClassVar[Mapping[str, Any]] = {}
    apart: ClassVar[bool] = False
    by_itself: ClassVar[bool] = False

    def missing(self) -> str:
        """Why it cannot be made to happen here; "" when it can."""
        return ""

    def prepare(self, run: Run) -> None:
        """Before the load."""

    def happen(self, run: Run) -> None:
        """In the middle of the run; what it does is marked."""
        raise NotImplementedError(self.name)

    def settle(self, run: Run) -> None:
        """After the load."""


class Snapshot(Event):
    """A snapshot of the state, as an operator or the server itself makes it."""

    name = "snapshot"
    title = "snapshot of the state"
    objective = 2.0
    apart = True

    def happen(self, run: Run) -> None:
        """Makes them, as far from each other as each takes; at least one."""
        until = time.monotonic_ns() + int(2 * run.seconds * 1e9)
        sizes: list[int] = []
        while not sizes or time.monotonic_ns() < until:
            made = run.mark("snapshot", lambda: run.world.admin.Snapshot(admin_pb2.SnapshotRequest(), timeout=120))
            sizes.append(made.size_bytes)
            time.sleep((run.marks[-1].end_ns - run.marks[-1].begin_ns) / 1e9)
        run.told = {"snapshots": len(sizes), "bytes": sizes[-1]}


class Roll(Event):
    """The journal ends a segment and begins the next."""

    name = "roll"
    title = "journal segment roll"
    settings = Settings(segment_bytes=SMALL_SEGMENT)
    objective = 2.0
    # Orders of many lines fill segments soon.
    step: ClassVar[Mapping[str, Any]] = {"lines": 48}
    apart = by_itself = True
    ROWS, FILLED = 512, 0.97
    """Records that are written at a time, and the share of a segment that is filled before the run."""
    ENOUGH, TIMES = 4, 8
    """Rolls that are waited for, and for how many times `seconds` at most."""
    BEFORE_NS, AFTER_NS = 50_000_000, 450_000_000
    """What is looked at around the moment when a new segment has its name: the next one is written ahead then."""

    def prepare(self, run: Run) -> None:
        """Nearly fills a segment, so that the first roll need not be waited for."""
        filler = Filler(run.world.address)
        for _ in range(2):
            segments, rows = run.world.segments(), 0
            while run.world.segments() == segments:
                filler.write(self.ROWS)
                rows += self.ROWS
        filler.write(int(self.FILLED * rows))
        filler.close()

    def happen(self, run: Run) -> None:
        """Watches for new segments, until there are enough or it takes too long."""
        seen = run.world.segments()
        until = time.monotonic_ns() + int(self.TIMES * run.seconds * 1e9)
        while (now := time.monotonic_ns()) < until and len(run.marks) < self.ENOUGH:
            found = run.world.segments()
            if found - seen:
                run.marks.append(Mark("roll", now - self.BEFORE_NS, now + self.AFTER_NS))
            seen = found
            time.sleep(POLL_S)
        run.told = {"rolls": len(run.marks), "segment_bytes": self.settings.segment_bytes}


class ForecastPush(Event):
    """Forecasts of the whole catalogue, 28 days of 9 quantiles each, through the public API."""

    name = "push"
    title = "push of forecasts for the catalogue"

    def prepare(self, run: Run) -> None:
        """Makes the forecasts."""
        self._push = Push(run.world.address, run.positions)

    def happen(self, run: Run) -> None:
        """Sends them."""
        run.told = run.mark("push", self._push.send)


class Batches(Event):
    """The allocator plans and holds batches of orders in a loop."""

    name = "batches"
    title = "allocator batches, planned and held in a loop"

    def prepare(self, run: Run) -> None:
        """Gives the server the batches' stock and network."""
        self._allocator = Allocator(run.world.address, seed=1)

    def happen(self, run: Run) -> None:
        """Plans and holds."""
        self._took = run.mark("batches", lambda: self._allocator.hold(run.seconds))

    def settle(self, run: Run) -> None:
        """Gives back what is held and judges the last plan."""
        run.told = self._allocator.settled(self._took)
        self._allocator.close()


class WorkerKilled(Event):
    """The worker gets SIGKILL while forecasts and plans are asked for, and is started again as `up` does it."""

    name = "worker"
    title = "worker killed and started again"
    settings = Settings(compute="local")
    beside: ClassVar[Mapping[str, float]] = {"forecast": 8.0, "allocate": 1.5}
    # Plans of more than 250 ms are the worker's.
    step: ClassVar[Mapping[str, Any]] = {"budget_ms": 300, "orders": 10, "series": 5}

    def prepare(self, run: Run) -> None:
        """Starts the worker."""
        run.world.start_worker()

    def happen(self, run: Run) -> None:
        """Kills it and starts another one."""
        killed: list[int] = []

        def restart() -> None:
            killed.extend(run.world.kill_worker())
            run.world.start_worker()

        run.mark("worker killed", restart)
        run.told = {"processes_killed": len(killed)}


class Rollout(Event):
    """A new version of a model takes over forecasts, for half of the items, then for all, and is taken back."""

    name = "rollout"
    title = "model version rolled out and back"
    settings = Settings(compute="local", versions=True)
    beside: ClassVar[Mapping[str, float]] = {"forecast": 8.0}
    step: ClassVar[Mapping[str, Any]] = {"series": 5}

    def missing(self) -> str:
        """Versions are of the transformer."""
        return "" if importlib.util.find_spec("torch") else "torch is not installed: requirements/compute.txt has it"

    def prepare(self, run: Run) -> None:
        """Starts the worker with the first version."""
        run.world.start_worker()

    def happen(self, run: Run) -> None:
        """Each step as `python -m models` does it; a quarter of the time lies between two."""
        old, new = run.world.versions
        with grpc.insecure_channel(run.world.worker_address) as channel:
            worker = compute_pb2_grpc.ComputeServiceStub(channel)
            deploy = compute_pb2.ComputeServiceDeployRequest(model=new, canary=0.5)
            promote = compute_pb2.ComputeServicePromoteRequest(model=new)
            rollback = compute_pb2.ComputeServiceRollbackRequest(model=new.partition("@")[0])
            for name, step, request in (
                ("canary", worker.Deploy, deploy),
                ("promoted", worker.Promote, promote),
                ("rolled back", worker.Rollback, rollback),
            ):
                run.mark(name, functools.partial(step, request, timeout=ROLLOUT_S))
                time.sleep(run.seconds / 4)
        run.told = {"from": old, "to": new}


class RayKilled(WorkerKilled):
    """All of Ray gets SIGKILL, the worker's own process included; it stays away."""

    name = "ray"
    title = "worker and all of Ray killed"
    settings = Settings(compute="ray")

    def missing(self) -> str:
        """Ray is a package of its own."""
        return "" if importlib.util.find_spec("ray") else "ray is not installed: requirements/compute.txt has it"

    def happen(self, run: Run) -> None:
        """Kills all of it; what is marked ends where what comes after begins."""
        begin = time.monotonic_ns()
        killed = run.world.kill_worker()
        run.marks.append(Mark("Ray killed", begin, begin + int(run.seconds * 1e9)))
        run.told = {"processes_killed": len(killed)}


class SlowDisk(Event):
    """Every sync of the disk takes longer for a while."""

    name = "slow-disk"
    title = "slow disk"
    settings = Settings(slow_disk=True)

    def missing(self) -> str:
        """It is done by a library that is compiled here."""
        return "" if compiler() else "there is no C compiler: apt-get install gcc"

    def happen(self, run: Run) -> None:
        """Makes the disk slow, and fast again."""
        disk = run.world.disk
        assert disk is not None

        def slow() -> None:
            disk.slower(round(1000 * run.delay_ms))
            time.sleep(run.seconds)
            disk.slower(0)

        run.mark("slow disk", slow)
        run.told = {"delay_ms": run.delay_ms, "how": HOW}


class EngineKilled(Event):
    """The server gets SIGKILL and is started again on the same journal."""

    name = "kill"
    title = "engine killed and recovered"

    def happen(self, run: Run) -> None:
        """Kills it and starts it again; what is marked ends when it serves."""

        def restart() -> float:
            run.world.kill_server()
            return run.world.restart_server()

        run.told = {"serving_after_s": round(run.mark("kill -9", restart), 3)}


EVENTS: tuple[type[Event], ...] = (
    Snapshot,
    ForecastPush,
    Batches,
    EngineKilled,
    Roll,
    Rollout,
    WorkerKilled,
    RayKilled,
    SlowDisk,
)
"""In the order in which they are run: those of one world one after another, the worst last."""
