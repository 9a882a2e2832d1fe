"""The run: set the world up, live through its days, kill the server in the middle, settle the accounts."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bespeak.v1 import admin_pb2, admin_pb2_grpc
from serving.demo.desk import LANES, Desk, Figures
from serving.demo.lane import Lane, Timings
from serving.demo.network import DAWN_MS, DAY_MS, Network
from serving.demo.process import ServerFailed, ServerProcess
from serving.demo.recovery import Findings, acknowledged, differences
from serving.demo.supply import Counters, Supply
from serving.demo.tally import Tally, Verdict

Progress = Callable[[str, int | None], Callable[[], None]]
"""Begins a step of so many parts (None: not known) and gives what to call after each part."""


@dataclass(slots=True)
class Outcome:
    """Everything that the final table shows."""

    figures: Figures
    counters: Counters
    timings: Timings
    verdict: Verdict
    reconcile: admin_pb2.ReconcileResponse
    stats: admin_pb2.GetStatsResponse
    findings: Findings
    different: list[str]
    restart_s: float = 0.0
    in_flight: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def faults(self) -> list[str]:
        """What must not be; empty when all is well."""
        found = []
        if self.verdict.oversold:
            found.append(f"{self.verdict.oversold} units oversold by the tally")
        if self.verdict.refused_wrongly:
            found.append(f"{self.verdict.refused_wrongly} lines refused although their units were there")
        if self.reconcile.oversold_units or self.reconcile.discrepancies:
            wrong = len(self.reconcile.discrepancies)
            found.append(f"{self.reconcile.oversold_units} units oversold and {wrong} discrepancies by Reconcile")
        if self.findings.lost:
            found.append(f"{len(self.findings.lost)} acknowledged answers lost:\n{self.findings.first()}")
        if self.different:
            found.append(f"{len(self.different)} positions differ, such as {self.different[0]}")
        return found


class Replay:
    """One run over one network. Days of the past become days of the near future; see docs/guides/demo.md."""

    def __init__(self, network: Network, directory: Path, progress: Progress) -> None:
        """Nothing runs yet; the server's files go below `directory`."""
        self._network = network
        self._progress = progress
        self._server = ServerProcess(directory)
        # Dawn of day 0 is a dawn at least a day away, so that no ship time is ever in the past.
        start_ms = (time.time_ns() // 1_000_000 // DAY_MS + 2) * DAY_MS + DAWN_MS
        self._timings = Timings()
        self._lanes = [Lane(self._timings) for _ in range(LANES)]
        self._tally = Tally()
        self._supply = Supply(network, self._tally, start_ms)
        self._desk = Desk(
            network, self._tally, self._lanes, start_ms, answered=self._answered, finished=self._order_finished
        )
        # Each order has up to three answers: half of them come before the kill.
        self._answers_until_kill = len(network.orders) * 5 // 4
        self._killed = asyncio.Event()
        self._back = asyncio.Event()
        self._lanes_down = 0
        self._all_down = asyncio.Event()
        self._findings = Findings()
        self._restart_s = 0.0
        self._in_flight = 0
        self._advance_bar: Callable[[], None] = lambda: None
        self._seconds: dict[str, float] = {}

    async def run(self) -> Outcome:
        """Runs to the end and leaves no process behind, whatever happens.

        Raises:
            ServerFailed: the server ended by itself.
        """
        try:
            with self._timed("start"):
                await self._server.start()
            self._channel = self._connect()
            return await self._live()
        finally:
            await self._server.stop()

    async def _live(self) -> Outcome:
        with self._timed("set up"):
            await self._supply.set_up(self._progress("opening stock", self._supply.set_up_calls()))
        self._advance_bar = self._progress("orders", len(self._network.orders))
        keepers = [asyncio.create_task(self._keep(lane)) for lane in self._lanes]
        reviver = asyncio.create_task(self._revive())
        try:
            with self._timed("replay"):
                for day in range(-1, self._network.days):
                    if day >= 0:
                        await self._supply.open_day(day)
                    await self._desk.day(day)
                if not self._killed.is_set():
                    self._kill()
                await self._back.wait()
        finally:
            for task in [*keepers, reviver]:
                task.cancel()
            await asyncio.gather(*keepers, reviver, return_exceptions=True)
        return await self._settle()

    async def _settle(self) -> Outcome:
        with self._timed("settle"):
            verdict = self._tally.settle()
            done = self._progress("comparing every position with the tally", len(verdict.stock))
            different = await differences(self._channel, verdict.stock, done)
            admin: Any = admin_pb2_grpc.AdminServiceStub(self._channel)
            reconcile = await admin.Reconcile(admin_pb2.ReconcileRequest())
            stats = await admin.GetStats(admin_pb2.GetStatsRequest())
            await self._channel.close()
        return Outcome(
            figures=self._desk.figures,
            counters=self._supply.counters,
            timings=self._timings,
            verdict=verdict,
            reconcile=reconcile,
            stats=stats,
            findings=self._findings,
            different=different,
            restart_s=self._restart_s,
            in_flight=self._in_flight,
            seconds=self._seconds,
        )

    def _connect(self) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(self._server.address)
        self._supply.connect(channel)
        return channel

    def _answered(self) -> None:
        self._answers_until_kill -= 1
        # Not before calls are on the way on most streams: the kill shall catch some of them.
        if self._answers_until_kill <= 0 and not self._killed.is_set() and self._on_the_way() >= LANES:
            self._kill()

    def _order_finished(self) -> None:
        self._advance_bar()

    def _kill(self) -> None:
        self._in_flight = self._on_the_way()
        self._server.kill_now()
        self._killed.set()

    def _on_the_way(self) -> int:
        return sum(lane.unanswered for lane in self._lanes)

    async def _keep(self, lane: Lane) -> None:
        """Runs a stream, and once more after the kill; any other end is a failure that its callers see."""
        failure: BaseException = ServerFailed("the stream was given up")
        try:
            await lane.run(self._channel)
            if self._killed.is_set():
                self._lanes_down += 1
                if self._lanes_down == len(self._lanes):
                    self._all_down.set()
                await self._back.wait()
                await lane.run(self._channel)
            failure = self._server.failure()
        finally:
            # Nobody may wait for an answer that no task reads any more.
            lane.fail(failure)

    async def _revive(self) -> None:
        """Starts the server again after the kill, and looks everything up before anybody goes on."""
        await self._killed.wait()
        try:
            await self._server.wait()
            # Closing a channel cancels its calls: first every stream must have seen for itself that it broke.
            await self._all_down.wait()
            await self._channel.close()
            self._restart_s = await self._server.start()
            self._channel = self._connect()
            self._findings = await acknowledged(self._channel, self._desk.bookings, self._tally.revision_max)
        except (ServerFailed, grpc.aio.AioRpcError, ExceptionGroup) as error:
            for lane in self._lanes:
                lane.fail(ServerFailed(f"the server did not come back after the kill: {error}"))
        finally:
            self._back.set()

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[what] = time.monotonic() - began
