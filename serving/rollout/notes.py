"""Writes down where rollouts stand; a worker that starts goes on from it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import structlog

from models.rollouts import Rollout, path_of, write_rollout

#: Between two tries to write, seconds; each pause is twice the one before.
AGAIN_S_FIRST = 1.0
AGAIN_S_MAX = 60.0
log = structlog.get_logger()


class Notes:
    """Writes the files of `models.rollouts` one at a time, so that an earlier state never replaces a later one.

    Whoever awaits a write must not be cancelled: its thread would go on, beside that of the next.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        #: By route: what holds already and is not written yet.
        self._owed: dict[str, Rollout] = {}
        self._ending = asyncio.Event()

    async def write(self, root: Path, state: Rollout) -> None:
        """Writes a state that is to hold from then on.

        Raises:
            OSError: it cannot be written; what was written before stands.
        """
        async with self._turn:
            await asyncio.to_thread(write_rollout, root, state)
            self._owed.pop(state.route, None)

    async def settle(self, root: Path, state: Rollout) -> None:
        """Writes a state that holds already: again until it is written, a later one is, or the worker ends.

        Args:
            root: directory of the registry.
            state: what a restart would otherwise not know.
        """
        self._owed[state.route] = state
        pause = AGAIN_S_FIRST
        while True:
            last = self._ending.is_set()
            try:
                await self._write_owed(root, state)
                return
            except OSError as error:
                log.error(
                    "rollout not written",
                    route=state.route,
                    stage=state.stage,
                    file=str(path_of(root, state.name, state.alias)),
                    reason=str(error),
                    again_s=None if last else pause,
                    hint="a restart goes by what the file said before: make room, or let the worker write there",
                )
            if last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            pause = min(2.0 * pause, AGAIN_S_MAX)

    async def _write_owed(self, root: Path, state: Rollout) -> None:
        async with self._turn:
            if self._owed.get(state.route) is not state:
                return
            await asyncio.to_thread(write_rollout, root, state)
            del self._owed[state.route]

    def end(self) -> None:
        """Lets each `settle` try once more, and then no longer."""
        self._ending.set()
