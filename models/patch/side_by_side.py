"""Several passes at a time on a CPU, each with a core or a few of its own.

A pass is some hundred small steps. With all cores on each of them, each waits
for the slowest core, the more so where other programs use a core meanwhile.
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

#: Passes at a time; beyond, each gets more cores: the interpreter starts the steps of all of them.
THREADS_MAX = 8
#: Results that wait for whoever takes them, by thread.
AHEAD = 2
#: Longest time for a thread to start.
START_S = 30.0
# torch has one number for the threads that have yet to ask it anything: until the threads here have asked, it is theirs.
_making = threading.Lock()


class SideBySide:
    """Threads that share the cores which torch uses when this is made.

    Raises:
        RuntimeError: the system gives no more threads.
    """

    def __init__(self) -> None:
        with _making:
            cores = torch.get_num_threads()
            self.threads = min(cores, THREADS_MAX)
            self._pool = ThreadPoolExecutor(self.threads, "side-by-side")
            together = threading.Barrier(self.threads, timeout=START_S)

            def start() -> None:
                together.wait()  # else one thread might take two of these jobs
                # A thread's first question gives it the common number, whatever was set in it before.
                torch.get_num_threads()
                torch.set_num_threads(max(1, cores // self.threads))

            try:
                for started in [self._pool.submit(start) for _ in range(self.threads)]:
                    started.result()
            except BaseException:
                together.abort()
                self._pool.shutdown(wait=False)
                raise
            finally:
                torch.set_num_threads(cores)

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
