"""Request ids: UUIDs of version 7, which carry the time at which they were made and rise from one to the next."""

import os
import struct
import threading
import uuid

from bespeak.errors import invalid

_COUNTER_BITS = 32
_RANDOM_BITS = 42
_LOW_COUNTER_BITS = 20


class _Counter:
    """Numbers the ids of one millisecond, from a random start (RFC 9562, section 6.2, method 1)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamp = -1
        self._next = 0

    def take(self, count: int, stamp: int) -> int:
        """Returns the first of `count` numbers."""
        with self._lock:
            if stamp != self._stamp:
                # The highest bit stays free, so that numbers can rise.
                self._stamp, self._next = stamp, int.from_bytes(os.urandom(4), "big") >> 1
            first = self._next
            self._next += count
        return first


_counter = _Counter()


def new_request_ids(count: int, now_ms: int) -> bytearray:
    """Returns UUIDs of version 7 stamped with `now_ms`, UTC milliseconds since 1970: 16 bytes each, rising.

    A server without a journal forgets answers in the order in which it gave them. From rising ids it can tell a request
    that it has never seen from one whose answer it may have forgotten.
    """
    stamp = now_ms & 0xFFFF_FFFF_FFFF
    first = _counter.take(count, stamp)
    random = memoryview(os.urandom(8 * count)).cast("Q")
    ids = bytearray(16 * count)
    pack = struct.Struct(">IHHQ").pack_into
    for row in range(count):
        number = (first + row) & ((1 << _COUNTER_BITS) - 1)
        low = (number & ((1 << _LOW_COUNTER_BITS) - 1)) << _RANDOM_BITS | random[row] & ((1 << _RANDOM_BITS) - 1)
        pack(ids, 16 * row, stamp >> 16, stamp & 0xFFFF, 0x7000 | number >> _LOW_COUNTER_BITS, 0b10 << 62 | low)
    return ids


def new_request_id(now_ms: int) -> str:
    """Returns one new id as text."""
    return str(uuid.UUID(bytes=bytes(new_request_ids(1, now_ms))))


def as_request_id(given: str | uuid.UUID) -> str:
    """Returns a caller's id in its one spelling.

    Raises:
        InvalidArgument: it is not a UUID.
    """
    try:
        return str(given if isinstance(given, uuid.UUID) else uuid.UUID(given))
    except (ValueError, AttributeError, TypeError):
        raise invalid(f"request_id is {given!r}: give a UUID, or leave it out") from None
