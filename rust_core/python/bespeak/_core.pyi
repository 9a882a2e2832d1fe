"""The native part of the package. Its classes are exported by `bespeak`."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self, final

import pyarrow as pa

from bespeak.enums import BindingConstraint, Refusal
from bespeak.requests import RuleOverride

__all__ = [
    "AllocationProblem",
    "AvailabilityStep",
    "CheckResult",
    "EmbeddedEngine",
    "JournalDump",
    "ManualClock",
    "Server",
    "__version__",
    "journal_backup",
    "journal_restore",
    "journal_stats",
    "journal_verify",
    "journal_verify_backup",
]

__version__: Final[str]

class _Array(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

class _Stream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

@final
class AllocationProblem:
    """A batch of orders ready to be planned; `bespeak.allocation.Problem` is its face, and says what things mean.

    Arrays and tables cross by the Arrow C interface, both ways.

    Raises:
        ValueError: a table or an array makes no sense.
    """

    def __new__(cls, tables: Mapping[str, _Stream], tier_confidence: Sequence[float] = ...) -> AllocationProblem: ...
    def cancel(self) -> None: ...
    def search(
        self,
        budget_ms: float,
        *,
        policy: str = "cost",
        floors: Sequence[tuple[int, int]] = ...,
        prices: _Array | None = None,
        bias: _Array | None = None,
        start: _Array | None = None,
        seed: int = 0,
    ) -> tuple[_Array, int, int, _Array, list[tuple[int, int]]]:
        """Choice, cost, bound, prices, and the trace as microseconds and costs."""
    def greedy(self) -> tuple[_Array, int, int, _Array, list[tuple[int, int]]]: ...
    def best_plans(self, prices: _Array) -> tuple[_Array, _Array]: ...
    def priced(self, prices: _Array, below: _Array) -> tuple[_Array, _Array]: ...
    def near(self, prices: _Array, slack: float, each_max: int, most: int) -> _Array: ...
    def columns(self, orders: _Array, choice: _Array) -> _Array: ...
    def bound(self, prices: _Array) -> int: ...
    def costs(self, choice: _Array) -> dict[str, int]: ...
    def check(self, choice: _Array) -> str | None: ...
    def single_offers(self) -> _Array: ...
    def rows(self) -> _Array: ...
    def lines(self) -> _Array: ...
    def plan_table(self, choice: _Array) -> _Array: ...
    def prices_table(self, prices: _Array) -> _Array: ...

@final
class AvailabilityStep:
    """One point of a staircase: `available` base units hold from `from_time_ms` until the next step."""

    __match_args__: Final = ("from_time_ms", "available")

    def __new__(cls, from_time_ms: int, available: int) -> AvailabilityStep: ...
    @property
    def from_time_ms(self) -> int:
        """UTC milliseconds since 1970."""
    @property
    def available(self) -> int:
        """Units (of the unit asked in, rounded down) that can be promised."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __getnewargs__(self) -> tuple[int, int]: ...

@final
class CheckResult:
    """What of an item can be promised from a location at a time. Frozen; compares by value."""

    __match_args__: Final[tuple[str, ...]]

    def __new__(
        cls,
        item: str,
        location: str,
        available: int,
        in_full: bool,
        earliest_time_ms: int | None,
        staircase: tuple[AvailabilityStep, ...],
        binding: BindingConstraint | None,
        binding_time_ms: int,
        hypothetical: bool,
        refusal: Refusal | None,
        revision: int,
        engine_time_ms: int,
    ) -> CheckResult: ...
    @property
    def item(self) -> str:
        """The item asked for."""
    @property
    def location(self) -> str:
        """The location asked for."""
    @property
    def available(self) -> int:
        """Units (of the unit asked in, rounded down) that can be promised for shipping at the time asked."""
    @property
    def in_full(self) -> bool:
        """The quantity asked can be had at the time asked."""
    @property
    def earliest_time_ms(self) -> int | None:
        """Earliest time for the full quantity, not before the time asked; None when never within the horizon."""
    @property
    def staircase(self) -> tuple[AvailabilityStep, ...]:
        """What is available from each later time on; empty unless asked for."""
    @property
    def binding(self) -> BindingConstraint | None:
        """Which constraint keeps the answer from being larger."""
    @property
    def binding_time_ms(self) -> int:
        """When the balance is lowest, which binds the answer; UTC milliseconds since 1970."""
    @property
    def hypothetical(self) -> bool:
        """Made under a looser rule than the position's: nothing can be promised on it."""
    @property
    def refusal(self) -> Refusal | None:
        """SHIP_TIME_PAST or BEYOND_HORIZON when nothing can be promised for that time, else None."""
    @property
    def revision(self) -> int:
        """Journal position that the check saw."""
    @property
    def engine_time_ms(self) -> int:
        """Engine time of the check; UTC milliseconds since 1970."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ManualClock:
    """A clock that stands still until it is moved, for simulations and tests.

    Hand it to `Engine(path, clock=...)`: the engine's time is then the clock's, or the last time it used
    where that is later. Threads may share one.
    """

    def __new__(cls, now_ms: int) -> ManualClock:
        """Stands at `now_ms`, UTC milliseconds since 1970.

        Raises:
            ValueError: before 1970.
        """
    @property
    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
    def set_ms(self, now_ms: int) -> None:
        """Moves the clock, also back: the engine's own time never falls.

        Raises:
            ValueError: before 1970.
        """
    def advance_ms(self, by_ms: int) -> int:
        """Moves the clock by so many milliseconds and returns where it now stands.

        Raises:
            ValueError: before 1970.
        """

class EmbeddedEngine:
    """The native part of `Engine`: use that."""

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: ManualClock | None = None,
        default_hold_ms: int = 0,
        max_hold_life_ms: int = 0,
        max_held_units_per_customer: int = 0,
        remembered_requests: int = 0,
    ) -> Self: ...
    def check(
        self,
        item: str,
        location: str,
        quantity: int = 0,
        unit: str = "",
        ship_time_ms: int = 0,
        *,
        with_staircase: bool = False,
        rule: RuleOverride | None = None,
    ) -> CheckResult:
        """Returns what of an item can be promised from a location. Changes nothing.

        Args:
            item: what.
            location: where from.
            quantity: units asked for; 0 asks only what is available.
            unit: unit of `quantity` and of the answer, rounded down; "" is the base unit.
            ship_time_ms: when it would ship, UTC milliseconds since 1970; 0 is now.
            with_staircase: also give what is available from each later time on.
            rule: another rule than the position's; a looser one makes the answer hypothetical.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range.
        """
    def call(self, path: str, message: bytes) -> bytes:
        """Answers a method of the protocol once what it saw is durable, without the interpreter lock.

        Args:
            path: the method as gRPC names it.
            message: its request, encoded.

        Raises:
            BespeakError: whatever the method raises.
        """
    def exchange(self, work: str, table: pa.Table) -> pa.Table:
        """Answers a table with a table of as many rows, without the interpreter lock.

        Args:
            work: check, reserve or supply.
            table: its columns, as the method of that name describes them.

        Raises:
            InvalidArgument: a column is missing, unknown or of another type.
        """
    def dump(self, ticket: str) -> pa.Table:
        """Gives a table of the state or of demand, without the interpreter lock.

        Args:
            ticket: as in `DoGet`: the table's name, or JSON of it and what narrows it.

        Raises:
            InvalidArgument: there is no such table, or a value is out of its range.
            NotFound: an item or location is not known.
        """
    def backup_to(self, directory: str | os.PathLike[str]) -> tuple[int, int]:
        """Copies the journal into an empty directory while the engine goes on.

        Returns:
            The revision that it holds everything up to, and its size in bytes.

        Raises:
            InvalidArgument: the directory is not empty.
            FailedPrecondition: the engine is in memory.
        """
    def close(self) -> None:
        """Makes everything durable and lets go of the journal. Later calls raise Unavailable."""

@final
class Server:
    """A server on threads of its own in this process. No request waits for the interpreter."""

    def __new__(cls, config_json: str, *, log_filter: str | None = None) -> Server:
        """Binds the ports and starts to replay the journal; requests are answered UNAVAILABLE until that is done.

        Args:
            config_json: the `server` table of the configuration, as JSON.
            log_filter: writes log lines of this level (debug, info, warn or error) and above to standard error,
                one JSON object each; None writes none.

        Raises:
            FailedPrecondition: a setting, address or certificate cannot work.
        """
    @property
    def address(self) -> str:
        """Where it listens, host:port, with the port that port 0 became."""
    @property
    def metrics_address(self) -> str | None:
        """Where the Prometheus page is."""
    def wait_ready(self, timeout_ms: int) -> None:
        """Waits until the journal has been replayed.

        Raises:
            FailedPrecondition: it cannot be opened, or is not replayed in time.
        """
    def drain(self) -> None:
        """Tells it to stop: no new connections, calls in progress end, then a last sync. Returns at once."""
    def wait(self) -> None:
        """Waits until it has ended.

        Raises:
            FailedPrecondition: it ended without being told to: the journal failed.
        """

def journal_verify(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads everything in a journal's directory and checks it; may run beside a writer.

    Returns:
        `segments`, `records`, `oldest_revision`, `newest_revision`, `snapshots` (their revisions),
        `stale_indexes` (which the next start builds again), `torn_bytes` behind the last whole batch, which
        the next start cuts and nobody was told of, and `torn_where`.

    Raises:
        Internal: it is damaged; the message names the file and the offset.
        FailedPrecondition: it is not there, or was written by a newer version.
    """

def journal_verify_backup(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Checks every file of a backup against its manifest.

    Returns:
        `revision` and `time_ms` of its last record, `files` and `bytes`.

    Raises:
        Internal: it is damaged; the message names the file.
        FailedPrecondition: there is none.
    """

def journal_stats(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """Counts what is in a journal's directory.

    Returns:
        `records`, `batches`, `seals`, `oldest_revision`, `newest_revision`, `oldest_time_ms`, `newest_time_ms`
        (UTC milliseconds since 1970), `epoch`, `segments`, `segment_bytes`, `used_bytes`, `payload_bytes`,
        `snapshots`, `indexes`, `bytes` of all files, and `events`, their number by kind.

    Raises:
        Internal: it is damaged; the message names the file and the offset.
        FailedPrecondition: it is not there, or was written by a newer version.
    """

def journal_backup(directory: str | os.PathLike[str], to: str | os.PathLike[str]) -> dict[str, Any]:
    """Copies a journal that no process has open, and what is kept beside it, into an empty directory.

    Returns:
        As `journal_verify_backup`.

    Raises:
        FailedPrecondition: a process has it open, or `to` is not empty.
        Internal: it is damaged; the message names the file and the offset.
    """

def journal_restore(
    backup: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    revision: int | None = None,
    time_ms: int | None = None,
) -> dict[str, Any]:
    """Makes a journal out of a backup in an empty directory, up to a moment or to its end, with what was kept beside it.

    Returns:
        `revision` and `time_ms` of the last record restored; `left_out`, records beyond the moment; `files_beside`, files
        of demand history, forecasts and networks; `demand_days_left_out`, days that knew of later records and are made
        again from the journal as far as it reaches; and `forecasts_left_out`, positions' forecasts, of days and of
        totals, computed after the moment.

    Raises:
        FailedPrecondition: `to` is not empty, or the moment lies outside of the backup.
        Internal: the backup is damaged; the message names the file.
    """

@final
class JournalDump:
    """The records of a journal, in order, each as one JSON object; of one that is being written, as far as it was."""

    def __new__(cls, directory: str | os.PathLike[str], from_revision: int | None) -> JournalDump:
        """Starts at a revision; None is the oldest held.

        Raises:
            FailedPrecondition: it is not there, or no longer reaches back so far.
        """
    def __iter__(self) -> JournalDump: ...
    def __next__(self) -> str:
        """The next record.

        Raises:
            Internal: it is damaged; the message names the segment and the offset.
        """
