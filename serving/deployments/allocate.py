"""Answers allocation jobs."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from serving.allocation import Allocator, ColumnGeneration, MinCostFlow, Plan, ProblemError
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    Offered,
    Refusal,
    RefusalKind,
    process_name,
)
from serving.worker_ipc import TableError, read_table, write_table

SOLVING_THREADS = 2
JOBS_MAX = 64


class AllocateUnit:
    """Holds the solvers of one process."""

    def __init__(self, replica: str | None = None):
        solvers: tuple[Allocator, ...] = (MinCostFlow(), ColumnGeneration())
        self._solvers = {solver.name: solver for solver in solvers}
        self._default = solvers[0].name
        self._replica = replica or process_name()
        self._pool = ThreadPoolExecutor(SOLVING_THREADS, "allocate")
        self._jobs = 0

    def offered(self) -> list[Offered]:
        """Solvers by name and version, the default first."""
        return [Offered(solver.name, solver.version) for solver in self._solvers.values()]

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """Answers one job."""
        name = job.solver or self._default
        solver = self._solvers.get(name)
        if solver is None:
            return Refusal(
                RefusalKind.NOT_FOUND, f"no solver {name!r} here, only {sorted(self._solvers)}: name one of them"
            )
        if self._jobs >= JOBS_MAX:
            return Refusal(RefusalKind.FULL, f"{self._jobs} plans are queued, the limit: try again shortly")
        self._jobs += 1
        try:
            arrived = time.monotonic()
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._solve, solver, job, arrived)
        except (ProblemError, TableError) as error:
            return Refusal(RefusalKind.INVALID, str(error))
        finally:
            self._jobs -= 1

    def _solve(self, solver: Allocator, job: AllocateJob, arrived: float) -> AllocateAnswer | Refusal:
        begun = time.monotonic()
        if job.patience_s is not None and begun - arrived >= job.patience_s:
            return Refusal(
                RefusalKind.LATE,
                f"the deadline passed after {begun - arrived:.3f} s in the queue: allow more time or send less",
            )
        plan: Plan = solver.allocate(
            read_table(job.lines, "lines"),
            read_table(job.options, "options"),
            read_table(job.stock, "stock"),
            job.budget_ms,
            read_table(job.packages, "packages") if len(job.packages) else None,
            read_table(job.capacity, "capacity") if len(job.capacity) else None,
        )
        return AllocateAnswer(
            write_table(plan.table),
            plan.objective_minor,
            plan.bound_minor,
            plan.units_served,
            plan.units_unfilled,
            solver.name,
            solver.version,
            self._replica,
            begun - arrived,
            time.monotonic() - begun,
        )

    def close(self) -> None:
        """Waits for the plans under way and starts no other."""
        self._pool.shutdown(cancel_futures=True)
