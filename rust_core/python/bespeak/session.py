"""Calls pipelined on one stream, and changes as they become durable."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from bespeak._codec import decode
from bespeak._methods.caller import Method
from bespeak._methods.promises import StreamedMethods
from bespeak._status import error_from_call
from bespeak.errors import BespeakError, from_status
from bespeak.v1 import promise_pb2 as pb

R = TypeVar("R", bound=Message)


class _Waiting:
    """A request on its way."""

    def __init__(self) -> None:
        self.answer: pb.SessionResponse | BespeakError | None = None
        self.answered = threading.Event()

    def tell(self, answer: pb.SessionResponse | BespeakError) -> None:
        self.answer = answer
        self.answered.set()


class Session(StreamedMethods):
    """One long-lived stream: cheaper than a call each, with the methods that orders need thousands of times.

    Requests go out at once and are answered in the order in which they were sent, so that threads which share a
    session do not wait for each other's turn. After an error of the stream itself every call raises it: open another
    session, and send what was not answered again with the same `request_id`.
    """

    def __init__(
        self,
        open_stream: Callable[[Iterator[pb.SessionRequest]], Any],
        *,
        timeout_ms: int,
        tenant: str = "",
        actor: str = "",
    ) -> None:
        """Opens the stream. `Client.session` is how one gets one."""
        self.tenant = tenant
        self.actor = actor
        self._timeout_s = timeout_ms / 1000
        self._lock = threading.Lock()
        self._requests: SimpleQueue[pb.SessionRequest | None] = SimpleQueue()
        self._waiting: deque[_Waiting] = deque()
        self._ended: BespeakError | None = None
        self._stream = open_stream(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, name="bespeak-session", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Ends the stream once what was sent has been answered. Later calls raise Unavailable."""
        with self._lock:
            if self._ended is None:
                self._ended = from_status(grpc.StatusCode.UNAVAILABLE.value[0], "UNAVAILABLE", "the session is closed")
                self._requests.put(None)
        self._reader.join(self._timeout_s)
        self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: Method[R], request: Message) -> R:
        field = method.name.lower()
        waiting = _Waiting()
        with self._lock:  # the n-th to wait is the n-th that was sent
            if self._ended is not None:
                raise self._ended
            self._waiting.append(waiting)
            self._requests.put(pb.SessionRequest(**{field: request}))  # type: ignore[arg-type]
        if not waiting.answered.wait(self._timeout_s):
            raise from_status(
                grpc.StatusCode.DEADLINE_EXCEEDED.value[0],
                "DEADLINE_EXCEEDED",
                f"no answer within {self._timeout_s:g} s: it may have been done, so send it again with the same request id",
            )
        answer = waiting.answer
        if isinstance(answer, BespeakError):
            raise answer
        assert answer is not None
        if answer.HasField("error"):
            error = answer.error
            raise from_status(error.status, error.code, error.message, error.retry_after_ms or None)
        response: R = getattr(answer, field)
        return response

    def _read(self) -> None:
        try:
            for answer in self._stream:
                with self._lock:
                    waiting = self._waiting.popleft()
                waiting.tell(answer)
            ended = from_status(grpc.StatusCode.UNAVAILABLE.value[0], "UNAVAILABLE", "the server ended the session")
        except grpc.RpcError as failed:
            ended = error_from_call(failed)
        with self._lock:
            self._ended = self._ended or ended
            left, self._waiting = self._waiting, deque()
            self._requests.put(None)
        for waiting in left:
            waiting.tell(ended)

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class AvailabilityChange:
    """What can be promised now of a position that changed.

    Attributes:
        item: what.
        location: where.
        available: units that can be promised now.
        revision: journal position of the change.
        resync: changes were lost since the reader was too slow: check again what matters.
    """

    item: str
    location: str
    available: int
    revision: int
    resync: bool


class AvailabilityWatch(Iterator[AvailabilityChange]):
    """Changes of availability as they become durable; `for` waits for the next. Closing it ends the wait."""

    def __init__(self, stream: Any) -> None:
        """Takes a running call. `Client.watch_availability` is how one gets one."""
        self._stream = stream
        self._closed = False
        # The server's first word: changes from now on are told.
        stream.initial_metadata()

    def __next__(self) -> AvailabilityChange:
        try:
            return decode(AvailabilityChange, next(self._stream))
        except grpc.RpcError as failed:
            if self._closed:
                raise StopIteration from None
            raise error_from_call(failed) from None

    def close(self) -> None:
        """Ends the call, from any thread."""
        self._closed = True
        self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
