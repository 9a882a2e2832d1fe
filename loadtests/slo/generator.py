"""Drives the load generator: steps go to it as JSON lines, and what it measured comes back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from loadtests.slo.file import Slo

REPO = Path(__file__).resolve().parents[2]
Line = dict[str, Any]


class GeneratorFailed(Exception):
    """The generator ended: what it says is on standard error."""


class Generator:
    """The generator with a server of its own, filled and waiting for steps.

    Args:
        tell: gets every line that is not the answer to a step: machine, server, verified.
    """

    def __init__(self, slo: Slo, tell: Callable[[Line], None], directory: Path | None = None) -> None:
        server = slo.server
        options = ["--positions", str(server.positions), "--receipts", str(server.receipts)]
        options += ["--commitments", str(server.commitments)]
        options += ["--tls"] if server.tls else []
        options += ["--server-cores", ",".join(map(str, server.cores))] if server.cores else []
        options += ["--client-core", str(slo.generator.core)] if slo.generator.core is not None else []
        options += ["--dir", str(directory)] if directory else []
        keeps = "--data {dir}" if server.durability == "group" else "--memory"
        command = f"{sys.executable} -m serving server --listen 127.0.0.1:{{port}} {keeps}"
        if slo.asks_worker:
            worker = f"{sys.executable} -m serving worker --compute local --model {server.worker}"
            options += ["--worker-command", f"{worker} --address {{address}}"]
        self._tell = tell
        self._process = subprocess.Popen(
            [REPO / "loadtests/run", "steps", *options],
            cwd=REPO,
            env={**os.environ, "BESPEAK_SERVER": command},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, step: Line) -> Line:
        """Runs one step to its end and returns its line.

        Raises:
            GeneratorFailed: it ended instead.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(step) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None
        return self._until("step")

    def verify(self) -> None:
        """Ends the run: the server is held to what it answered.

        Raises:
            GeneratorFailed: an account does not add up.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._until("verified", "unverified")
        if self._process.wait():
            raise self._failed()

    def _until(self, *kinds: str) -> Line:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line: Line = json.loads(text)
            self._tell(line)
            if line["kind"] in kinds:
                return line
        raise self._failed()

    def _failed(self) -> GeneratorFailed:
        return GeneratorFailed(f"loadtests/run steps left with status {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()
        if self._process.poll() is None:
            # It stops its servers and removes its data.
            self._process.terminate()
        self._process.wait()
