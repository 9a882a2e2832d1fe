"""Keeps a server and a worker running on one machine.

The server holds the promises: when it ends, everything ends with its status, since starting it again
over a failing disk would hide the failure. The worker only computes: when it ends it is started
again, later each time it does not live long.
"""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger()

RESTART_S_FIRST = 0.5
RESTART_S_MAX = 30.0
LIVED_S = 60.0
STOP_GRACE_S = 15.0
# A start over a small journal takes a second; whoever waits for longer wants to know that it goes on.
SAY_AFTER_S = 10.0
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        server: command line of the server; `Readiness` adds to it.
        worker: command line of the worker; None runs none.
        address: where the server answers, host:port; for the log.
        stop_s: seconds that a process has to end by itself before it is killed.
        say_after_s: seconds after which the log says that the server does not serve yet.
    """

    server: Sequence[str]
    worker: Sequence[str] | None
    address: str
    stop_s: float = STOP_GRACE_S
    say_after_s: float = SAY_AFTER_S


def end_with_parent() -> None:
    """Asks the kernel for SIGTERM when the supervisor dies, so that nothing is left behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "cannot be told of the end of the supervisor")


async def supervise(plan: Plan, stop: asyncio.Event, serving: Callable[[], None]) -> int:
    """Runs both until `stop` is set or the server ends, and returns the status to leave with.

    Args:
        plan: what to run.
        stop: set when everything shall end.
        serving: called once the server serves.
    """
    readiness = Readiness()
    server = await readiness.start(plan.server)
    log.info("server started", pid=server.pid)
    ended = asyncio.create_task(server.wait())
    stopping = asyncio.create_task(stop.wait())
    answering = asyncio.create_task(readiness.wait(plan.address, plan.say_after_s))
    keeper: asyncio.Task[None] | None = None
    try:
        await asyncio.wait({ended, stopping, answering}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done() and not ended.done() and not stopping.done():
            serving()
            if plan.worker is not None:
                keeper = asyncio.create_task(keep_running(plan.worker, plan.stop_s))
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answering.cancel()
        stopping.cancel()
        readiness.close()
        # The server first: what it is asked while it drains may need the worker.
        status = await end(server, plan.stop_s)
        if keeper is not None:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
    if stop.is_set():
        return 0
    log.error("the server ended, so everything ends", status=status)
    return status or 1


async def keep_running(command: Sequence[str], stop_s: float) -> None:
    """Starts a process again whenever it ends, until cancelled; then ends it."""
    pause = RESTART_S_FIRST
    while True:
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command, start_new_session=True)
        log.info("worker started", pid=process.pid)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await end(process, stop_s)
            raise
        lived = time.monotonic() - started
        pause = RESTART_S_FIRST if lived > LIVED_S else min(pause * 2, RESTART_S_MAX)
        log.warning("worker ended, starting it again", status=status, lived_s=round(lived, 1), pause_s=pause)
        await asyncio.sleep(pause)


async def end(process: asyncio.subprocess.Process, stop_s: float) -> int:
    """Asks a process to end, kills it when it does not, and returns its status."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), stop_s)
        except TimeoutError:
            log.error("killing a process that did not end", pid=process.pid, after_s=stop_s)
            with suppress(ProcessLookupError):
                process.kill()
    return await process.wait()


class Readiness:
    """A pipe through which the server's process says that it serves.

    It is not asked over its port: with TLS only callers with the right certificates get an answer there.
    """

    def __init__(self) -> None:
        self._told, self._tell = os.pipe()

    async def start(self, command: Sequence[str], **options: Any) -> asyncio.subprocess.Process:
        """Starts the server, whose command line must take `--ready-fd`.

        Args:
            command: command line of the server.
            options: more of `asyncio.create_subprocess_exec`.
        """
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                *("--ready-fd", str(self._tell)),
                pass_fds=(self._tell,),
                # A ^C in the terminal is for the parent to handle.
                start_new_session=True,
                **options,
            )
        finally:
            # The other end then has its end when the server's process does.
            os.close(self._tell)

    async def wait(self, address: str, say_after_s: float = SAY_AFTER_S) -> None:
        """Returns once the server serves; one that ends before never does, and its end tells that.

        Args:
            address: where it is to serve, for the log.
            say_after_s: seconds after which the log says that it does not serve yet, and again each time they double.
        """
        loop = asyncio.get_running_loop()
        serving = asyncio.Event()

        def read() -> None:
            # Of a pipe that was closed without a word there would be something to read without end.
            loop.remove_reader(self._told)
            if os.read(self._told, 1):
                serving.set()

        loop.add_reader(self._told, read)
        began = time.monotonic()
        pause = say_after_s
        while True:
            try:
                await asyncio.wait_for(serving.wait(), pause)
                return
            except TimeoutError:
                waited = time.monotonic() - began
                hint = "see its own log lines; to read a long journal takes minutes"
                log.warning("the server is not serving yet", address=address, after_s=round(waited, 1), hint=hint)
                pause = waited

    def close(self) -> None:
        """Listens no more."""
        asyncio.get_running_loop().remove_reader(self._told)
        os.close(self._told)


def run(plan: Plan, serving: Callable[[], None]) -> int:
    """Supervises until SIGTERM or SIGINT, and returns the status to leave with."""

    async def main() -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await supervise(plan, stop, serving)

    return asyncio.run(main())


def command(*arguments: str) -> list[str]:
    """The command line of one of our own commands, run by this interpreter."""
    return [sys.executable, "-m", "serving", *arguments]
