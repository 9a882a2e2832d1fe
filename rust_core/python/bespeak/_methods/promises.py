"""Checks, promises and the life of a reservation."""

import uuid
from collections.abc import Iterable

from bespeak._codec import build, check_result, decode
from bespeak._core import CheckResult
from bespeak._methods.caller import Caller, Method
from bespeak.enums import FillPolicy, SourcingPolicy
from bespeak.errors import invalid
from bespeak.requests import CheckLine, FulfilLine, PromiseLine, ReleaseLine, ReserveLine, RuleOverride
from bespeak.results import (
    ConfirmResult,
    Explanation,
    ExtendResult,
    FulfilResult,
    HoldResult,
    RegionResult,
    ReleaseResult,
    Reservation,
)
from bespeak.v1 import promise_pb2 as pb

_SERVICE = "PromiseService"
_CHECK = Method(_SERVICE, "Check", pb.CheckResponse)
_CHECK_REGION = Method(_SERVICE, "CheckRegion", pb.CheckRegionResponse)
_EXPLAIN = Method(_SERVICE, "Explain", pb.ExplainResponse)
_AS_OF = Method(_SERVICE, "AsOf", pb.AsOfResponse)
_PROMISE = Method(_SERVICE, "Promise", pb.PromiseResponse)
_RESERVE = Method(_SERVICE, "Reserve", pb.ReserveResponse)
_EXTEND = Method(_SERVICE, "Extend", pb.ExtendResponse)
_CONFIRM = Method(_SERVICE, "Confirm", pb.ConfirmResponse)
_FULFIL = Method(_SERVICE, "Fulfil", pb.FulfilResponse)
_RELEASE = Method(_SERVICE, "Release", pb.ReleaseResponse)
_GET_RESERVATION = Method(_SERVICE, "GetReservation", pb.GetReservationResponse)


class StreamedMethods(Caller):
    """What a session carries too."""

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
        line = CheckLine(item, location, quantity, unit, ship_time_ms)
        return self.check_many((line,), with_staircase=with_staircase, rule=rule)[0]

    def check_many(
        self, lines: Iterable[CheckLine], *, with_staircase: bool = False, rule: RuleOverride | None = None
    ) -> tuple[CheckResult, ...]:
        """Returns one result a line, all seen at the same revision; each line is judged alone.

        Raises:
            NotFound: an item or location is not known.
            InvalidArgument: a value is out of its range, or there are too many lines.
        """
        request = build(pb.CheckRequest, lines=lines, with_staircase=with_staircase, rule=rule)
        answer = self._call(_CHECK, request)
        return tuple(check_result(each, answer.revision, answer.engine_time_ms) for each in answer.results)

    def promise(
        self,
        lines: Iterable[PromiseLine],
        *,
        locations: Iterable[str] = (),
        region: str = "",
        sourcing: SourcingPolicy | str = SourcingPolicy.IN_ORDER,
        fill: FillPolicy | str = FillPolicy.ALL_OR_NONE,
        max_packages: int = 0,
        min_split_quantity: int = 0,
        expires_in_ms: int = 0,
        order_ref: str = "",
        customer: str = "",
        segment: str = "",
        tier: int = 0,
        rule: RuleOverride | None = None,
        confirm: bool = False,
        request_id: str | uuid.UUID | None = None,
    ) -> HoldResult:
        """Chooses locations, checks and holds, in one step.

        Args:
            lines: what, how much and when.
            locations: where from, in order of preference; give these or a region.
            region: its locations are the candidates, in its order.
            sourcing: how to choose among them.
            fill: what to take when not all can be had.
            max_packages: most locations for the whole order; 0 is no limit below the engine's own.
            min_split_quantity: a line is split over locations only in parts of at least so many base units;
                0 never splits a line.
            expires_in_ms: life of the hold from now, milliseconds; 0 is the engine's default.
            order_ref: the caller's order.
            customer: whose hold it is, for the limit a customer.
            segment: demand class.
            tier: order in which promises are kept in a shortage; 0 is kept first.
            rule: stricter than the positions' rules.
            confirm: confirm in the same step.
            request_id: a UUID; the same id gives the first accepted answer again. Left out, a new one is made.

        Raises:
            NotFound: an item, location or region is not known.
            InvalidArgument: a value is out of its range, or the rule is looser than a position's.
            RequestIdReused: the id was used for another request.
        """
        answer = self._write(
            _PROMISE,
            pb.PromiseRequest,
            request_id,
            lines=lines,
            locations=locations,
            region=region,
            sourcing=sourcing,
            fill=fill,
            max_packages=max_packages,
            min_split_quantity=min_split_quantity,
            expires_in_ms=expires_in_ms,
            order_ref=order_ref,
            customer=customer,
            segment=segment,
            tier=tier,
            rule=rule,
            confirm=confirm,
        )
        return decode(HoldResult, answer)

    def reserve(
        self,
        lines: Iterable[ReserveLine],
        *,
        fill: FillPolicy | str = FillPolicy.ALL_OR_NONE,
        expires_in_ms: int = 0,
        order_ref: str = "",
        customer: str = "",
        segment: str = "",
        tier: int = 0,
        rule: RuleOverride | None = None,
        confirm: bool = False,
        request_id: str | uuid.UUID | None = None,
    ) -> HoldResult:
        """Checks and holds at given locations, in one step. Arguments are those of `promise`.

        Raises:
            NotFound: an item or location is not known.
            InvalidArgument: a value is out of its range, or the rule is looser than a position's.
            RequestIdReused: the id was used for another request.
        """
        answer = self._write(
            _RESERVE,
            pb.ReserveRequest,
            request_id,
            lines=lines,
            fill=fill,
            expires_in_ms=expires_in_ms,
            order_ref=order_ref,
            customer=customer,
            segment=segment,
            tier=tier,
            rule=rule,
            confirm=confirm,
        )
        return decode(HoldResult, answer)

    def confirm(self, reservation_id: int, *, request_id: str | uuid.UUID | None = None) -> ConfirmResult:
        """Makes a hold a promise without an end. After expiry it takes the stock again if it is still there.

        Refused: EXPIRED, WRONG_STATE, LIMIT.

        Raises:
            NotFound: no such reservation was ever made.
        """
        answer = self._write(_CONFIRM, pb.ConfirmRequest, request_id, reservation_id=reservation_id)
        return decode(ConfirmResult, answer)

    def fulfil(
        self,
        reservation_id: int,
        lines: Iterable[FulfilLine] = (),
        *,
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
    ) -> FulfilResult:
        """Tells that stock of a confirmed reservation left; without lines, all that is open.

        Refused: WRONG_STATE, OVER_OPEN_QUANTITY. Never for balance: what left has left.

        Raises:
            NotFound: no such reservation, line or location.
        """
        answer = self._write(
            _FULFIL,
            pb.FulfilRequest,
            request_id,
            reservation_id=reservation_id,
            lines=lines,
            happened_at_ms=happened_at_ms,
        )
        return decode(FulfilResult, answer)

    def release(
        self, reservation_id: int, lines: Iterable[ReleaseLine] = (), *, request_id: str | uuid.UUID | None = None
    ) -> ReleaseResult:
        """Gives stock back; without lines, all that is open. Refused: EXPIRED, WRONG_STATE, OVER_OPEN_QUANTITY.

        Raises:
            NotFound: no such reservation or line.
        """
        answer = self._write(_RELEASE, pb.ReleaseRequest, request_id, reservation_id=reservation_id, lines=lines)
        return decode(ReleaseResult, answer)


class PromiseMethods(StreamedMethods):
    """PromiseService."""

    def check_region(self, region: str, items: Iterable[str], hours: int = 24) -> RegionResult:
        """Returns what of each item can be promised for shipping at the start of each of the next `hours` hours.

        Args:
            region: whose locations are looked at.
            items: what.
            hours: 1 to 168.

        Raises:
            NotFound: the region or an item is not known.
            InvalidArgument: `hours` is out of its range, or items times locations times hours is too much.
        """
        request = build(pb.CheckRegionRequest, region=region, items=items, hours=hours)
        return decode(RegionResult, self._call(_CHECK_REGION, request))

    def as_of(
        self,
        lines: Iterable[CheckLine],
        *,
        revision: int | None = None,
        time_ms: int | None = None,
        with_staircase: bool = False,
    ) -> tuple[CheckResult, ...]:
        """Returns what a check would have answered at an earlier journal position or time.

        Args:
            lines: as for `check_many`; ship time 0 is the engine's time of then.
            revision: journal position; give this or `time_ms`.
            time_ms: UTC milliseconds since 1970.
            with_staircase: also give what was available from each later time on.

        Raises:
            OutOfRetention: the journal no longer reaches that far back.
            NotFound: an item or location was not known then.
            InvalidArgument: both or neither of `revision` and `time_ms` are given.
        """
        if revision is not None and time_ms is not None:
            raise invalid(f"revision is {revision} and time_ms is {time_ms}: give one of them")
        request = build(pb.AsOfRequest, lines=lines, revision=revision, time_ms=time_ms, with_staircase=with_staircase)
        answer = self._call(_AS_OF, request)
        return tuple(check_result(each, answer.revision, answer.engine_time_ms) for each in answer.results)

    def explain(
        self,
        lines: Iterable[PromiseLine],
        *,
        locations: Iterable[str] = (),
        region: str = "",
        sourcing: SourcingPolicy | str = SourcingPolicy.IN_ORDER,
        fill: FillPolicy | str = FillPolicy.ALL_OR_NONE,
        max_packages: int = 0,
        min_split_quantity: int = 0,
        customer: str = "",
        segment: str = "",
        tier: int = 0,
        rule: RuleOverride | None = None,
    ) -> Explanation:
        """Returns what `promise` would answer to the same arguments now, and why. Changes nothing.

        Raises:
            NotFound: an item, location or region is not known.
            InvalidArgument: a value is out of its range.
        """
        promise = build(
            pb.PromiseRequest,
            lines=lines,
            locations=locations,
            region=region,
            sourcing=sourcing,
            fill=fill,
            max_packages=max_packages,
            min_split_quantity=min_split_quantity,
            customer=customer,
            segment=segment,
            tier=tier,
            rule=rule,
        )
        return decode(Explanation, self._call(_EXPLAIN, build(pb.ExplainRequest, promise=promise)))

    def extend(
        self, reservation_id: int, expires_in_ms: int, *, request_id: str | uuid.UUID | None = None
    ) -> ExtendResult:
        """Gives a hold `expires_in_ms` milliseconds from now. Refused: EXPIRED, WRONG_STATE, HOLD_LIFE.

        Raises:
            NotFound: no such reservation was ever made.
        """
        answer = self._write(
            _EXTEND, pb.ExtendRequest, request_id, reservation_id=reservation_id, expires_in_ms=expires_in_ms
        )
        return decode(ExtendResult, answer)

    def get_reservation(self, reservation_id: int) -> Reservation | None:
        """Returns a reservation as it stands; None when it is finished and has left memory.

        Raises:
            NotFound: no such reservation was ever made.
        """
        answer = self._call(_GET_RESERVATION, build(pb.GetReservationRequest, reservation_id=reservation_id))
        if not answer.HasField("reservation"):
            return None
        return decode(Reservation, answer.reservation, revision=answer.revision)
