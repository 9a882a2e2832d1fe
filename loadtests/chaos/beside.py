"""What goes on beside promises: a push of forecasts for the whole catalogue, and batches of orders that are held."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.flight

from bespeak.v1 import catalog_pb2, catalog_pb2_grpc
from loadtests.allocation.instances import SUITE, make
from loadtests.allocation.through_server import Batches, context, percentile, server_tables

Line = dict[str, Any]
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DAYS = 28
PLACE = "dc-1"
"""Where the generator's stock lies."""
TABLE = "forecasts"
ROWS = 65_536
FILLED_ROWS = 8_192
#: Copies of a batch; each finds its stock untouched.
COPIES = 24


class Push:
    """Forecasts of every position of the catalogue, made before they are sent.

    Args:
        address: of the server.
        positions: how many of the generator's items there are.
    """

    def __init__(self, address: str, positions: int) -> None:
        self._address = address
        self.rows = positions * DAYS
        rng = np.random.default_rng(positions)
        values = np.sort(rng.gamma(2.0, 4.0, (self.rows, len(LEVELS))), axis=1)
        first = int(time.time() // 86_400)
        names = [f"sku-{number:07}" for number in range(positions)]
        table = {
            "item": pa.DictionaryArray.from_arrays(np.repeat(np.arange(positions, dtype=np.int32), DAYS), names),
            "location": pa.DictionaryArray.from_arrays(np.zeros(self.rows, np.int32), [PLACE]),
            "day": pa.array(np.tile(np.arange(first, first + DAYS, dtype=np.int32), positions)).cast(pa.date32()),
            "mean": values.mean(axis=1),
        }
        self._table = pa.table(table | {str(level): values[:, at] for at, level in enumerate(LEVELS)})

    def send(self) -> Line:
        """Pushes all of them; returns what the server says of it."""
        what = json.dumps({"table": TABLE, "model": "bench@1"}).encode()
        with pyarrow.flight.connect(f"grpc://{self._address}") as client:
            descriptor = pyarrow.flight.FlightDescriptor.for_command(what)
            writer, reader = client.do_put(descriptor, self._table.schema)
            with writer:
                for batch in self._table.to_batches(max_chunksize=ROWS // DAYS * DAYS // 8):
                    writer.write_batch(batch)
                writer.done_writing()
                answer = reader.read()
            # Closing it has raised what the server refused.
            told = pa.ipc.open_stream(answer).read_all().to_pylist()[0]
        if told["positions"] * DAYS != self.rows:
            raise ValueError(
                f"the server took forecasts of {told['positions']} positions, {self.rows // DAYS} were sent"
            )
        return {"position_days": self.rows, "positions": told["positions"]}


class Filler:
    """Rows that fill a journal soon: counts of one item that nobody asks for."""

    ITEM = "filler"

    def __init__(self, address: str) -> None:
        self._client = pyarrow.flight.connect(f"grpc://{address}")
        with grpc.insecure_channel(address) as channel:
            item = catalog_pb2.Item(item=self.ITEM, base_unit="each")
            request = catalog_pb2.PutItemRequest(context=context(), item=item)
            catalog_pb2_grpc.CatalogServiceStub(channel).PutItem(request)

    def write(self, rows: int) -> None:
        """So many records, in one table."""
        raw = np.frombuffer(os.urandom(16 * rows), np.uint8).reshape(rows, 16).copy()
        # Ids of version 7: the time, then what tells them apart.
        raw[:, :6] = np.frombuffer((time.time_ns() // 1_000_000).to_bytes(6, "big"), np.uint8)
        raw[:, 6], raw[:, 8] = 0x70 | raw[:, 6] & 0x0F, 0x80 | raw[:, 8] & 0x3F
        table = pa.table(
            {
                "event": pa.array(["set_on_hand"] * rows).dictionary_encode(),
                "request_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows, [None, pa.py_buffer(raw)]),
                "item": pa.array([self.ITEM] * rows).dictionary_encode(),
                "location": pa.array([PLACE] * rows).dictionary_encode(),
                "quantity": np.arange(rows),
            }
        )
        writer, reader = self._client.do_exchange(pyarrow.flight.FlightDescriptor.for_path("supply"))
        with writer:
            writer.begin(table.schema)
            for batch in table.to_batches(max_chunksize=FILLED_ROWS):
                writer.write_batch(batch)
                errors = reader.read_chunk().data["error"]
                if errors.null_count != len(errors):
                    raise ValueError(f"a count was refused: {errors.drop_null()[0]}")

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()


class Allocator:
    """Batches of 50 orders over 10 locations, planned and held one after another."""

    def __init__(self, address: str, seed: int) -> None:
        self._channel = grpc.insecure_channel(address)
        self._batches = Batches(self._channel, server_tables(make(SUITE["tiny"], seed)), COPIES)

    def hold(self, seconds: float) -> list[float]:
        """Plans and holds for so long; milliseconds of each call."""
        took: list[float] = []
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            took += self._batches.spell(left)
            # All copies are held: they are given back, and it goes on.
            if until > time.perf_counter():
                self._batches.release()
        return took

    def settled(self, took: list[float]) -> Line:
        """Gives back what is held, and judges the last plan from the tables alone."""
        self._batches.release()
        _, answer = self._batches.judged()
        return {
            "batches": len(took),
            "batch_p50_ms": percentile(took, 0.5),
            "batch_max_ms": max(took),
            "orders_held": sum(order.reservation_id > 0 for order in answer.held),
            "made_by": answer.made_by,
        }

    def close(self) -> None:
        """Lets go of the connection."""
        self._channel.close()
