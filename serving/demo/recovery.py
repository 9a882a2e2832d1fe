"""After the kill: is everything there that was acknowledged, and after the run: do both accounts agree?"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from bespeak.v1 import admin_pb2, admin_pb2_grpc, common_pb2, promise_pb2, promise_pb2_grpc, supply_pb2, supply_pb2_grpc
from serving.demo.desk import Booking
from serving.demo.network import Key
from serving.demo.supply import many
from serving.demo.tally import Stock

_SHOWN = 5


@dataclass(slots=True)
class Findings:
    """What was looked at, and what was not as acknowledged, in words."""

    open_found: int = 0
    finished_found: int = 0
    lost: list[str] = field(default_factory=list)

    def first(self) -> str:
        """The first few of what is wrong."""
        more = len(self.lost) - _SHOWN
        return "\n".join([*self.lost[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


async def acknowledged(channel: grpc.aio.Channel, bookings: list[Booking], revision: int) -> Findings:
    """Looks every acknowledged reservation up again.

    An open one must be there, in its state and with its units. A finished one has left the service's
    memory: its handing over is sent again under the same request id, and must be answered as it first was.

    Args:
        channel: to the server that recovered.
        bookings: everything that was acknowledged.
        revision: the highest journal position that an answer had named.
    """
    promises: Any = promise_pb2_grpc.PromiseServiceStub(channel)
    findings = Findings()
    stats = await admin_pb2_grpc.AdminServiceStub(channel).GetStats(admin_pb2.GetStatsRequest())
    if stats.revision < revision:
        findings.lost.append(f"revision {revision} was acknowledged, the journal ends at {stats.revision}")

    async def look(booking: Booking) -> None:
        if booking.fulfil is not None:
            request, first = booking.fulfil
            again: promise_pb2.FulfilResponse = await promises.Fulfil(request)
            if not again.replayed or again.revision != first or again.state != booking.state:
                findings.lost.append(f"handing over reservation {booking.reservation} at revision {first} is forgotten")
            findings.finished_found += 1
            return
        if (wrong := await _wrong(promises, booking)) is not None:
            findings.lost.append(f"reservation {booking.reservation}: {wrong}")
        findings.open_found += 1

    await many((lambda booking=booking: look(booking)) for booking in bookings)  # type: ignore[misc]
    return findings


async def _wrong(promises: Any, booking: Booking) -> str | None:
    """Says how an open reservation differs from what was acknowledged.

    What was on the way when the server was killed may have been done or not: either is right.
    """
    try:
        answer = await promises.GetReservation(promise_pb2.GetReservationRequest(reservation_id=booking.reservation))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return "was never made, as far as the journal knows"
    if not answer.HasField("reservation"):
        # It has finished and left memory: right only when its handing over was on the way, which will be sent again.
        handed_over = booking.busy and booking.state == common_pb2.RESERVATION_STATE_CONFIRMED
        return None if handed_over else "has left memory, was acknowledged as open"
    found = answer.reservation
    allowed = {booking.state}
    if booking.busy and booking.state == common_pb2.RESERVATION_STATE_HELD:
        allowed.add(common_pb2.RESERVATION_STATE_CONFIRMED)
    if found.state not in allowed:
        name = common_pb2.ReservationState.Name
        return f"is {name(found.state)}, was acknowledged as {name(booking.state)}"
    lines = {(n.line, (n.item, n.location), n.open_quantity, n.ship_time_ms) for n in found.lines}
    return None if lines == set(booking.parts) else f"holds {sorted(lines)}, not {sorted(booking.parts)}"


async def differences(channel: grpc.aio.Channel, stock: dict[Key, Stock], done: Callable[[], None]) -> list[str]:
    """Compares every position with the tally: on hand, units promised, units to come."""
    supply = supply_pb2_grpc.SupplyServiceStub(channel)
    different: list[str] = []

    async def look(key: Key, mine: Stock) -> None:
        theirs = await supply.GetPosition(supply_pb2.GetPositionRequest(item=key[0], location=key[1]))
        promised = sum(units for _, units in mine.commitments.values())
        coming = {name: (due, units) for name, (due, units) in mine.receipts.items()}
        seen = {each.receipt_id: (each.due_time_ms, each.open_quantity) for each in theirs.receipts}
        here, there = (mine.on_hand, promised, coming), (theirs.unrestricted, theirs.held + theirs.confirmed, seen)
        if here != there:
            different.append(f"{key[0]} at {key[1]}: the tally has {here}, the service {there}")

    await many(((lambda key=key, mine=mine: look(key, mine)) for key, mine in stock.items()), done)  # type: ignore[misc]
    return different
