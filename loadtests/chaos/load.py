"""The generator against a server that somebody else has started, and may kill."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from loadtests.chaos.world import World
from loadtests.slo.generator import REPO, Generator

Line = dict[str, Any]


class Load(Generator):
    """The generator, with a world's server filled and waiting for steps.

    Args:
        world: whose server it loads.
        positions, receipts: what the server is filled with.
        cores: of the server, and of the generator.
        tell: gets every line.
    """

    def __init__(
        self,
        world: World,
        positions: int,
        receipts: int,
        cores: tuple[list[int], int],
        tell: Callable[[Line], None],
    ) -> None:
        options = ["--attach", world.port, "--attach-pid", world.server.process.pid, "--attach-data", world.journal]
        options += ["--positions", positions, "--receipts", receipts, "--dir", world.directory]
        options += ["--server-cores", ",".join(map(str, cores[0])), "--client-core", cores[1]]
        self._tell = tell
        self._process = subprocess.Popen(
            [REPO / "loadtests/run", "steps", *map(str, options)],
            cwd=REPO,
            env=os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._until("server")

    def run_with(self, step: Line, happen: Callable[[int], None]) -> Line:
        """Runs one step while something happens.

        Args:
            happen: is called when the step has begun, with the moment when its measured time begins (of
                `time.monotonic_ns`), and returns when it is over.

        Raises:
            GeneratorFailed: the generator ended instead; an answer was wrong, or one that was acknowledged is lost.
        """
        self._write(json.dumps(step))
        happen(int(self._until("begins")["monotonic_ns"]))
        return self._until("step")

    def stop(self) -> None:
        """Ends the step that runs: nothing more is due from now on, and what was is waited for."""
        self._process.send_signal(signal.SIGUSR1)

    def account(self) -> Line:
        """Holds the server to what it answered so far: `verified`, or `unverified` and why.

        Raises:
            GeneratorFailed: an account does not add up.
        """
        self._write(json.dumps("verify"))
        return self._until("verified", "unverified")

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
