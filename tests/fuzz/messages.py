"""Requests that make little sense: random protobuf messages of our own types, and bytes that are hardly messages."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from bespeak.v1 import admin_pb2, allocation_pb2, catalog_pb2, forecast_pb2, promise_pb2, supply_pb2
from tests.fuzz.allocation import table

NAMES = ["tea", "milk", "ams1", "rtm1", "europe", "po-1", "", "no such thing", "\x00", "ü" * 70, "x" * 129, "tea\n"]
INTEGERS = [
    0,
    1,
    2,
    3,
    7,
    60_000,
    10**12,
    10**12 + 1,
    2**31 - 1,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
    -1,
    -(2**31),
    -(2**63),
]
DOUBLES = [0.0, 0.5, -1.0, float("nan"), float("inf"), -float("inf"), 1e308]
LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}


@dataclass(frozen=True)
class Target:
    """One method of the public protocol."""

    path: str
    request: type[Message]
    response: type[Message]
    streams: bool


def targets() -> Iterator[Target]:
    """Every method of every public service."""
    for module in (admin_pb2, allocation_pb2, catalog_pb2, forecast_pb2, promise_pb2, supply_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield _target(service.full_name, method)


def _target(service: str, method: MethodDescriptor) -> Target:
    return Target(
        f"/{service}/{method.name}",
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
        method.client_streaming or method.server_streaming,
    )


def random_message(dice: random.Random, kind: type[Message], now_ms: int, depth: int = 0) -> Message:
    """A message of this type with random fields, many of them out of any range."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if dice.random() < 0.25:
            continue
        if field.is_repeated:
            values = [_value(dice, field, now_ms, depth) for _ in range(dice.choice([0, 1, 1, 2, 5]))]
            getattr(message, field.name).extend(value for value in values if value is not None)
            continue
        value = _value(dice, field, now_ms, depth)
        if isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        elif value is not None:
            setattr(message, field.name, value)
    return message


def _value(dice: random.Random, field: FieldDescriptor, now_ms: int, depth: int) -> object:
    if field.message_type is not None:
        return random_message(dice, _class(field.message_type), now_ms, depth + 1) if depth < 4 else None
    if field.cpp_type in LIMITS:
        return _integer(dice, field, now_ms)
    return _plain(dice, field)


def _plain(dice: random.Random, field: FieldDescriptor) -> object:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return dice.choice(DOUBLES)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return dice.random() < 0.5
    if field.type == FieldDescriptor.TYPE_BYTES:
        if dice.random() < 0.7:
            return table(dice, field.name)
        return dice.randbytes(dice.choice([0, 1, 16, 300]))
    if field.name == "request_id" and dice.random() < 0.9:
        return str(uuid.UUID(int=dice.getrandbits(128), version=4))
    return dice.choice(NAMES)


def _integer(dice: random.Random, field: FieldDescriptor, now_ms: int) -> int:
    low, high = LIMITS[field.cpp_type]
    if field.name.endswith("_ms") and dice.random() < 0.5:
        return now_ms + dice.randint(-(10**6), 10**9)
    if dice.random() < 0.6:
        return dice.randint(0, 5)
    return max(low, min(high, dice.choice(INTEGERS)))


def _class(descriptor: Descriptor) -> type[Message]:
    kind: type[Message] = message_factory.GetMessageClass(descriptor)
    return kind


def damaged(dice: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them flipped, cut, doubled or put elsewhere."""
    mutable = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(mutable) + 1)
        match dice.randrange(5):
            case 0 if mutable:
                mutable[at % len(mutable)] ^= 1 << dice.randrange(8)
            case 1:
                del mutable[at:]
            case 2:
                mutable[at:at] = dice.randbytes(dice.randint(1, 12))
            case 3:
                mutable[at:at] = mutable[: dice.randint(0, 40)]
            case _:
                # The longest number that protobuf knows, and one that is longer.
                mutable[at:at] = b"\xff" * dice.choice([9, 10, 11]) + b"\x01"
    return bytes(mutable)
