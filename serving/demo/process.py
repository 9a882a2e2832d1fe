"""The server under demonstration: a process of its own, with its own data, ended by its own id."""

import asyncio
import os
import signal
import socket
import time
from pathlib import Path

import serving
from serving import supervisor

START_S_MAX = 60.0
STOP_S_MAX = 20.0
_LOG_LINES_SHOWN = 15


class ServerFailed(RuntimeError):
    """The server ended when it should not have, or did not answer; the message shows the end of its log."""


class ServerProcess:
    """`python -m serving server` on a free loopback port."""

    def __init__(self, directory: Path) -> None:
        """Nothing is started yet. `directory` gets the journal, the configuration and the log."""
        self.address = f"127.0.0.1:{_free_port()}"
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> float:
        """Starts it over whatever the journal holds, and returns the seconds until it served.

        Raises:
            ServerFailed: it ended, or does not serve in time.
        """
        config = self._directory / "server.toml"
        # Of its own, so that a file in the current directory does not change the demonstration.
        config.write_text("")
        began = time.monotonic()
        readiness = supervisor.Readiness()
        with self._log.open("ab") as log:
            self._process = await readiness.start(
                [
                    *supervisor.command("--config", str(config), "server", "--supervised"),
                    *("--listen", self.address, "--data", str(self._directory / "journal")),
                ],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(serving.__file__).parent.parent,
            )
        ended = asyncio.create_task(self._process.wait())
        answering = asyncio.create_task(readiness.wait(self.address))
        try:
            await asyncio.wait({ended, answering}, timeout=START_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                what = (
                    f"ended with status {ended.result()}" if ended.done() else f"did not serve in {START_S_MAX:.0f} s"
                )
                raise ServerFailed(f"the server {what}:\n{self._last_words()}")
        finally:
            ended.cancel()
            answering.cancel()
            readiness.close()
        return time.monotonic() - began

    def kill_now(self) -> None:
        """Ends it as a power cut would, in the middle of whatever it does."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Waits until the process has ended."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Ends it, politely at first; does nothing where nothing runs."""
        if self._process is not None and self._process.returncode is None:
            await supervisor.end(self._process, STOP_S_MAX)

    def failure(self) -> ServerFailed:
        """What to raise when a connection ended that should not have."""
        return ServerFailed(f"the server closed the connection:\n{self._last_words()}")

    @property
    def _log(self) -> Path:
        return self._directory / "server.log"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_LOG_LINES_SHOWN:]) or "(it logged nothing)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
