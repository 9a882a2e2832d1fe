"""The native part of the package. Its classes are exported by `bespeak`."""

from typing import Final, final

from bespeak.enums import BindingConstraint, Refusal

__all__ = ["AvailabilityStep", "CheckResult", "ManualClock"]

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
