"""Several passes at a time on a CPU, one a core.

A pass is some hundred small steps. With all cores on each of them, each waits
for the slowest core: a step took a fifth to a third longer that way, and more
where something else used a core meanwhile (two virtual cores, patch-nano).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Job = TypeVar("Job")
Result = TypeVar("Result")

#: Results that wait for whoever takes them, by thread.
AHEAD = 2
# While the threads of one are made, the number that new threads start with is 1.
_making = threading.Lock()


class SideBySide:
    """As many threads as torch has now, with one core each."""

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.threads, "forecast-pass")
        together = threading.Barrier(self.threads)

        def alone() -> None:
            together.wait()
            torch.get_num_threads()  # what is set before a thread's first question is forgotten at it
            torch.set_num_threads(1)

        with _making:
            for started in [self._pool.submit(alone) for _ in range(self.threads)]:
                started.result()
            torch.set_num_threads(self.threads)

    def in_order(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Results in the order of the jobs, of which only a few are begun ahead."""
        begun: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                begun.append(self._pool.submit(work, job))
                if len(begun) > AHEAD * self.threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
