"""Session streams of the public API, pipelined, that carry on after the server was killed."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message

from bespeak.v1 import promise_pb2 as pb
from bespeak.v1 import promise_pb2_grpc


class CallFailed(RuntimeError):
    """A call was answered with an error; the message is the server's."""


@dataclass(slots=True, eq=False)
class _Call:
    request: pb.SessionRequest
    kind: str
    began_ns: int
    answer: asyncio.Future[Any]
    resent: bool = False


@dataclass(slots=True)
class Timings:
    """How long calls took, from handing them over to having the answer, nanoseconds by kind.

    `interrupted` counts the calls that the kill caught without an answer: they were sent again, and the
    time that the server was away is not a latency.
    """

    by_kind: dict[str, list[int]] = field(default_factory=dict)
    interrupted: int = 0


class Lane:
    """One stream. Its n-th answer belongs to its n-th request; threads of control may share it."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings
        self._unanswered: deque[_Call] = deque()
        self._unsent: deque[_Call] = deque()
        self._more = asyncio.Event()
        self._failed: BaseException | None = None

    async def call(self, kind: str, message: Message) -> Any:
        """Returns the answer to one request: `kind` is its field in `SessionRequest`.

        Raises:
            CallFailed: the answer is an error.
        """
        if self._failed is not None:
            raise self._failed
        request = pb.SessionRequest(**{kind: message})  # type: ignore[arg-type]
        call = _Call(request, kind, time.perf_counter_ns(), asyncio.get_running_loop().create_future())
        self._unanswered.append(call)
        self._unsent.append(call)
        self._more.set()
        return await call.answer

    async def run(self, channel: grpc.aio.Channel) -> None:
        """Sends and receives until the connection breaks or the task is cancelled.

        What has no answer is sent again first: its request id makes sure that it is done once.
        """
        for call in self._unanswered:
            call.resent = True
        self._timings.interrupted += len(self._unanswered)
        self._unsent = deque(self._unanswered)
        self._more.set()
        stub = promise_pb2_grpc.PromiseServiceStub(channel)
        stream = stub.Session()
        sender = asyncio.create_task(self._send(stream))
        try:
            while True:
                response: Any = await stream.read()
                if response is grpc.aio.EOF:
                    return
                self._answer(response)
        except grpc.aio.AioRpcError:
            # The process is gone; who owns it says whether that was meant.
            return
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            stream.cancel()

    def fail(self, error: BaseException) -> None:
        """Gives every call that waits, and every later one, this error."""
        self._failed = error
        while self._unanswered:
            call = self._unanswered.popleft()
            if not call.answer.done():
                call.answer.set_exception(error)

    @property
    def unanswered(self) -> int:
        """Calls whose answer has not come."""
        return len(self._unanswered)

    async def _send(self, stream: Any) -> None:
        while True:
            while self._unsent:
                await stream.write(self._unsent.popleft().request)
            self._more.clear()
            await self._more.wait()

    def _answer(self, response: pb.SessionResponse) -> None:
        call = self._unanswered.popleft()
        which = response.WhichOneof("response")
        if not call.resent:
            self._timings.by_kind.setdefault(call.kind, []).append(time.perf_counter_ns() - call.began_ns)
        if call.answer.done():
            return
        if which == "error":
            error = response.error
            call.answer.set_exception(CallFailed(f"{call.kind}: {error.message} [{error.code}]"))
        else:
            call.answer.set_result(getattr(response, call.kind))
