"""The client of a Bespeak server."""

import time
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import pyarrow as pa
from google.protobuf.message import Message

from bespeak._flight import Tables
from bespeak._methods import Methods
from bespeak._methods.caller import Method
from bespeak._status import error_from_call
from bespeak._tls import Tls

R = TypeVar("R", bound=Message)

_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
)


class Client(Methods):
    """A connection to a server, with the methods of `Engine`. Threads may share one.

    Writes carry a request id. A call that fails with `DeadlineExceeded` or `Unavailable` may have been done:
    send it again with the same `request_id`, and it is done once.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Tls | bool = False,
        timeout_ms: int = 10_000,
        table_timeout_ms: int = 600_000,
        tenant: str = "",
        actor: str = "",
    ) -> None:
        """Connects when the first method is called.

        Args:
            address: "host:port", or "unix:/path".
            tls: True for TLS with the system's authorities, or the certificates to use.
            timeout_ms: milliseconds after which a call fails with DeadlineExceeded; the server is told it.
            table_timeout_ms: the same for a whole table.
            tenant: who the caller works for; kept in the journal with each write.
            actor: who or what writes; kept in the journal with each write.

        Raises:
            OSError: a certificate file cannot be read.
        """
        self.address = address
        self.tenant = tenant
        self.actor = actor
        self._timeout_s = timeout_ms / 1000
        self._table_timeout_s = table_timeout_ms / 1000
        self._tls = tls if isinstance(tls, Tls) else Tls() if tls else None
        self._channel = _channel(address, self._tls)
        self._flight: Tables | None = None
        self._calls: dict[Method[Any], grpc.UnaryUnaryMultiCallable[Any, Any]] = {}

    def close(self) -> None:
        """Closes the connection. Calls in progress end with an error."""
        self._channel.close()
        if self._flight is not None:
            self._flight.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    def _call(self, method: Method[R], request: Message) -> R:
        call = self._calls.get(method)
        if call is None:
            call = self._channel.unary_unary(
                method.path,
                request_serializer=type(request).SerializeToString,
                response_deserializer=method.response.FromString,
            )
            self._calls[method] = call
        try:
            response: R = call(request, timeout=self._timeout_s)
        except grpc.RpcError as failed:
            raise error_from_call(failed) from None
        return response

    def _exchange(self, job: str, table: pa.Table) -> pa.Table:
        return self._tables().exchange(job, table)

    def _dump(self, ticket: str) -> pa.Table:
        return self._tables().dump(ticket)

    def _tables(self) -> Tables:
        if self._flight is None:
            self._flight = Tables(self.address, self._tls, self._table_timeout_s)
        return self._flight

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def _channel(address: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes() if tls.ca else None,
        private_key=tls.key.read_bytes() if tls.key else None,
        certificate_chain=tls.certificate.read_bytes() if tls.certificate else None,
    )
    named = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
    return grpc.secure_channel(address, credentials, options=_OPTIONS + named)
