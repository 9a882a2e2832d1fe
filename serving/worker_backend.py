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
    """Local process or Ray cluster.

    A unit is one loaded model version; it is named by what `open_model` takes.
    """

    #: Named in every answer.
    source: pb.ComputeSource.ValueType

    async def start(self) -> None:
        """Returns once every solver has answered.

        Raises:
            WorkerStartError: Ray did not come up.
        """
        ...

    async def load(self, unit: str) -> Offered:
        """Returns once the version has warmed up and can be asked.

        Raises:
            InputError: it cannot be loaded, or is not fit; nothing of it is left.
        """
        ...

    async def unload(self, unit: str) -> None:
        """Ends a unit that is asked no more."""
        ...

    async def forecast(self, unit: str, job: ForecastJob) -> ForecastAnswer | Refusal:
        """Answers one job; raises `BackendAwayError` when nobody can."""
        ...

    async def allocate(self, job: AllocateJob) -> AllocateAnswer | Refusal:
        """Answers one job; raises `BackendAwayError` when nobody can."""
        ...

    def replicas(self) -> dict[str, int]:
        """Processes that answer for each unit."""
        ...

    def solvers(self) -> list[Offered]:
        """Solvers, the default first; empty before the start."""
        ...

    async def stop(self) -> None:
        """Ends everything that `start` and `load` began."""
        ...


class WorkerStartError(RuntimeError):
    """The worker cannot start; the message says why."""


class BackendAwayError(RuntimeError):
    """No replica can answer now; the call may be repeated."""
