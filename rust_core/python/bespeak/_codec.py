"""Turns the messages of the protocol into results, and requests into messages.

A field of a class and the field of its message have the same name, so the classes themselves say
how to convert; each converter is put together once. What a class adds to its message (the revision
of the response around it) is handed in by name.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import pyarrow as pa
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from bespeak._core import AvailabilityStep, CheckResult
from bespeak.enums import BindingConstraint, Refusal
from bespeak.errors import Unimplemented, invalid
from bespeak.v1.promise_pb2 import CheckRequest

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Reader = Callable[[Any], Any]


def build(cls: type[M], **values: object) -> M:
    """Returns a message with these fields. None leaves a field unset; enums are given as words.

    Raises:
        InvalidArgument: a value is not what its field holds.
    """
    message = cls()
    by_name = message.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        if value is not None:
            try:
                _set(message, by_name[name], value)
            except (TypeError, ValueError, AttributeError) as wrong:
                raise invalid(f"{name} is {value!r}: {wrong}") from None
    return message


def decode(cls: type[T], message: Message, **extra: object) -> T:
    """Returns `message` as a `cls`; `extra` gives the fields that the message lacks."""
    values = {name: read(message) for name, read in _readers(typing.cast(Any, cls), message.DESCRIPTOR)}
    return cls(**values, **extra)


def check_result(message: Any, revision: int, engine_time_ms: int) -> CheckResult:
    """One result of a check, with the revision and time of the response that it came in."""
    return CheckResult(
        item=message.item,
        location=message.location,
        available=message.available,
        in_full=message.in_full,
        earliest_time_ms=message.earliest_time_ms if message.HasField("earliest_time_ms") else None,
        staircase=tuple(map(_step, message.staircase)),
        binding=_BINDING(message.binding),
        binding_time_ms=message.binding_time_ms,
        hypothetical=message.hypothetical,
        refusal=_REFUSAL(message.refusal),
        revision=revision,
        engine_time_ms=engine_time_ms,
    )


def rule_bytes(rule: object) -> bytes:
    """A rule override as the native module takes it."""
    return build(CheckRequest, rule=rule).rule.SerializeToString()


def words(enum: EnumDescriptor) -> dict[str, int]:
    """The words of an enum and their numbers; "unspecified" is no word."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix): value.number for value in enum.values if value.number}


_cached_words = cache(words)


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError("give a list or tuple")
        getattr(message, field.name).extend(_plain(field, each) for each in value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(_plain(field, value))
    else:
        setattr(message, field.name, _plain(field, value))


def _plain(field: FieldDescriptor, value: Any) -> Any:
    """Returns what the protobuf library takes for a value of this field."""
    if field.enum_type is not None:
        number = _cached_words(field.enum_type).get(value)
        if number is None:
            raise ValueError(f"use one of {', '.join(_cached_words(field.enum_type))}")
        return number
    if field.message_type is not None and not isinstance(value, Message):
        # The classes have the names of their messages.
        if not dataclasses.is_dataclass(value) or type(value).__name__ != field.message_type.name:
            raise TypeError(f"give a {field.message_type.name}")
        names = (each.name for each in dataclasses.fields(value))
        return build(GetMessageClass(field.message_type), **{name: getattr(value, name) for name in names})
    if field.type == FieldDescriptor.TYPE_BYTES and not isinstance(value, bytes):
        return as_stream(value)
    return value


@cache
def _readers(cls: type, descriptor: Descriptor) -> tuple[tuple[str, Reader], ...]:
    hints = typing.get_type_hints(cls)
    named = (field.name for field in dataclasses.fields(cls))
    # A field named by a word of Python's has an underscore behind it.
    fields = ((name, name.removesuffix("_")) for name in named)
    return tuple((name, _reader(field, hints[name])) for name, field in fields if field in descriptor.fields_by_name)


def _reader(name: str, hint: Any) -> Reader:
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        inner = _value(next(each for each in arguments if each is not types.NoneType))
        if inner in _ENUM_READERS.values():
            return lambda message: inner(getattr(message, name))
        return lambda message: inner(getattr(message, name)) if message.HasField(name) else None
    if arguments:
        each = _value(arguments[0])
        return lambda message: tuple(map(each, getattr(message, name)))
    one = _value(hint)
    return lambda message: one(getattr(message, name))


@cache
def _value(hint: Any) -> Reader:
    """Returns what converts one value to a plain type, an enum or a class of ours."""
    if hint is AvailabilityStep:
        return _step
    if hint is pa.Table:
        return _table
    if dataclasses.is_dataclass(hint):
        return lambda message: decode(typing.cast(type, hint), message)
    if issubclass(hint, StrEnum):
        return _enum(hint)
    return lambda value: value


@cache
def _enum(cls: type[StrEnum]) -> Reader:
    """Members are declared in the order of their numbers, from 1; 0 says nothing."""
    members: tuple[StrEnum | None, ...] = (None, *cls)

    def read(number: int) -> StrEnum | None:
        if number >= len(members):
            message = f"{cls.__name__} {number} is not known to this version: upgrade the package"
            raise Unimplemented("NOT_IN_THIS_VERSION", message)
        return members[number]

    _ENUM_READERS[cls] = read
    return read


_ENUM_READERS: dict[type[StrEnum], Reader] = {}
_BINDING = _enum(BindingConstraint)
_REFUSAL = _enum(Refusal)


def _table(stream: bytes) -> pa.Table:
    return pa.ipc.open_stream(stream).read_all() if stream else pa.table({})


def as_stream(table: Any) -> bytes:
    """Returns a table with the Arrow C interface as an Arrow IPC stream."""
    if not hasattr(table, "__arrow_c_stream__"):
        raise TypeError("give a table: of pyarrow, polars or anything with the Arrow C interface")
    reader = pa.RecordBatchReader.from_stream(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


def _step(message: Any) -> AvailabilityStep:
    return AvailabilityStep(from_time_ms=message.from_time_ms, available=message.available)
