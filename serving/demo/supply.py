"""What happens before the shop opens: goods arrive, leave, are bought and are counted. Unary calls, many at once."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from bespeak.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    promise_pb2,
    promise_pb2_grpc,
    supply_pb2,
    supply_pb2_grpc,
)
from serving.demo.network import DAY_MS, PURCHASE_DAYS, Delivery, Key, Network, Purchase
from serving.demo.tally import Tally

AT_ONCE = 48
"""Calls on the way at a time."""
_LINES_MAX = 200


def context() -> common_pb2.RequestContext:
    """A new request."""
    return common_pb2.RequestContext(request_id=str(uuid.uuid4()), actor="demo")


async def many(calls: Iterable[Callable[[], Awaitable[Any]]], done: Callable[[], None] = lambda: None) -> None:
    """Makes calls, so many at once, and stops at the first that fails."""
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            await call()
            done()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


@dataclass(slots=True)
class Counters:
    """Supply events sent so far."""

    purchases: int = 0
    transfers: int = 0
    arrivals: int = 0
    delays: int = 0
    counts: int = 0
    shocks: int = 0


class Supply:
    """The network's supply, told to the service and to the tally."""

    def __init__(self, network: Network, tally: Tally, start_ms: int) -> None:
        """`start_ms` is the dawn of day 0 as the service is told it, UTC milliseconds since 1970."""
        self._network = network
        self._tally = tally
        self._start_ms = start_ms
        self._on_the_way: dict[int, list[tuple[str, Delivery, int]]] = defaultdict(list)
        self._owed: dict[Key, int] = {}
        self._transfers = 0
        self._arrivals: dict[int, list[Purchase]] = defaultdict(list)
        for purchase in network.purchases:
            self._arrivals[purchase.day + purchase.late_days].append(purchase)
        self.counters = Counters()
        self.connect(None)

    def connect(self, channel: grpc.aio.Channel | None) -> None:
        """Takes another connection, after the server was started again."""
        if channel is not None:
            self._catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
            self._promises = promise_pb2_grpc.PromiseServiceStub(channel)
            self._stock = supply_pb2_grpc.SupplyServiceStub(channel)

    def dawn(self, day: int) -> int:
        """UTC milliseconds at which a business day begins."""
        return self._start_ms + day * DAY_MS

    def set_up_calls(self) -> int:
        """Calls that `set_up` makes."""
        return len(self._network.items) + len(self._network.opening) + len(self._network.dc_of) + 2

    async def set_up(self, done: Callable[[], None]) -> None:
        """Puts items and locations, and counts the opening stock."""
        network = self._network
        kinds = dict.fromkeys(network.dc_of, catalog_pb2.LOCATION_KIND_STORE)
        kinds |= dict.fromkeys(network.dc_of.values(), catalog_pb2.LOCATION_KIND_DC)

        def location(name: str) -> Callable[[], Awaitable[Any]]:
            put = catalog_pb2.Location(location=name, kind=kinds[name])
            return lambda: self._catalog.PutLocation(catalog_pb2.PutLocationRequest(context=context(), location=put))

        def item(name: str) -> Callable[[], Awaitable[Any]]:
            put = catalog_pb2.Item(item=name, base_unit="EA")
            return lambda: self._catalog.PutItem(catalog_pb2.PutItemRequest(context=context(), item=put))

        await many(map(location, kinds), done)
        await many(map(item, network.items), done)
        await many((self._counting(key, units) for key, units in network.opening.items()), done)

    async def open_day(self, day: int) -> None:
        """Everything that happens at the dawn of a day, in the order in which it does."""
        arriving = self._on_the_way.pop(day, [])
        await many(self._receiving(receipt, sent) for receipt, _, sent in arriving)
        await many(self._receiving(each.receipt, each.arrives) for each in self._arrivals.pop(day, []))
        purchases = self._network.purchases
        late = [each for each in purchases if each.late_days and each.day == day + 1]
        await many(self._postponing(each) for each in late)
        await many(self._buying(each) for each in purchases if each.day == day + PURCHASE_DAYS)
        await self._send(day + 1)
        await many(self._recounting(key, missing) for key, missing in self._network.counts.get(day, []))

    async def _send(self, day: int) -> None:
        """Sends what shall arrive at dawn of `day`, as far as the centres have it free; the rest is owed."""
        wanted = {(each.item, each.store): each.quantity for each in self._network.deliveries.get(day, [])}
        for key, units in self._owed.items():
            wanted[key] = wanted.get(key, 0) + units
        self._owed = {}
        keys = sorted(wanted)
        for start in range(0, len(keys), _LINES_MAX):
            some = keys[start : start + _LINES_MAX]
            free = await self._free({(item, self._network.dc_of[store]) for item, store in some})
            calls = []
            for item, store in some:
                units, dc = wanted[(item, store)], (item, self._network.dc_of[store])
                sent = min(units, free[dc])
                free[dc] -= sent
                if units > sent:
                    self._owed[(item, store)] = units - sent
                if sent:
                    calls.append(self._sending(Delivery(item, store, sent, day)))
            await many(calls)

    async def _free(self, keys: set[Key]) -> dict[Key, int]:
        asked: Sequence[Key] = sorted(keys)
        lines = [promise_pb2.CheckLine(item=item, location=location) for item, location in asked]
        answer = await self._promises.Check(promise_pb2.CheckRequest(lines=lines))
        return {key: result.available for key, result in zip(asked, answer.results, strict=True)}

    def _told(self, result: supply_pb2.SupplyResult) -> int:
        if result.refusal:
            raise RuntimeError(f"a supply event was refused with {result.refusal}: the demo plans none that can be")
        self.counters.shocks += result.HasField("shock")
        return result.revision

    def _counting(self, key: Key, units: int, version: int | None = None) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            request = supply_pb2.SetOnHandRequest(
                context=context(),
                item=key[0],
                location=key[1],
                status=common_pb2.STOCK_STATUS_UNRESTRICTED,
                quantity=units,
                expected_version=version,
            )
            answer = await self._stock.SetOnHand(request)
            self._tally.counted(self._told(answer.result), key, units)

        return call

    def _recounting(self, key: Key, missing: int) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            position = await self._stock.GetPosition(supply_pb2.GetPositionRequest(item=key[0], location=key[1]))
            # Compare-and-set: a movement between the look and the count would be noticed.
            await self._counting(key, max(0, position.unrestricted - missing), position.version)()
            self.counters.counts += 1

        return call

    def _buying(self, each: Purchase) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            request = supply_pb2.ScheduleReceiptRequest(
                context=context(),
                receipt_id=each.receipt,
                item=each.item,
                location=each.dc,
                quantity=each.quantity,
                due_time_ms=self.dawn(each.day),
                kind=common_pb2.RECEIPT_KIND_PURCHASE_ORDER,
            )
            revision = self._told((await self._stock.ScheduleReceipt(request)).result)
            self._tally.expected(revision, each.receipt, (each.item, each.dc), each.quantity, self.dawn(each.day))
            self.counters.purchases += 1

        return call

    def _postponing(self, each: Purchase) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            due_ms = self.dawn(each.day + each.late_days)
            request = supply_pb2.ChangeReceiptRequest(context=context(), receipt_id=each.receipt, due_time_ms=due_ms)
            self._tally.postponed(self._told((await self._stock.ChangeReceipt(request)).result), each.receipt, due_ms)
            self.counters.delays += 1

        return call

    def _receiving(self, receipt: str, units: int) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            request = supply_pb2.ReceiveRequest(
                context=context(),
                receipt_id=receipt,
                quantity=units,
                status=common_pb2.STOCK_STATUS_UNRESTRICTED,
                final=True,
            )
            self._tally.received(self._told((await self._stock.Receive(request)).result), receipt, units)
            self.counters.arrivals += 1

        return call

    def _sending(self, each: Delivery) -> Callable[[], Awaitable[None]]:
        self._transfers += 1
        receipt, dc = f"t-{self._transfers}", self._network.dc_of[each.store]

        async def call() -> None:
            request = supply_pb2.TransferRequest(
                context=context(),
                item=each.item,
                from_location=dc,
                to_location=each.store,
                quantity=each.quantity,
                receipt_id=receipt,
                due_time_ms=self.dawn(each.day),
            )
            revision = self._told((await self._stock.Transfer(request)).result)
            source, target = (each.item, dc), (each.item, each.store)
            self._tally.sent(revision, source, receipt, target, each.quantity, self.dawn(each.day))
            self._on_the_way[each.day].append((receipt, each, each.quantity))
            self.counters.transfers += 1

        return call
