"""Arrow tables as IPC streams in bytes fields."""

from __future__ import annotations

import struct

import pyarrow as pa

# Numbers of the fields in the tables of Arrow's Message.fbs, and of the headers that have buffers.
_MESSAGE_HEADER_TYPE, _MESSAGE_HEADER = 1, 2
_DICTIONARY_DATA = 1
_BATCH_COMPRESSION = 3
_DICTIONARY, _BATCH = 2, 3
# Where Arrow 0.17 named the codec; later readers still obey it.
_EXPERIMENTAL = b"ARROW:experimental_compression"


class TableError(ValueError):
    """Bytes that hold no sound Arrow table."""


def read_table(data: bytes | pa.Buffer, what: str) -> pa.Table:
    """Reads an IPC stream without copying it, and checks every offset in it.

    Raises:
        TableError: it is no IPC stream, its buffers contradict each other, or they are compressed: a few bytes can say
            that they are gigabytes, and whoever reads them has to believe it.
    """
    try:
        packed = any(_is_compressed(message.metadata) for message in pa.ipc.MessageReader.open_stream(data))
        if not packed:
            with pa.ipc.open_stream(data) as reader:
                table = reader.read_all()
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, IndexError, struct.error) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TableError(
            f"{what} is no sound Arrow IPC stream ({reason}): write it with an IPC stream writer"
        ) from error
    if packed:
        raise TableError(f"{what} has compressed buffers: write it without compression")
    return table


def write_table(table: pa.Table) -> pa.Buffer:
    """Writes a table as one IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _is_compressed(metadata: pa.Buffer) -> bool:
    """Whether a message's metadata, which the reader has verified, name a codec. pyarrow has no call that tells it."""
    view = memoryview(metadata)
    message = _followed(view, 0)
    kind = _field(view, message, _MESSAGE_HEADER_TYPE)
    header = _field(view, message, _MESSAGE_HEADER)
    if kind is None or header is None or view[kind] not in (_DICTIONARY, _BATCH):
        return False
    batch: int | None = _followed(view, header)
    if view[kind] == _DICTIONARY:
        data = _field(view, _followed(view, header), _DICTIONARY_DATA)
        batch = None if data is None else _followed(view, data)
    named = batch is not None and _field(view, batch, _BATCH_COMPRESSION) is not None
    return named or _EXPERIMENTAL in bytes(view)


def _followed(view: memoryview, place: int) -> int:
    """Where the table lies that the offset at a place of a flatbuffer leads to."""
    (offset,) = struct.unpack_from("<I", view, place)
    return place + int(offset)


def _field(view: memoryview, table: int, number: int) -> int | None:
    """Where a field of a table lies; None where it is left out."""
    (back,) = struct.unpack_from("<i", view, table)
    fields = table - int(back)
    (size,) = struct.unpack_from("<H", view, fields)
    entry = 4 + 2 * number
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", view, fields + entry)
    return table + int(offset) if offset else None
