"""Tables over Arrow Flight, on the port of the other methods."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import flight

from bespeak._status import error_from_details
from bespeak._tls import Tls
from bespeak.errors import BespeakError, from_status, invalid

# The server takes messages of 4 MiB; half leaves room for what a batch carries beside its rows.
BATCH_BYTES = 2 << 20
BATCH_ROWS = 65_536
# What pyarrow raises for a status that it has a class for.
_STATUS_OF: tuple[tuple[type[Exception], int], ...] = (
    (flight.FlightTimedOutError, 4),
    (flight.FlightUnavailableError, 14),
    (flight.FlightUnauthorizedError, 7),
    (flight.FlightUnauthenticatedError, 16),
    (flight.FlightCancelledError, 1),
    (pa.ArrowNotImplementedError, 12),
    (pa.ArrowKeyError, 5),
    (pa.ArrowInvalid, 3),
    (pa.ArrowMemoryError, 8),
)
_SAID_BY_GRPC = re.compile(
    r"(?:Flight returned .*? error.*?, with message: )?(?P<message>.*?)\.? (?:Detail|gRPC client debug context): .*",
    re.S,
)


def connect(address: str, tls: Tls | None) -> flight.FlightClient:
    """Connects to a server when the first table is sent."""
    if address.startswith("unix:"):
        return flight.connect(f"grpc+unix://{address.removeprefix('unix:')}")
    if tls is None:
        return flight.connect(f"grpc://{address}")
    given: dict[str, object] = {}
    if tls.ca is not None:
        given["tls_root_certs"] = tls.ca.read_bytes()
    if tls.certificate is not None and tls.key is not None:
        given |= {"cert_chain": tls.certificate.read_bytes(), "private_key": tls.key.read_bytes()}
    if tls.server_name:
        given["override_hostname"] = tls.server_name
    return flight.connect(f"grpc+tls://{address}", **given)


def exchange(client: flight.FlightClient, job: str, table: pa.Table, timeout_s: float) -> pa.Table:
    """Sends a table and returns the answers, one row for each."""
    options = flight.FlightCallOptions(timeout=timeout_s)
    with _errors():
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(job), options)
        # Answers come while rows are still being sent: whoever only sent would wait for ever.
        with writer, ThreadPoolExecutor(1) as pool:
            sent = pool.submit(_send, writer, table)
            answers = reader.read_all()
            sent.result()
    return answers


def dump(client: flight.FlightClient, what: str, location: str, timeout_s: float) -> pa.Table:
    """Reads a table of the state."""
    ticket = flight.Ticket(json.dumps({"table": what, "location": location}))
    with _errors():
        return client.do_get(ticket, flight.FlightCallOptions(timeout=timeout_s)).read_all()


def _send(writer: flight.FlightStreamWriter, table: pa.Table) -> None:
    writer.begin(table.schema)
    rows = max(1, min(BATCH_ROWS, table.num_rows * BATCH_BYTES // max(1, table.nbytes)))
    for batch in table.to_batches(max_chunksize=rows):
        if batch.nbytes > 2 * BATCH_BYTES:
            raise invalid(f"table has rows of {batch.nbytes // batch.num_rows} bytes: send shorter values")
        writer.write_batch(batch)
    writer.done_writing()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except BespeakError:
        raise
    except (flight.FlightError, pa.ArrowException, OSError) as error:
        raise _told(error) from None


def _told(error: Exception) -> BespeakError:
    status = next((number for kind, number in _STATUS_OF if isinstance(error, kind)), 13)
    text = str(error)
    found = _SAID_BY_GRPC.fullmatch(text)
    message = found["message"] if found else text
    details = getattr(error, "extra_info", b"")
    if details:
        return error_from_details(status, message, details)
    names = {1: "CANCELLED", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 14: "UNAVAILABLE"}
    return from_status(status, names.get(status, "INTERNAL"), message)
