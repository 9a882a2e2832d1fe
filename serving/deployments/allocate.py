"""Answers allocation jobs."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from serving.allocation import (
    Allocator,
    Auto,
    Cancellation,
    ColumnGeneration,
    MinCostFlow,
    Plan,
    ProblemError,
    Search,
    Terms,
)
from serving.deployments.jobs import (
    ALLOCATE_TABLES,
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
#: Share of the caller's patience that a solve may take: the rest is for reading, writing and the way back.
PATIENCE_SHARE = 0.85


class AllocateUnit:
    """Holds the solvers of one process."""

    def __init__(self, replica: str | None = None):
        solvers: tuple[Allocator, ...] = (Auto(), Search(), ColumnGeneration(), MinCostFlow())
        self._solvers = {solver.name: solver for solver in solvers}
        self._default = solvers[0].name
        self._replica = replica or process_name()
        self._pool = ThreadPoolExecutor(SOLVING_THREADS, "allocate")
        self._jobs = 0

    def offered(self) -> list[Offered]:
        """Solvers by name and version, the default first."""
        return [Offered(solver.name, solver.version) for solver in self._solvers.values()]

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """Answers one job. Where the caller goes away, the solve ends soon, and its thread is free again."""
        name = job.solver or self._default
        solver = self._solvers.get(name)
        if solver is None:
            return Refusal(
                RefusalKind.NOT_FOUND, f"no solver {name!r} here, only {sorted(self._solvers)}: name one of them"
            )
        if self._jobs >= JOBS_MAX:
            return Refusal(RefusalKind.FULL, f"{self._jobs} plans are queued, the limit: try again shortly")
        self._jobs += 1
        cancellation = Cancellation()
        try:
            arrived = time.monotonic()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._solve, solver, job, arrived, cancellation)
        except (ProblemError, TableError) as error:
            return Refusal(RefusalKind.INVALID, str(error))
        except asyncio.CancelledError:
            cancellation.cancel()
            raise
        finally:
            self._jobs -= 1

    def _solve(
        self, solver: Allocator, job: AllocateJob, arrived: float, cancellation: Cancellation
    ) -> AllocateAnswer | Refusal:
        begun = time.monotonic()
        queued = begun - arrived
        if cancellation.cancelled or (job.patience_s is not None and queued >= job.patience_s):
            return Refusal(
                RefusalKind.LATE,
                f"the deadline passed after {queued:.3f} s in the queue: allow more time or send less",
            )
        tables = {name: read_table(data, name) for name in ALLOCATE_TABLES if len(data := getattr(job, name))}
        plan: Plan = solver.allocate(tables, terms_of(job, solver, queued), cancellation)
        made_by = self._solvers[plan.made_by]
        return AllocateAnswer(
            write_table(plan.table),
            plan.objective_minor,
            plan.bound_minor,
            plan.units_served,
            plan.units_unfilled,
            write_table(plan.prices),
            made_by.name,
            made_by.version,
            self._replica,
            queued,
            time.monotonic() - begun,
            plan.trace[0][0] if plan.trace else None,
            solver.name not in (plan.made_by, self._default),
        )

    def close(self) -> None:
        """Waits for the plans under way and starts no other."""
        self._pool.shutdown(cancel_futures=True)


def terms_of(job: AllocateJob, solver: Allocator, queued_s: float) -> Terms:
    """The caller's terms; the budget ends before the caller's patience does."""
    budget = job.budget_ms or solver.default_budget_ms
    if job.patience_s is not None:
        most = max(1, int(1e3 * PATIENCE_SHARE * (job.patience_s - queued_s)))
        budget = min(budget, most)
    return Terms(budget, job.policy, job.floors, job.tier_confidence)
