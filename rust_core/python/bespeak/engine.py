"""The engine inside this process."""

import os
import time
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa
from google.protobuf.message import Message

from bespeak._core import EmbeddedEngine, ManualClock
from bespeak._methods import Methods
from bespeak._methods.caller import Method
from bespeak.results import SnapshotResult

R = TypeVar("R", bound=Message)


class Engine(EmbeddedEngine, Methods):
    """An engine with a journal of its own, with the methods of `Client`. Threads may share one.

    ```python
    with Engine(":memory:") as engine:
        engine.put_item(Item("tea"))
        engine.put_location(Location("ams1"))
        engine.set_on_hand("tea", "ams1", 20)
        engine.check("tea", "ams1", 5).in_full  # True
    ```
    """

    _clock: ManualClock | None

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: ManualClock | None = None,
        default_hold_ms: int = 0,
        max_hold_life_ms: int = 0,
        max_held_units_per_customer: int = 0,
        remembered_requests: int = 0,
        tenant: str = "",
        actor: str = "",
    ) -> Self:
        """Opens a journal, or starts an empty engine in memory.

        Args:
            path: directory of the journal, made where there is none; ":memory:" keeps nothing.
            clock: a clock that a simulation moves; None is the system's.
            default_hold_ms: life of a hold when a request names none; 0 is 15 minutes.
            max_hold_life_ms: a hold's total life, extensions included; 0 is 7 days.
            max_held_units_per_customer: units that one customer may have in holds that are not confirmed;
                0 is 1,000,000,000.
            remembered_requests: answers remembered in memory; 0 is 131,072. With a journal fewer make writes wait
                for the disk.
            tenant: who the caller works for; kept in the journal with each write.
            actor: who or what writes; kept in the journal with each write.

        Raises:
            FailedPrecondition: another process has the journal open, or it is damaged.
        """
        engine = super().__new__(
            cls,
            path,
            clock=clock,
            default_hold_ms=default_hold_ms,
            max_hold_life_ms=max_hold_life_ms,
            max_held_units_per_customer=max_held_units_per_customer,
            remembered_requests=remembered_requests,
        )
        engine._clock = clock
        engine.tenant = tenant
        engine.actor = actor
        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def backup(self, directory: str | os.PathLike[str]) -> SnapshotResult:
        """Copies the journal into a directory, which must be empty or not exist, while the engine goes on.

        Raises:
            InvalidArgument: the directory is not empty.
            FailedPrecondition: the engine is in memory.
        """
        return SnapshotResult(*self.backup_to(directory))

    def _call(self, method: Method[R], request: Message) -> R:
        return method.response.FromString(self.call(method.path, request.SerializeToString()))

    def _exchange(self, job: str, table: pa.Table) -> pa.Table:
        return self.exchange(job, table)

    def _dump(self, ticket: str) -> pa.Table:
        return self.dump(ticket)

    def _now_ms(self) -> int:
        return self._clock.now_ms if self._clock else time.time_ns() // 1_000_000
