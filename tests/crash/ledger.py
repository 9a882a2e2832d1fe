"""What clients were told, and whether a recovered server still stands by it."""

import threading
from collections import defaultdict
from dataclasses import dataclass, field

from bespeak import Client, ReservationState

LOCATION = "ams1"


@dataclass
class Order:
    """One acknowledged reservation as its owner knows it."""

    item: str
    open_units: int
    state: ReservationState


@dataclass
class Ledger:
    """Everything acknowledged so far; safe to share between clients."""

    orders: dict[int, Order] = field(default_factory=dict)
    added: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    fulfilled: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    answers: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, client: Client, recent: set[int]) -> None:
        """Asks the server for what it promised.

        Args:
            client: connected to the recovered server.
            recent: reservations to look up one by one; sums are checked over all.

        Raises:
            AssertionError: something acknowledged is not there, or a unit is promised twice.
        """
        for reservation_id in sorted(recent):
            self._check_order(client, reservation_id)
        for item, added in self.added.items():
            position = client.get_position(item, LOCATION)
            mine = [order for order in self.orders.values() if order.item == item]
            held = sum(order.open_units for order in mine if order.state is ReservationState.HELD)
            confirmed = sum(order.open_units for order in mine if order.state is ReservationState.CONFIRMED)
            expected = (added - self.fulfilled[item], held, confirmed)
            found = (position.unrestricted, position.held, position.confirmed)
            assert found == expected, f"{item}: on hand, held, confirmed are {found}, acknowledged {expected}"
            assert found[0] >= held + confirmed, f"{item}: {held + confirmed} promised, {found[0]} on hand"

    def _check_order(self, client: Client, reservation_id: int) -> None:
        order = self.orders.get(reservation_id)
        found = client.get_reservation(reservation_id)
        if found is None:
            assert order is None, f"r-{reservation_id} was acknowledged as {order} and is gone"
            return
        assert order is not None, f"r-{reservation_id} was finished and is {found.state} again"
        open_units = sum(line.open_quantity for line in found.lines)
        assert (found.state, open_units) == (order.state, order.open_units), (
            f"r-{reservation_id}: {found} is not {order}"
        )
