"""Promises at a rate: `python -m loadtests.allocation.promises ADDRESS RATE ITEM`.

Reads seconds from standard input, a line a spell, and prints latencies of the spell as one JSON line. Open loop: a
promise starts at its time, and its latency counts from then.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time

import grpc

from bespeak.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, promise_pb2, promise_pb2_grpc

HOLD_MS = 30_000
PATIENCE_S = 30.0


def spell(
    stub: promise_pb2_grpc.PromiseServiceStub, seconds: float, rate: float, item: str, places: list[str]
) -> dict[str, object]:
    """Holds one unit at each of the intended times, which are those of a Poisson process."""
    from loadtests.allocation.through_server import request_id

    took: list[float] = []
    failed: list[str] = []
    done = threading.Semaphore(0)

    def ended(call: grpc.Future, intended: float) -> None:
        took.append(1000 * (time.perf_counter() - intended))
        if call.exception() is not None:
            failed.append(str(call.exception()))
        done.release()

    sent = 0
    begun = time.perf_counter()
    intended = begun
    while (intended := intended + random.expovariate(rate)) < begun + seconds:
        request = promise_pb2.ReserveRequest(
            context=common_pb2.RequestContext(request_id=request_id()),
            lines=[promise_pb2.ReserveLine(item=item, location=random.choice(places), quantity=1)],
            expires_in_ms=HOLD_MS,
        )
        time.sleep(max(0.0, intended - time.perf_counter()))
        call = stub.Reserve.future(request, timeout=PATIENCE_S)
        call.add_done_callback(lambda call, intended=intended: ended(call, intended))
        sent += 1
    for _ in range(sent):
        done.acquire()
    return {"milliseconds": took, "failed": len(failed), "why": failed[:1]}


def main() -> None:
    """See the module."""
    address, rate, item = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        catalog = catalog_pb2_grpc.CatalogServiceStub(channel)
        places = [each.location for each in catalog.ListLocations(catalog_pb2.ListLocationsRequest()).locations]
        stub = promise_pb2_grpc.PromiseServiceStub(channel)
        for line in sys.stdin:
            print(json.dumps(spell(stub, float(line), float(rate), item, places)), flush=True)


if __name__ == "__main__":
    main()
