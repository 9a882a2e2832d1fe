"""Arrow tables as IPC streams in bytes fields."""

from __future__ import annotations

import pyarrow as pa


class TableError(ValueError):
    """Bytes that hold no sound Arrow table."""


def read_table(data: bytes | pa.Buffer, what: str) -> pa.Table:
    """Reads an IPC stream without copying it, and checks every offset in it.

    Raises:
        TableError: it is no IPC stream, or its buffers contradict each other.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TableError(
            f"{what} is no sound Arrow IPC stream ({reason}): write it with an IPC stream writer"
        ) from error
    return table


def write_table(table: pa.Table) -> pa.Buffer:
    """Writes a table as one IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
