"""Batches through a server with reservation, one at a time, and what promises notice of it.

Spells of promises alone and beside batches take turns, in pairs whose order changes. Promises are open loop, from a
process of their own (`loadtests.allocation.promises`): each has its intended start, whatever the server does. Each batch
finds its stock untouched: every copy of it has items of its own, and what a spell held is released after the spell.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.compute as pc

from bespeak.v1 import (
    allocation_pb2,
    allocation_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    promise_pb2,
    promise_pb2_grpc,
    supply_pb2,
    supply_pb2_grpc,
)
from loadtests.allocation.evaluate import evaluate
from loadtests.allocation.instances import SUITE, make
from loadtests.allocation.solvers import RULES, run
from loadtests.allocation.suite import Line
from loadtests.allocation.tables import Tables, stream_of
from loadtests.allocation.targets import GRPC, GRPC_BUDGET_MS, GRPC_P99_MS, PROMISES_RATIO
from loadtests.row import row

NETWORK = "suite"
SPELL_S = 1.5
HOLD_MS = 600_000
#: In the air at once while the server is filled and emptied.
PIPELINE = 64
#: Own stock of the promises, at every location.
PROMISED = "promised"


def request_id() -> str:
    """A UUID of version 7."""
    stamp = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    tail = bytearray(secrets.token_bytes(10))
    tail[0], tail[2] = 0x70 | tail[0] & 0x0F, 0x80 | tail[2] & 0x3F
    text = (stamp + bytes(tail)).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def context() -> common_pb2.RequestContext:
    """Of a write."""
    return common_pb2.RequestContext(request_id=request_id())


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the values does not exceed."""
    return sorted(values)[max(0, -(-len(values) * int(1000 * share) // 1000) - 1)]


def rounds(*, quick: bool, seed: int) -> Iterator[Line]:
    """Yields a line a spell and the rows."""
    shape = SUITE["tiny" if quick else "mid"]
    pairs, copies, rate = (1, 6, 50) if quick else (10, 24, 200)
    given = server_tables(make(shape, seed))
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory())
        address = stack.enter_context(_server(Path(place)))
        channel = stack.enter_context(grpc.insecure_channel(address))
        client = Batches(channel, given, copies)
        promises = stack.enter_context(_promises(address, rate))
        spell_of(promises, SPELL_S)
        client.spell(0.5)
        client.release()
        alone: list[float] = []
        beside: list[float] = []
        calls: list[float] = []
        for pair in range(pairs):
            halves: dict[bool, list[float]] = {}
            for busy in (False, True) if pair % 2 else (True, False):
                promises.start(SPELL_S)
                took = client.spell(SPELL_S) if busy else []
                halves[busy] = promises.latencies()
                client.release()
                calls += took
                said = {
                    "promise_p50_ms": percentile(halves[busy], 0.5),
                    "promise_p99_ms": percentile(halves[busy], 0.99),
                }
                yield {"kind": "spell", "pair": pair, "batches": len(took), "promises": len(halves[busy])} | said
            alone += halves[False]
            beside += halves[True]
        yield client.described(given, calls)
    words = f"{shape.orders:,} x {shape.locations} with reservation in {GRPC_BUDGET_MS} ms"
    yield row(GRPC, words, "p99_ms", "server", [percentile(calls, 0.99)], bound=GRPC_P99_MS)
    slower = percentile(beside, 0.99) / percentile(alone, 0.99)
    words = "p99 of promises beside batches, to p99 without"
    yield row(f"{GRPC}-promises", words, "ratio", "server", [slower], bound=PROMISES_RATIO)


def server_tables(given: Tables) -> Tables:
    """With the server's own stock, the limits of the higher classes follow from shares."""
    stock = given.stock.filter(pc.equal(given.stock["class"], 0)).drop_columns(["class"])
    protection = pa.table({"class": pa.array([1, 2], pa.int32()), "keep_ppm": [100_000, 250_000]})
    return dataclasses.replace(given, stock=stock, protection=protection)


@contextmanager
def _server(place: Path) -> Iterator[str]:
    """A server with a journal, and its address."""
    command = [sys.executable, "-m", "serving", "server", "--listen", "127.0.0.1:0", "--data", str(place / "journal")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=place, env=_environment())
    try:
        assert process.stderr is not None
        address = ""
        for line in process.stderr:
            said = json.loads(line) if line.startswith("{") else {}
            address = said.get("address", address)
            if said.get("event") == "serving":
                break
        else:
            raise SystemExit("error: the server did not start")
        os.set_blocking(process.stderr.fileno(), False)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _environment() -> dict[str, str]:
    """Modules are found from the server's directory as well."""
    repo = Path(__file__).resolve().parents[2]
    paths = [str(repo), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BESPEAK_")}
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


class _Promises:
    """The process that promises."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process

    def start(self, seconds: float) -> None:
        """Begins a spell."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()

    def latencies(self) -> list[float]:
        """Of the spell that was begun, milliseconds, once it is over."""
        assert self._process.stdout is not None
        found = json.loads(self._process.stdout.readline())
        if found["failed"]:
            raise SystemExit(f"error: {found['failed']} promises failed: {found['why']}")
        return list(found["milliseconds"])


def spell_of(promises: _Promises, seconds: float) -> list[float]:
    """A whole spell."""
    promises.start(seconds)
    return promises.latencies()


@contextmanager
def _promises(address: str, rate: int) -> Iterator[_Promises]:
    command = [sys.executable, "-m", "loadtests.allocation.promises", address, str(rate), PROMISED]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment())
    try:
        yield _Promises(process)
    finally:
        process.kill()
        process.wait()


class Batches:
    """Copies of a batch in a server."""

    def __init__(self, channel: grpc.Channel, given: Tables, copies: int):
        self._allocate = allocation_pb2_grpc.AllocationServiceStub(channel)
        self._promise = promise_pb2_grpc.PromiseServiceStub(channel)
        self._copies = [_renamed(given, f"-{number}") for number in range(copies)]
        self._orders = [stream_of(copy.orders) for copy in self._copies]
        self._held: list[int] = []
        self._answers: list[tuple[Tables, allocation_pb2.AllocateResponse]] = []
        self._fill(channel, given)
        network = allocation_pb2.Network(
            **{name: stream for name, stream in given.streams().items() if name not in ("orders", "stock")}
        )
        self._allocate.PutNetwork(allocation_pb2.PutNetworkRequest(name=NETWORK, network=network))

    def _fill(self, channel: grpc.Channel, given: Tables) -> None:
        catalog, supply = catalog_pb2_grpc.CatalogServiceStub(channel), supply_pb2_grpc.SupplyServiceStub(channel)
        places = given.locations["location"].to_pylist() if given.locations else []
        for place in places:
            catalog.PutLocation(
                catalog_pb2.PutLocationRequest(context=context(), location=catalog_pb2.Location(location=place))
            )
        stocked = [row for copy in self._copies for row in copy.stock.to_pylist()]
        wanted = {name for copy in self._copies for name in copy.orders["item"].to_pylist()}
        items = sorted(wanted | {row["item"] for row in stocked} | {PROMISED})
        _all(
            catalog.PutItem.future(
                catalog_pb2.PutItemRequest(context=context(), item=catalog_pb2.Item(item=name, base_unit="each"))
            )
            for name in items
        )
        stocked += [{"item": PROMISED, "location": place, "available": 1_000_000_000} for place in places]
        _all(
            supply.SetOnHand.future(
                supply_pb2.SetOnHandRequest(
                    context=context(), item=row["item"], location=row["location"], quantity=row["available"]
                )
            )
            for row in stocked
        )

    def spell(self, seconds: float) -> list[float]:
        """Plans and holds one copy after the other until the time is over; milliseconds of each call."""
        took = []
        until = time.perf_counter() + seconds
        for copy, orders in zip(self._copies, self._orders, strict=True):
            if time.perf_counter() >= until:
                break
            request = allocation_pb2.AllocateRequest(
                orders=orders,
                network_name=NETWORK,
                budget_ms=GRPC_BUDGET_MS,
                hold=allocation_pb2.AllocationHold(context=context(), expires_in_ms=HOLD_MS),
            )
            started = time.perf_counter()
            answer = self._allocate.Allocate(request)
            took.append(1000 * (time.perf_counter() - started))
            self._held += [order.reservation_id for order in answer.held if order.reservation_id]
            self._answers.append((copy, answer))
        return took

    def release(self) -> None:
        """Gives back all that is held."""
        _all(
            self._promise.Release.future(promise_pb2.ReleaseRequest(context=context(), reservation_id=number))
            for number in self._held
        )
        self._held.clear()

    def judged(self) -> tuple[int, allocation_pb2.AllocateResponse]:
        """Cost of the last plan from the tables alone, and the answer that told it."""
        copy, answer = self._answers[-1]
        outcome = evaluate(copy, pa.ipc.open_stream(answer.plan).read_all())
        if outcome.total != answer.objective_minor:
            raise SystemExit(f"error: the server says {answer.objective_minor}, the plan costs {outcome.total}")
        return outcome.total, answer

    def described(self, given: Tables, calls: Sequence[float]) -> Line:
        """The last plan, judged from the tables, and all calls."""
        cost, answer = self.judged()
        reference = run("highs", given, 20_000)
        rules = run(RULES, given, 0)
        assert rules.plan is not None
        bound = max(reference.bound or 0, answer.bound_minor)
        return {
            "kind": "calls",
            "calls": len(calls),
            "p50_ms": percentile(calls, 0.5),
            "p99_ms": percentile(calls, 0.99),
            "most_ms": max(calls),
            "cost": cost,
            "gap_percent": 100 * (cost / bound - 1),
            "rules_gap_percent": 100 * (evaluate(given, rules.plan).total / bound - 1),
            "made_by": answer.made_by,
            "fallback": answer.fallback,
            "orders_held": sum(order.reservation_id > 0 for order in answer.held),
            "orders_replanned": sum(order.replanned > 0 for order in answer.held),
        }


def _renamed(given: Tables, suffix: str) -> Tables:
    """The same batch of other items."""

    def other(table: pa.Table) -> pa.Table:
        names = pc.binary_join_element_wise(table["item"], suffix, "")
        return table.set_column(table.column_names.index("item"), "item", names)

    return dataclasses.replace(given, orders=other(given.orders), stock=other(given.stock))


def _all(calls: Iterator[grpc.Future]) -> None:
    """Makes calls, some at a time; the first that fails is raised."""
    while some := list(itertools.islice(calls, PIPELINE)):
        for call in some:
            call.result()
