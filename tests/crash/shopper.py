"""A client that reserves, confirms, ships and gives back until its server dies, and then asks again."""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bespeak import Client, DeadlineExceeded, FulfilLine, ReservationState, ReserveLine, Unavailable
from tests.crash.ledger import LOCATION, Ledger, Order

ITEMS = ("tea", "milk", "bread")
# A server that was killed answers with one of these; anything else is a fault of its own.
GONE = (Unavailable, DeadlineExceeded)


@dataclass
class Asked:
    """A request whose answer is not known."""

    send: Callable[[Client], Any]
    note: Callable[[Any], None]


@dataclass
class Shopper:
    """Works through its own reservations; only it touches them, so its ledger entries are exact."""

    ledger: Ledger
    random: random.Random
    mine: list[int] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    pending: Asked | None = None

    def shop(self, client: Client) -> None:
        """Sends requests until the server is gone."""
        while True:
            if self.pending is None:
                self.pending = self._next()
            try:
                answer = self.pending.send(client)
            except GONE:
                return
            self._settle(answer)

    def ask_again(self, client: Client) -> None:
        """Repeats the request that was cut off, under its id; now its answer is known."""
        if self.pending is not None:
            self._settle(self.pending.send(client))

    def _settle(self, answer: Any) -> None:
        assert self.pending is not None
        with self.ledger.lock:
            self.pending.note(answer)
            self.ledger.answers += 1
        self.pending = None

    def _next(self) -> Asked:
        request_id = uuid.uuid4()
        choice = self.random.random()
        if choice < 0.08:
            return self._supply(request_id)
        if choice < 0.5 or not self.mine:
            return self._reserve(request_id)
        return self._step(request_id, self.random.choice(self.mine), choice)

    def _supply(self, request_id: uuid.UUID) -> Asked:
        item, units = self.random.choice(ITEMS), self.random.randint(1, 40)

        def note(_: Any) -> None:
            self.ledger.added[item] += units

        return Asked(lambda client: client.adjust_on_hand(item, LOCATION, units, "FOUND", request_id=request_id), note)

    def _reserve(self, request_id: uuid.UUID) -> Asked:
        item, units = self.random.choice(ITEMS), self.random.randint(1, 9)
        confirm = self.random.random() < 0.3
        fill = self.random.choice(["PARTIAL", "ALL_OR_NONE"])

        def send(client: Client) -> Any:
            line = ReserveLine(item, LOCATION, units)
            life = 6 * 24 * 3_600_000
            return client.reserve([line], fill=fill, confirm=confirm, expires_in_ms=life, request_id=request_id)

        def note(answer: Any) -> None:
            if answer.reservation_id == 0:
                self.ledger.refused += 1
                return
            held = sum(line.held_quantity for line in answer.lines)
            self.ledger.orders[answer.reservation_id] = Order(item, held, answer.state)
            self.mine.append(answer.reservation_id)
            self.touched.add(answer.reservation_id)

        return Asked(send, note)

    def _step(self, request_id: uuid.UUID, reservation_id: int, choice: float) -> Asked:
        order = self.ledger.orders[reservation_id]
        self.touched.add(reservation_id)
        if order.state is ReservationState.HELD and choice < 0.8:

            def confirmed(answer: Any) -> None:
                assert answer.refusal is None, answer
                order.state = ReservationState.CONFIRMED

            return Asked(lambda client: client.confirm(reservation_id, request_id=request_id), confirmed)
        if order.state is ReservationState.CONFIRMED and choice < 0.9:
            units = self.random.randint(1, order.open_units)

            def fulfilled(answer: Any) -> None:
                assert answer.refusal is None, answer
                order.open_units -= units
                self.ledger.fulfilled[order.item] += units
                self._forget_if_done(reservation_id)

            line = FulfilLine(0, units)
            return Asked(lambda client: client.fulfil(reservation_id, [line], request_id=request_id), fulfilled)

        def released(answer: Any) -> None:
            assert answer.refusal is None, answer
            order.open_units = 0
            self._forget_if_done(reservation_id)

        return Asked(lambda client: client.release(reservation_id, request_id=request_id), released)

    def _forget_if_done(self, reservation_id: int) -> None:
        if self.ledger.orders[reservation_id].open_units == 0:
            del self.ledger.orders[reservation_id]
            self.mine.remove(reservation_id)
