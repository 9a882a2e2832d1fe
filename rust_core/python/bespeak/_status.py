"""Reads what a gRPC status says beside its number: the code of the error's page, and when to try again."""

from collections.abc import Iterable
from functools import cache

import grpc
from google.protobuf import any_pb2, descriptor_pb2, duration_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from bespeak.errors import BespeakError, from_status

DETAILS_KEY = "grpc-status-details-bin"
_FIELD = descriptor_pb2.FieldDescriptorProto


def error_from_call(call: grpc.RpcError) -> BespeakError:
    """The error for a failed call; one that never reached the server is named after its status."""
    status: grpc.StatusCode = call.code()
    message: str = call.details() or "the call failed"
    code, retry_after_ms = status.name, None
    # The stubs take one entry for the whole.
    metadata: Iterable[tuple[str, str | bytes]] = call.trailing_metadata() or ()  # type: ignore[assignment]
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            code, retry_after_ms = _details(value, code)
    return from_status(status.value[0], code, message, retry_after_ms)


def error_from_details(details: bytes) -> BespeakError | None:
    """The error for the bytes of a google.rpc.Status; None when they tell of none."""
    try:
        status = _classes()[0].FromString(details)
    except DecodeError:
        return None
    number: int = status.code  # type: ignore[attr-defined]
    if not number:
        return None
    code, retry_after_ms = _details(details, "INTERNAL")
    return from_status(number, code, status.message, retry_after_ms)  # type: ignore[attr-defined]


def _details(value: bytes, code: str) -> tuple[str, int | None]:
    """Returns the ErrorInfo's reason and the RetryInfo's delay in milliseconds."""
    status_class, error_info, retry_info = _classes()
    retry_after_ms = None
    try:
        for detail in status_class.FromString(value).details:  # type: ignore[attr-defined]
            if detail.Is(error_info.DESCRIPTOR):
                code = error_info.FromString(detail.value).reason  # type: ignore[attr-defined]
            elif detail.Is(retry_info.DESCRIPTOR):
                retry_after_ms = retry_info.FromString(detail.value).retry_delay.ToMilliseconds()  # type: ignore[attr-defined]
    except DecodeError:
        # A proxy in between may send details of its own: the status still says what happened.
        return code, None
    return code, retry_after_ms


@cache
def _classes() -> tuple[type[Message], type[Message], type[Message]]:
    """google.rpc.Status, ErrorInfo and RetryInfo, as far as they are read here.

    They are described in a pool of their own: the package that carries them is one more
    dependency, and describing them twice in the shared pool would clash with it.
    """
    pool = DescriptorPool()
    for known in (any_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="bespeak/status.proto", package="google.rpc", syntax="proto3")
    file.dependency.extend([any_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name])
    status = file.message_type.add(name="Status")
    status.field.add(name="code", number=1, type=_FIELD.TYPE_INT32, label=_FIELD.LABEL_OPTIONAL)
    status.field.add(name="message", number=2, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    status.field.add(
        name="details",
        number=3,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".google.protobuf.Any",
        label=_FIELD.LABEL_REPEATED,
    )
    info = file.message_type.add(name="ErrorInfo")
    info.field.add(name="reason", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    retry = file.message_type.add(name="RetryInfo")
    retry.field.add(
        name="retry_delay",
        number=1,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".google.protobuf.Duration",
        label=_FIELD.LABEL_OPTIONAL,
    )
    pool.Add(file)
    first, second, third = (
        GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
        for name in ("Status", "ErrorInfo", "RetryInfo")
    )
    return first, second, third
