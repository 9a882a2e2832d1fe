"""A peer: the order promising that a Python team writes first, grpc.aio over a dict. It keeps nothing.

It speaks the part of the protocol that the job needs (Check, Reserve, Confirm, Release of one line), so that the client of
Bespeak's own calls drives it. The same request id is answered the same; holds do not expire, in the peer's favour.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from bespeak.v1 import common_pb2, promise_pb2

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

HELD, CONFIRMED, RELEASED = "held", "confirmed", "released"
SKU_PREFIX = "sku-"


class Stock:
    """Units by SKU, and holds on them."""

    def __init__(self, units: list[int]) -> None:
        self.left = {f"{SKU_PREFIX}{sku:07}": count for sku, count in enumerate(units)}
        self._by_request: dict[str, int] = {}
        self._holds: dict[int, list[str | int]] = {}

    def reserve(self, request_id: str, item: str, quantity: int) -> int:
        """The number of a hold, of the first time when it was asked before; 0 when there is not enough."""
        known = self._by_request.get(request_id)
        if known is not None:
            return known
        if self.left.get(item, 0) < quantity:
            return 0
        self.left[item] -= quantity
        number = len(self._holds) + 1
        self._holds[number] = [HELD, item, quantity]
        self._by_request[request_id] = number
        return number

    def settle(self, number: int, state: str) -> bool:
        """Confirms or releases a hold, once; whether it is in that state now."""
        hold = self._holds.get(number)
        if hold is None:
            return False
        if hold[0] == HELD:
            hold[0] = state
            if state == RELEASED:
                self.left[str(hold[1])] += int(hold[2])
        return hold[0] == state


class Promises:
    """The calls of the job."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock

    async def check(self, request: promise_pb2.CheckRequest, _: Context) -> promise_pb2.CheckResponse:
        """What is left of each item."""
        answer = promise_pb2.CheckResponse()
        for line in request.lines:
            left = self._stock.left.get(line.item, 0)
            in_full = left >= max(line.quantity, 1)
            answer.results.add(item=line.item, location=line.location, available=left, in_full=in_full)
        return answer

    async def reserve(self, request: promise_pb2.ReserveRequest, _: Context) -> promise_pb2.ReserveResponse:
        """Holds one line, in full or not at all."""
        (line,) = request.lines
        number = self._stock.reserve(request.context.request_id, line.item, line.quantity)
        answer = promise_pb2.ReserveResponse(reservation_id=number)
        result = answer.lines.add(item=line.item, requested_quantity=line.quantity)
        if number:
            answer.outcome = promise_pb2.OUTCOME_FULL
            result.held_quantity = line.quantity
            result.parts.add(location=line.location, quantity=line.quantity)
        else:
            answer.outcome = promise_pb2.OUTCOME_REFUSED
            result.refusal = common_pb2.REFUSAL_INSUFFICIENT_STOCK
        return answer

    async def confirm(self, request: promise_pb2.ConfirmRequest, _: Context) -> promise_pb2.ConfirmResponse:
        """Makes a hold an order."""
        done = self._stock.settle(request.reservation_id, CONFIRMED)
        return promise_pb2.ConfirmResponse(refusal=_refusal(done=done))

    async def release(self, request: promise_pb2.ReleaseRequest, _: Context) -> promise_pb2.ReleaseResponse:
        """Gives the units of a hold back."""
        done = self._stock.settle(request.reservation_id, RELEASED)
        return promise_pb2.ReleaseResponse(refusal=_refusal(done=done))

    def handlers(self) -> grpc.GenericRpcHandler:
        """The four methods under the names of the protocol."""

        def method(behaviour: Any, asked: Any, answered: Any) -> grpc.RpcMethodHandler[Any, Any]:
            return grpc.unary_unary_rpc_method_handler(behaviour, asked.FromString, answered.SerializeToString)

        methods = {
            "Check": method(self.check, promise_pb2.CheckRequest, promise_pb2.CheckResponse),
            "Reserve": method(self.reserve, promise_pb2.ReserveRequest, promise_pb2.ReserveResponse),
            "Confirm": method(self.confirm, promise_pb2.ConfirmRequest, promise_pb2.ConfirmResponse),
            "Release": method(self.release, promise_pb2.ReleaseRequest, promise_pb2.ReleaseResponse),
        }
        return grpc.method_handlers_generic_handler("bespeak.v1.PromiseService", methods)


def _refusal(*, done: bool) -> common_pb2.Refusal.ValueType:
    return common_pb2.REFUSAL_UNSPECIFIED if done else common_pb2.REFUSAL_WRONG_STATE


async def serve(listen: str, stock: Stock) -> None:
    """Serves until it is told to stop."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Promises(stock).handlers(),))
    server.add_insecure_port(listen)
    await server.start()
    ended = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, ended.set)
    await ended.wait()
    await server.stop(grace=None)


def main() -> None:
    """Reads the stock and serves it."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.peers.aio", description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--stocks", required=True, type=Path, help="a file: units of each SKU from 0 on, one a line")
    options = parser.parse_args()
    units = [int(line) for line in options.stocks.read_text(encoding="utf-8").split()]
    asyncio.run(serve(options.listen, Stock(units)))


if __name__ == "__main__":
    main()
