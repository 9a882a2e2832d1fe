"""Arrow Flight messages that are nearly right."""

import random
from collections.abc import Iterator

import pyarrow as pa

from tests.fuzz.messages import NAMES, damaged

SERVICE = "/arrow.flight.protocol.FlightService"


def _field(number: int, data: bytes) -> bytes:
    """One length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _descriptor(dice: random.Random) -> bytes:
    """FlightDescriptor: a path, a command, or neither."""
    job = dice.choice(["check", "reserve", "supply", "positions", "", "no such job"]).encode()
    return {0: b"\x08\x01" + _field(3, job), 1: b"\x08\x02" + _field(2, job), 2: b""}[dice.choice([0, 0, 0, 1, 2])]


def _table(dice: random.Random) -> pa.RecordBatch:
    rows = dice.choice([0, 1, 3, 100])
    names = pa.array([dice.choice(NAMES) for _ in range(rows)], pa.string())
    columns: dict[str, pa.Array] = {
        "item": names.dictionary_encode() if dice.random() < 0.3 else names,
        "location": pa.array([dice.choice(NAMES) for _ in range(rows)], pa.large_string()),
        "quantity": pa.array([dice.choice([0, 1, 5, None, -1, 2**62]) for _ in range(rows)], pa.int64()),
        "ship_time_ms": pa.array([dice.choice([0, None, -5, 2**62]) for _ in range(rows)], pa.int64()),
        "confirm": pa.array([dice.random() < 0.5 for _ in range(rows)], pa.bool_()),
        "tier": pa.array([float("nan")] * rows, pa.float64()),
    }
    kept = dice.sample(sorted(columns), dice.randint(0, len(columns)))
    return pa.RecordBatch.from_arrays([columns[name] for name in kept], names=kept)


def flight_messages(dice: random.Random) -> Iterator[bytes]:
    """A stream of FlightData: schema, dictionaries, batches, with damage in the metadata, the body or both."""
    batch = _table(dice)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    first = True
    for message in pa.ipc.MessageReader.open_stream(sink.getvalue()):
        header, body = message.metadata.to_pybytes(), message.body.to_pybytes() if message.body else b""
        if dice.random() < 0.3:
            header = damaged(dice, header)
        if dice.random() < 0.3:
            body = damaged(dice, body)
        data = (_field(1, _descriptor(dice)) if first else b"") + _field(2, header) + _field(1000, body)
        yield damaged(dice, data) if dice.random() < 0.1 else data
        first = False


def ticket(dice: random.Random) -> bytes:
    """A Ticket of DoGet."""
    known = dice.choice([b"positions", b"reservations", b"unmet", b"", b'{"table":"positions"}'])
    return _field(1, damaged(dice, known) if dice.random() < 0.6 else known)
