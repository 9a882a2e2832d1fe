"""Facts about stock. A fact is never refused for balance; when it breaks promises, a shock tells which."""

import uuid
from typing import Any, TypeVar

from bespeak._codec import build, decode
from bespeak._methods.caller import Caller, Method
from bespeak.enums import AdjustReason, ReceiptKind, StockStatus
from bespeak.requests import ArrivalSpread, SourceSequence
from bespeak.results import Position, ReceiptResult, ReceiveResult, Shock, SupplyResult
from bespeak.v1 import supply_pb2 as pb

R = TypeVar("R", bound=SupplyResult)

_SERVICE = "SupplyService"
_SET_ON_HAND = Method(_SERVICE, "SetOnHand", pb.SetOnHandResponse)
_ADJUST_ON_HAND = Method(_SERVICE, "AdjustOnHand", pb.AdjustOnHandResponse)
_MOVE_STATUS = Method(_SERVICE, "MoveStatus", pb.MoveStatusResponse)
_SCHEDULE_RECEIPT = Method(_SERVICE, "ScheduleReceipt", pb.ScheduleReceiptResponse)
_CHANGE_RECEIPT = Method(_SERVICE, "ChangeReceipt", pb.ChangeReceiptResponse)
_RECEIVE = Method(_SERVICE, "Receive", pb.ReceiveResponse)
_CANCEL_RECEIPT = Method(_SERVICE, "CancelReceipt", pb.CancelReceiptResponse)
_TRANSFER = Method(_SERVICE, "Transfer", pb.TransferResponse)
_RETURN = Method(_SERVICE, "Return", pb.ReturnResponse)
_GET_POSITION = Method(_SERVICE, "GetPosition", pb.GetPositionResponse)
_LIST_SHOCKS = Method(_SERVICE, "ListShocks", pb.ListShocksResponse)


class SupplyMethods(Caller):
    """SupplyService.

    Every write takes `request_id`, a UUID under which the answer is remembered (left out, a new one is
    made), and `source`, which makes a late or repeated event of a feed count once.
    """

    def set_on_hand(
        self,
        item: str,
        location: str,
        quantity: int,
        *,
        unit: str = "",
        status: StockStatus | str = StockStatus.UNRESTRICTED,
        counted_at_ms: int = 0,
        expected_on_hand: int | None = None,
        expected_version: int | None = None,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Tells a count of one status of a position.

        Args:
            item: what was counted.
            location: where.
            quantity: units counted.
            unit: their unit; "" is the base unit.
            status: which stock.
            counted_at_ms: when; movements that happened later are applied again on top, earlier ones are in it
                whenever they are told. A count older than the newest is refused. 0 is now.
            expected_on_hand: refused with CONFLICT unless this is the current value, base units.
            expected_version: refused with CONFLICT unless this is the position's current version.
            request_id: under which the answer is remembered.
            source: number of the event in its feed.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
            OutOfRetention: the count lies further back than movements are kept.
        """
        answer = self._write(
            _SET_ON_HAND,
            pb.SetOnHandRequest,
            request_id,
            source,
            item=item,
            location=location,
            status=status,
            quantity=quantity,
            unit=unit,
            counted_at_ms=counted_at_ms,
            expected_on_hand=expected_on_hand,
            expected_version=expected_version,
        )
        return _supply(SupplyResult, answer)

    def adjust_on_hand(
        self,
        item: str,
        location: str,
        delta: int,
        reason: AdjustReason | str,
        *,
        unit: str = "",
        status: StockStatus | str = StockStatus.UNRESTRICTED,
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Adds `delta` units to one status of a position; negative takes away.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _ADJUST_ON_HAND,
            pb.AdjustOnHandRequest,
            request_id,
            source,
            item=item,
            location=location,
            status=status,
            delta=delta,
            unit=unit,
            reason=reason,
            happened_at_ms=happened_at_ms,
        )
        return _supply(SupplyResult, answer)

    def move_status(
        self,
        item: str,
        location: str,
        quantity: int,
        from_status: StockStatus | str,
        to_status: StockStatus | str,
        *,
        unit: str = "",
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Moves units between two statuses of a position.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _MOVE_STATUS,
            pb.MoveStatusRequest,
            request_id,
            source,
            item=item,
            location=location,
            from_status=from_status,
            to_status=to_status,
            quantity=quantity,
            unit=unit,
            happened_at_ms=happened_at_ms,
        )
        return _supply(SupplyResult, answer)

    def schedule_receipt(
        self,
        receipt_id: str,
        item: str,
        location: str,
        quantity: int,
        *,
        due_time_ms: int | None = None,
        due_date: str | None = None,
        unit: str = "",
        kind: ReceiptKind | str = ReceiptKind.PURCHASE_ORDER,
        spread: ArrivalSpread | None = None,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> ReceiptResult:
        """Plans an inbound quantity.

        Args:
            receipt_id: the caller's name for it, unique among open receipts.
            item: what.
            location: where to.
            quantity: units planned.
            due_time_ms: when, UTC milliseconds since 1970; give this or `due_date`.
            due_date: YYYY-MM-DD in the location's calendar; due at the end of that day.
            unit: unit of `quantity`; "" is the base unit.
            kind: where it comes from.
            spread: how sure it is.
            request_id: under which the answer is remembered.
            source: number of the event in its feed.

        Raises:
            AlreadyExists: a receipt of this name is open.
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _SCHEDULE_RECEIPT,
            pb.ScheduleReceiptRequest,
            request_id,
            source,
            receipt_id=receipt_id,
            item=item,
            location=location,
            quantity=quantity,
            unit=unit,
            due_time_ms=due_time_ms,
            due_date=due_date,
            kind=kind,
            spread=spread,
        )
        return _supply(ReceiptResult, answer, receipt_revision=answer.receipt_revision)

    def change_receipt(
        self,
        receipt_id: str,
        *,
        quantity: int | None = None,
        unit: str = "",
        due_time_ms: int | None = None,
        due_date: str | None = None,
        spread: ArrivalSpread | None = None,
        expected_revision: int | None = None,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> ReceiptResult:
        """Changes what is still open of a receipt; what is left out stays.

        Raises:
            NotFound: no receipt of this name is open.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _CHANGE_RECEIPT,
            pb.ChangeReceiptRequest,
            request_id,
            source,
            receipt_id=receipt_id,
            quantity=quantity,
            unit=unit,
            due_time_ms=due_time_ms,
            due_date=due_date,
            spread=spread,
            expected_revision=expected_revision,
        )
        return _supply(ReceiptResult, answer, receipt_revision=answer.receipt_revision)

    def receive(
        self,
        receipt_id: str,
        quantity: int,
        *,
        unit: str = "",
        status: StockStatus | str = StockStatus.UNRESTRICTED,
        final: bool = False,
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> ReceiveResult:
        """Tells that goods of a receipt came, more or less than planned; `final` cuts what was still open.

        Raises:
            NotFound: no receipt of this name is open.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _RECEIVE,
            pb.ReceiveRequest,
            request_id,
            source,
            receipt_id=receipt_id,
            quantity=quantity,
            unit=unit,
            status=status,
            final=final,
            happened_at_ms=happened_at_ms,
        )
        return _supply(ReceiveResult, answer, open_quantity=answer.open_quantity)

    def cancel_receipt(
        self,
        receipt_id: str,
        *,
        expected_revision: int | None = None,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Tells that what is open of a receipt will not come.

        Raises:
            NotFound: no receipt of this name is open.
        """
        answer = self._write(
            _CANCEL_RECEIPT,
            pb.CancelReceiptRequest,
            request_id,
            source,
            receipt_id=receipt_id,
            expected_revision=expected_revision,
        )
        return _supply(SupplyResult, answer)

    def transfer(
        self,
        item: str,
        from_location: str,
        to_location: str,
        quantity: int,
        receipt_id: str,
        due_time_ms: int,
        *,
        unit: str = "",
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Takes units away here and plans them as receipt `receipt_id` there, due at `due_time_ms`.

        Raises:
            AlreadyExists: a receipt of this name is open.
            NotFound: the item or a location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _TRANSFER,
            pb.TransferRequest,
            request_id,
            source,
            item=item,
            from_location=from_location,
            to_location=to_location,
            quantity=quantity,
            unit=unit,
            receipt_id=receipt_id,
            due_time_ms=due_time_ms,
            happened_at_ms=happened_at_ms,
        )
        return _supply(SupplyResult, answer)

    def return_stock(
        self,
        item: str,
        location: str,
        quantity: int,
        *,
        unit: str = "",
        status: StockStatus | str = StockStatus.UNRESTRICTED,
        reservation_id: int = 0,
        happened_at_ms: int = 0,
        request_id: str | uuid.UUID | None = None,
        source: SourceSequence | None = None,
    ) -> SupplyResult:
        """Tells that units came back from a customer, from reservation `reservation_id` where known.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: a value is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _RETURN,
            pb.ReturnRequest,
            request_id,
            source,
            item=item,
            location=location,
            quantity=quantity,
            unit=unit,
            status=status,
            reservation_id=reservation_id,
            happened_at_ms=happened_at_ms,
        )
        return _supply(SupplyResult, answer)

    def get_position(self, item: str, location: str) -> Position:
        """Returns a position with its open receipts and its staircase.

        Raises:
            NotFound: the item or location is not known.
        """
        return decode(Position, self._call(_GET_POSITION, build(pb.GetPositionRequest, item=item, location=location)))

    def list_shocks(self, location: str = "", after_shock_id: int = 0) -> tuple[Shock, ...]:
        """Returns supply shocks that are still open, by id, from the first after `after_shock_id` on.

        They are asked for page by page, so that a shock may be resolved or raised meanwhile.

        Raises:
            NotFound: the location is not known.
        """
        shocks: list[Shock] = []
        while True:
            request = build(pb.ListShocksRequest, location=location, after_shock_id=after_shock_id)
            page = self._call(_LIST_SHOCKS, request)
            shocks.extend(decode(Shock, each) for each in page.shocks)
            after_shock_id = page.next_after_shock_id
            if after_shock_id == 0:
                return tuple(shocks)


def _supply(cls: type[R], answer: Any, **extra: int) -> R:
    return decode(cls, answer.result, **extra)
