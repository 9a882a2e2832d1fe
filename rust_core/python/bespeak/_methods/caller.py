"""What a method needs of the thing that answers it."""

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from bespeak._codec import build
from bespeak._request_id import as_request_id, new_request_id
from bespeak.requests import SourceSequence
from bespeak.v1 import common_pb2

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[R]):
    """A method of the protocol and the class of its response."""

    service: str
    name: str
    response: type[R]

    @property
    def path(self) -> str:
        """The method as gRPC names it."""
        return f"/bespeak.v1.{self.service}/{self.name}"


class Caller(ABC):
    """Sends messages and gives back their responses."""

    tenant: str
    """Who the caller works for; kept in the journal with each write."""
    actor: str
    """Who or what writes; kept in the journal with each write."""

    @abstractmethod
    def _call(self, method: Method[R], request: Message) -> R:
        """Answers one request, or raises a BespeakError."""

    @abstractmethod
    def _now_ms(self) -> int:
        """Time with which new request ids are stamped, UTC milliseconds since 1970."""

    def _write(
        self,
        method: Method[R],
        request: type[M],
        request_id: str | uuid.UUID | None,
        source: SourceSequence | None = None,
        **fields: object,
    ) -> R:
        """Sends a write under the caller's request id, or under a new one."""
        return self._call(method, build(request, context=self._context(request_id, source), **fields))

    def _context(
        self, request_id: str | uuid.UUID | None, source: SourceSequence | None = None
    ) -> common_pb2.RequestContext:
        return build(
            common_pb2.RequestContext,
            request_id=new_request_id(self._now_ms()) if request_id is None else as_request_id(request_id),
            tenant=self.tenant,
            actor=self.actor,
            source=source,
        )
