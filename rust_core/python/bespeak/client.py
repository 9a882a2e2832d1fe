"""The client of a Bespeak server."""

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import pyarrow as pa
from google.protobuf.message import Message

from bespeak._codec import decode
from bespeak._flight import Tables
from bespeak._methods import Methods
from bespeak._methods.allocation import order_message, terms_message
from bespeak._methods.caller import Method
from bespeak._methods.tables import as_table, ticket
from bespeak._status import error_from_call
from bespeak._tls import Tls
from bespeak.requests import AllocationOrder, AllocationTerms, ArrowStream
from bespeak.results import SubmittedOrder
from bespeak.session import AvailabilityWatch, Session
from bespeak.v1 import allocation_pb2, promise_pb2

R = TypeVar("R", bound=Message)

_TERMS = AllocationTerms()
_SESSION = Method("PromiseService", "Session", promise_pb2.SessionResponse)
_WATCH = Method("PromiseService", "WatchAvailability", promise_pb2.WatchAvailabilityResponse)
_SUBMIT_ORDERS = Method("AllocationService", "SubmitOrders", allocation_pb2.SubmitOrdersResponse)
_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push of forecasts did.

    Attributes:
        positions: positions whose forecast is new.
        rows: rows that were sent.
        older: positions that kept what they had, since it is of a later time.
        buffers_changed: buffers that moved.
        revision: journal position of the last of them; 0 when none did.
    """

    positions: int
    rows: int
    older: int
    buffers_changed: int
    revision: int


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

    def session(self) -> Session:
        """Opens a stream on which checks and orders are pipelined; threads may share it.

        A server that is away is told by the first call on it.
        """
        open_stream = self._channel.stream_stream(
            _SESSION.path,
            request_serializer=promise_pb2.SessionRequest.SerializeToString,
            response_deserializer=_SESSION.response.FromString,
        )
        return Session(open_stream, timeout_ms=round(self._timeout_s * 1000), tenant=self.tenant, actor=self.actor)

    def watch_availability(self, items: Iterable[str] = (), locations: Iterable[str] = ()) -> AvailabilityWatch:
        """Gives every change of what can be promised, from now on, as it becomes durable.

        Args:
            items: which; none are all.
            locations: where; none are all.

        Raises:
            NotFound: from the first `next`: an item or location is not known.
        """
        watch = self._channel.unary_stream(
            _WATCH.path,
            request_serializer=promise_pb2.WatchAvailabilityRequest.SerializeToString,
            response_deserializer=_WATCH.response.FromString,
        )
        return AvailabilityWatch(watch(promise_pb2.WatchAvailabilityRequest(items=items, locations=locations)))

    def push_forecasts(self, table: ArrowStream, model: str, computed_at_ms: int = 0) -> PushResult:
        """Gives the server forecasts by day: all of them, or none when a row is wrong.

        Args:
            table: columns `item`, `location` (text), `day` (date, timestamp or days since 1970), `mean` and one column
                a quantile level, such as `0.9` (float, base units). A position's days follow one another.
            model: who made them, such as "patch-nano@2".
            computed_at_ms: when; 0 is now. A position keeps what it has of a later time.

        Raises:
            InvalidArgument: names the row and column that cannot be.
        """
        return self._push("forecasts", table, model, computed_at_ms)

    def push_forecast_totals(self, table: ArrowStream, model: str, computed_at_ms: int = 0) -> PushResult:
        """Gives the server forecasts of demand over several days; buffers that follow them are set before it answers.

        Args:
            table: as of `push_forecasts`, with `horizon_days` (1 to 366) in the place of `day`.
            model: as there.
            computed_at_ms: as there.

        Raises:
            InvalidArgument: as there.
        """
        return self._push("forecast_totals", table, model, computed_at_ms)

    def submit_orders(
        self,
        orders: Iterable[AllocationOrder],
        terms: AllocationTerms = _TERMS,
        *,
        delay_ms: int = 0,
        hold: bool = False,
        expires_in_ms: int = 0,
        confirm: bool = False,
        request_id: str | uuid.UUID | None = None,
    ) -> Iterator[SubmittedOrder]:
        """Sends orders as they come, and gives their plans: orders that come close together are planned together.

        Args:
            orders: read as fast as the server takes them; each is answered once, in batches, in no stated order.
            terms: how to plan, by a network and the engine's own stock.
            delay_ms: longest wait for others to plan with, at most 1,000; 0 is the server's default.
            hold: as of `allocate`.
            expires_in_ms: as there.
            confirm: as there.
            request_id: as there.

        Raises:
            InvalidArgument: the terms make no sense; an order that makes none is answered by its `error`.
            Unavailable: the server stops, or is gone: orders without an answer may have been held, send them again with
                the same request id.
            Exception: what `orders` raises, once those before it are answered.
        """
        message = terms_message(terms)
        if hold:
            message.hold.CopyFrom(self._hold(request_id, expires_in_ms, confirm=confirm))
        first = allocation_pb2.SubmitOrdersRequest(terms=message, delay_ms=delay_ms)

        wrong: list[Exception] = []

        def requests() -> Iterator[allocation_pb2.SubmitOrdersRequest]:
            yield first
            try:
                for order in orders:
                    yield allocation_pb2.SubmitOrdersRequest(order=order_message(order))
            except Exception as failed:  # noqa: BLE001 - raised where the caller is, not in a thread of gRPC's
                wrong.append(failed)

        call = self._channel.stream_stream(
            _SUBMIT_ORDERS.path,
            request_serializer=allocation_pb2.SubmitOrdersRequest.SerializeToString,
            response_deserializer=_SUBMIT_ORDERS.response.FromString,
        )
        answers = call(requests())
        try:
            for answer in answers:
                yield decode(SubmittedOrder, answer)
        except grpc.RpcError as failed:
            raise error_from_call(failed) from None
        finally:
            answers.cancel()
        if wrong:
            raise wrong[0]

    def forecasts(self, location: str = "") -> pa.Table:
        """Returns the forecasts by day that are kept, of one location or all.

        Returns:
            Columns `item`, `location`, `model`, `computed_at_ms`, `day`, `mean` and one a level, null where a position
            has no such level.
        """
        return self._dump(ticket("forecasts", location=location))

    def forecast_totals(self, location: str = "") -> pa.Table:
        """Returns the totals that are kept: as `forecasts`, with `horizon_days` in the place of `day`."""
        return self._dump(ticket("forecast_totals", location=location))

    def _push(self, what: str, table: ArrowStream, model: str, computed_at_ms: int) -> PushResult:
        told: dict[str, object] = {"table": what, "model": model, "computed_at_ms": computed_at_ms}
        (row,) = self._tables().put(told, as_table(table)).to_pylist()
        return PushResult(**row)

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
