"""What the service needs of the place where models and solvers run."""

from __future__ import annotations

from typing import Protocol

from bespeak.v1 import compute_pb2 as pb
from serving.deployments.jobs import (
    AllocateAnswer,
    AllocateJob,
    ForecastAnswer,
    ForecastJob,
    Offered,
    Refusal,
)


class Backend(Protocol):
    """Local process or Ray cluster."""

    #: Named in every answer.
    source: pb.ComputeSource.ValueType

    async def start(self) -> None:
        """Returns once every model and solver has answered.

        Raises:
            InputError: a model cannot be loaded.
            WorkerStartError: Ray did not come up.
        """
        ...

    async def forecast(self, job: ForecastJob) -> ForecastAnswer | Refusal:
        """Answers one job; raises `BackendAwayError` when nobody can."""
        ...

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """Answers one job; raises `BackendAwayError` when nobody can."""
        ...

    def models(self) -> list[Offered]:
        """Models, the default first; empty before the start."""
        ...

    def solvers(self) -> list[Offered]:
        """Solvers, the default first; empty before the start."""
        ...

    async def stop(self) -> None:
        """Ends everything that `start` began."""
        ...


class WorkerStartError(RuntimeError):
    """The worker cannot start; the message says why."""


class BackendAwayError(RuntimeError):
    """No replica can answer now; the call may be repeated."""
