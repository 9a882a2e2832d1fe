"""Takes the orders: Promise, Confirm, and on the day Fulfil, over a few Session streams; and keeps the books."""

import asyncio
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from bespeak.v1 import common_pb2, promise_pb2
from serving.demo.lane import Lane
from serving.demo.network import DAY_MS, Network, Order
from serving.demo.supply import context
from serving.demo.tally import Part, Short, Tally

LANES = 4
"""Session streams."""
CLERKS = 4
"""Orders on the way on one stream."""
HOLD_MS = 60 * 60 * 1_000

Job = Callable[[Lane], Awaitable[None]]


@dataclass(slots=True)
class Booking:
    """An order that got something.

    Attributes:
        reservation: its id.
        state: the last state that was acknowledged, as the protocol numbers it.
        day: business day on which the customer comes.
        parts: what is held.
        busy: a call is on the way, so that the state may be one further.
        fulfil: the request that handed it over, with the revision it was answered with.
    """

    order: Order
    reservation: int
    state: common_pb2.ReservationState.ValueType
    day: int
    parts: tuple[Part, ...]
    busy: bool = False
    fulfil: tuple[promise_pb2.FulfilRequest, int] | None = None


@dataclass(slots=True)
class Figures:
    """What became of the orders and their lines."""

    orders: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    short_at_store: int = 0
    from_centre: int = 0
    units_asked: int = 0
    units_held: int = 0
    replayed: int = 0


class Desk:
    """The customers of the replay and those who serve them."""

    def __init__(
        self,
        network: Network,
        tally: Tally,
        lanes: list[Lane],
        start_ms: int,
        *,
        answered: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        """`answered` is called after each answer and may kill the server, `finished` once for each order."""
        self._network = network
        self._tally = tally
        self._lanes = lanes
        self._start_ms = start_ms
        self._answered = answered
        self._finished = finished
        self._by_day: dict[int, list[Order]] = defaultdict(list)
        for order in network.orders:
            self._by_day[order.day].append(order)
        self._due: dict[int, list[Booking]] = defaultdict(list)
        self.bookings: list[Booking] = []
        self.figures = Figures()

    async def day(self, day: int) -> None:
        """Lives through one business day: today's customers come, and tomorrow's order a day ahead."""
        events: list[tuple[int, str, Job]] = [
            (order.at_ms - DAY_MS, order.store, partial(self._place, order)) for order in self._by_day.pop(day + 1, [])
        ]
        events += [
            (booking.order.at_ms, booking.order.store, partial(self._hand_over, booking))
            for booking in self._due.pop(day, [])
        ]
        queues: list[deque[Job]] = [deque() for _ in self._lanes]
        for _, store, job in sorted(events, key=lambda event: event[0]):
            queues[zlib.crc32(store.encode()) % len(queues)].append(job)

        async def serve(lane: Lane, queue: deque[Job]) -> None:
            while queue:
                await queue.popleft()(lane)

        async with asyncio.TaskGroup() as group:
            for lane, queue in zip(self._lanes, queues, strict=True):
                for _ in range(CLERKS):
                    group.create_task(serve(lane, queue))

    async def _place(self, order: Order, lane: Lane) -> None:
        ship_ms = self._start_ms + order.at_ms
        centre = self._network.dc_of[order.store]
        request = promise_pb2.PromiseRequest(
            context=context(),
            lines=[
                promise_pb2.PromiseLine(item=item, quantity=units, ship_time_ms=ship_ms) for item, units in order.lines
            ],
            locations=[order.store, centre] if order.delivered else [order.store],
            sourcing=common_pb2.SOURCING_POLICY_IN_ORDER,
            fill=common_pb2.FILL_POLICY_ALL_OR_NONE if order.all_or_none else common_pb2.FILL_POLICY_PARTIAL,
            min_split_quantity=1 if order.delivered else 0,
            expires_in_ms=HOLD_MS,
            order_ref=order.name,
            customer=order.customer,
        )
        answer: promise_pb2.PromiseResponse = await lane.call("promise", request)
        booking = self._book(order, answer, ship_ms)
        self._answered()
        if booking is None:
            self._finished()
            return
        booking.busy = True
        confirm = promise_pb2.ConfirmRequest(context=context(), reservation_id=booking.reservation)
        confirmed: promise_pb2.ConfirmResponse = await lane.call("confirm", confirm)
        if confirmed.refusal:
            raise RuntimeError(f"a live hold was not confirmed: refusal {confirmed.refusal}")
        booking.state, booking.busy = common_pb2.RESERVATION_STATE_CONFIRMED, False
        self.figures.replayed += confirmed.replayed
        self._due[order.day].append(booking)
        self._tally.seen(confirmed.revision)
        self._answered()

    def _book(self, order: Order, answer: promise_pb2.PromiseResponse, ship_ms: int) -> Booking | None:
        """Enters a promise, with the lines that their store could not fill."""
        figures = self.figures
        figures.orders[promise_pb2.Outcome.Name(answer.outcome).removeprefix("OUTCOME_").lower()] += 1
        figures.replayed += answer.replayed
        centre = self._network.dc_of[order.store]
        parts: list[Part] = []
        short: list[Short] = []
        for (item, units), line in zip(order.lines, answer.lines, strict=True):
            figures.lines += 1
            figures.units_asked += units
            figures.units_held += line.held_quantity
            parts += [Part(p.reservation_line, (item, p.location), p.quantity, p.ship_time_ms) for p in line.parts]
            elsewhere = sum(part.quantity for part in line.parts if part.location != order.store)
            lacking = line.refusal in {common_pb2.REFUSAL_INSUFFICIENT_STOCK, common_pb2.REFUSAL_SPLIT_LIMIT}
            figures.short_at_store += bool(lacking or elsewhere)
            figures.from_centre += bool(elsewhere and not lacking)
            if lacking:
                places = (order.store, centre) if order.delivered else (order.store,)
                keys = tuple((item, place) for place in places)
                short.append(Short(keys, units, ship_ms, took_all=not order.all_or_none))
        if not answer.reservation_id:
            self._tally.refused(answer.revision, short)
            return None
        self._tally.held(answer.revision, answer.reservation_id, parts, short)
        booking = Booking(order, answer.reservation_id, answer.state, order.day, tuple(parts))
        self.bookings.append(booking)
        return booking

    async def _hand_over(self, booking: Booking, lane: Lane) -> None:
        request = promise_pb2.FulfilRequest(context=context(), reservation_id=booking.reservation)
        booking.busy = True
        answer: promise_pb2.FulfilResponse = await lane.call("fulfil", request)
        if answer.refusal:
            raise RuntimeError(f"reservation {booking.reservation} was not handed over: refusal {answer.refusal}")
        booking.state, booking.busy = answer.state, False
        booking.fulfil = (request, answer.revision)
        self.figures.replayed += answer.replayed
        self._tally.left(answer.revision, booking.reservation)
        self._finished()
        self._answered()
