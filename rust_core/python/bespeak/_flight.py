"""Tables over Arrow Flight, on the port of the other methods."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import flight

from bespeak._status import DETAILS_KEY, error_from_details
from bespeak._tls import Tls
from bespeak.errors import BespeakError, from_status, invalid

# The server takes messages of 4 MiB; half leaves room for what a batch carries beside its rows.
BATCH_BYTES = 2 << 20
# Of a table that nobody waits for: the server takes each batch between two promises.
PUT_BATCH_BYTES = 256 << 10
BATCH_ROWS = 65_536
# What pyarrow raises when no server answered.
_STATUS_OF: tuple[tuple[type[Exception], int, str], ...] = (
    (flight.FlightTimedOutError, 4, "DEADLINE_EXCEEDED"),
    (flight.FlightUnavailableError, 14, "UNAVAILABLE"),
    (flight.FlightCancelledError, 1, "CANCELLED"),
    (pa.ArrowInvalid, 3, "INVALID_ARGUMENT"),
)
_WRAPPED = re.compile(
    r"Flight returned .*? error, with message: (?P<message>.*?)\. gRPC client debug context: .*", re.S
)


class _Details(flight.ClientMiddleware):  # type: ignore[misc]
    """Keeps what the server said of a failed call: pyarrow's own exceptions leave it out."""

    def __init__(self) -> None:
        super().__init__()
        self.status = b""

    def received_headers(self, headers: Mapping[str, list[str | bytes]]) -> None:
        for value in headers.get(DETAILS_KEY, ()):
            if isinstance(value, bytes):
                self.status = value


class _EachCall(flight.ClientMiddlewareFactory):  # type: ignore[misc]
    """Starts every call with details of its own; a thread makes one call at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = threading.local()

    def start_call(self, info: object) -> _Details:  # noqa: ARG002 - the library passes it
        details = _Details()
        self._calls.last = details
        return details

    def last_status(self) -> bytes:
        details: _Details | None = getattr(self._calls, "last", None)
        return details.status if details else b""


class Tables:
    """A connection for tables. Threads may share one."""

    def __init__(self, address: str, tls: Tls | None, timeout_s: float) -> None:
        self._calls = _EachCall()
        self._client = connect(address, tls, [self._calls])
        self._options = flight.FlightCallOptions(timeout=timeout_s)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def exchange(self, job: str, table: pa.Table) -> pa.Table:
        """Sends a table and returns the answers, one row for each."""
        table = _without_large_dictionaries(table)
        batches = _batches(table, BATCH_BYTES)
        with self._errors():
            writer, reader = self._client.do_exchange(flight.FlightDescriptor.for_path(job), self._options)
            with writer:
                writer.begin(table.schema)
                answers = [answer for batch in batches for answer in _answered(writer, reader, batch)]
                writer.done_writing()
                rest = reader.read_all()
        return pa.concat_tables([pa.Table.from_batches(answers, rest.schema), rest])

    def dump(self, ticket: str) -> pa.Table:
        """Reads a table."""
        with self._errors():
            return self._client.do_get(flight.Ticket(ticket), self._options).read_all()

    def put(self, descriptor: dict[str, object], table: pa.Table) -> pa.Table:
        """Sends a table that is taken as a whole and returns what was made of it: the server may say so in parts."""
        table = _without_large_dictionaries(table)
        answers = []
        with self._errors():
            command = flight.FlightDescriptor.for_command(json.dumps(descriptor))
            writer, reader = self._client.do_put(command, table.schema, self._options)
            with writer:
                _send(writer, _batches(table, PUT_BATCH_BYTES))
                while (answer := reader.read()) is not None:
                    answers.append(pa.ipc.open_stream(answer).read_all())
            if not answers:
                raise invalid("the server gave no answer")
        return pa.concat_tables(answers)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BespeakError:
            raise
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            raise error_from_details(self._calls.last_status()) or _unanswered(error) from None


def connect(address: str, tls: Tls | None, middleware: list[flight.ClientMiddlewareFactory]) -> flight.FlightClient:
    """Connects to a server when the first table is sent."""
    given: dict[str, object] = {"middleware": middleware}
    if address.startswith("unix:"):
        return flight.connect(f"grpc+unix://{address.removeprefix('unix:')}", **given)
    if tls is None:
        return flight.connect(f"grpc://{address}", **given)
    if tls.ca is not None:
        given["tls_root_certs"] = tls.ca.read_bytes()
    if tls.certificate is not None and tls.key is not None:
        given |= {"cert_chain": tls.certificate.read_bytes(), "private_key": tls.key.read_bytes()}
    if tls.server_name:
        given["override_hostname"] = tls.server_name
    return flight.connect(f"grpc+tls://{address}", **given)


def _send(writer: flight.FlightStreamWriter, batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        writer.write_batch(batch)
    writer.done_writing()


def _answered(
    writer: flight.FlightStreamWriter, reader: flight.FlightStreamReader, batch: pa.RecordBatch
) -> Iterator[pa.RecordBatch]:
    """Sends a batch and reads the answers to its rows, before the next one is sent.

    Not with a thread that sends: a stream that ends under it, as when the server refuses a row, ends the process.
    """
    writer.write_batch(batch)
    rows = batch.num_rows
    while rows > 0:
        answer = next(reader, None)
        if answer is None:
            raise invalid("the server ended before its last answer")
        rows -= answer.data.num_rows
        yield answer.data


def _batches(table: pa.Table, batch_bytes: int) -> list[pa.RecordBatch]:
    """The table in batches of about so many bytes."""
    rows = max(1, min(BATCH_ROWS, table.num_rows * batch_bytes // max(1, sum(map(_bytes, table.to_batches())))))
    return [part for batch in table.to_batches(max_chunksize=rows) for part in _small_enough(batch)]


def _small_enough(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch, halved as long as its message would be too large: its rows may be much longer than the others."""
    if (size := _bytes(batch)) <= 2 * BATCH_BYTES:
        yield batch
    elif batch.num_rows == 1:
        raise invalid(f"table has a row of {size} bytes: send shorter values")
    else:
        half = batch.num_rows // 2
        yield from _small_enough(batch.slice(0, half))
        yield from _small_enough(batch.slice(half))


def _bytes(batch: pa.RecordBatch) -> int:
    """Bytes of the rows; dictionaries have messages of their own."""
    columns = (column.indices if pa.types.is_dictionary(column.type) else column for column in batch.columns)
    return int(sum(column.nbytes for column in columns))


def _without_large_dictionaries(table: pa.Table) -> pa.Table:
    """The table with plain columns where a dictionary would be too large for one message."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(place)
            if any(chunk.dictionary.nbytes > BATCH_BYTES for chunk in column.chunks):
                table = table.set_column(place, field.name, column.cast(field.type.value_type))
    return table


def _unanswered(error: Exception) -> BespeakError:
    """The error for a call that no server answered."""
    known = ((number, name) for kind, number, name in _STATUS_OF if isinstance(error, kind))
    status, name = next(known, (13, "INTERNAL"))
    found = _WRAPPED.fullmatch(str(error))
    return from_status(status, name, found["message"] if found else str(error))
