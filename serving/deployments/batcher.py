"""Calls that wait for the same model share one pass through it.

There is no timer: while a pass runs, calls queue; when it ends, the next pass
takes what is queued. An idle model therefore answers at once, and a busy one
batches by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from serving.deployments.jobs import RefusalKind, Refused

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class _Waiting(Generic[Item, Result]):
    key: Hashable
    item: Item
    size: int
    #: On the clock of `time.monotonic`.
    expires: float | None
    arrived: float
    done: asyncio.Future[tuple[Result, float, int]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Batcher(Generic[Item, Result]):
    """Runs `work(key, items)` in the executor, one pass at a time.

    `work` returns one result an item, in order. Only items of equal key share a
    pass, up to `size_max` in total; a single larger item has a pass of its own.
    """

    def __init__(
        self,
        work: Callable[[Hashable, Sequence[Item]], Sequence[Result]],
        executor: Executor,
        *,
        size_max: int,
        queue_max: int,
    ):
        self._work = work
        self._executor = executor
        self._size_max = size_max
        self._queue_max = queue_max
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, key: Hashable, item: Item, size: int, expires: float | None) -> tuple[Result, float, int]:
        """Queues an item and waits for its result.

        Returns:
            the result, the seconds it queued, and the size of its pass.

        Raises:
            Refused: the queue is full, or the deadline came before the pass.
        """
        if len(self._queue) >= self._queue_max:
            raise Refused(
                RefusalKind.FULL,
                f"{len(self._queue)} calls are queued, the limit: try again shortly or send larger tables less often",
            )
        waiting = _Waiting[Item, Result](key, item, size, expires, time.monotonic())
        self._queue.append(waiting)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await waiting.done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            started = time.monotonic()
            try:
                results = await loop.run_in_executor(
                    self._executor, self._work, batch[0].key, [waiting.item for waiting in batch]
                )
            except Exception as error:  # noqa: BLE001 - handed to every caller of the pass
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
                continue
            total = sum(waiting.size for waiting in batch)
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.done.done():
                    waiting.done.set_result((result, started - waiting.arrived, total))
        self._runner = None

    def _take(self) -> list[_Waiting[Item, Result]]:
        """Removes the next pass from the queue; drops who left and refuses who is late."""
        batch: list[_Waiting[Item, Result]] = []
        kept: deque[_Waiting[Item, Result]] = deque()
        size = 0
        now = time.monotonic()
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.done.done():  # the caller has gone
                continue
            if waiting.expires is not None and waiting.expires <= now:
                waiting.done.set_exception(
                    Refused(
                        RefusalKind.LATE,
                        f"the deadline passed after {now - waiting.arrived:.3f} s in the queue: allow more time or send less",
                    )
                )
                continue
            fits = not batch or (waiting.key == batch[0].key and size + waiting.size <= self._size_max)
            if fits:
                batch.append(waiting)
                size += waiting.size
            else:
                kept.append(waiting)
        self._queue = kept
        return batch
