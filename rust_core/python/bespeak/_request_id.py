"""Request ids: UUIDs of version 7, which carry the time at which they were made."""

import os
import uuid

from bespeak.errors import invalid


def new_request_id(now_ms: int) -> str:
    """Returns a UUID of version 7 stamped with `now_ms`, UTC milliseconds since 1970."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def as_request_id(given: str | uuid.UUID) -> str:
    """Returns a caller's id in its one spelling.

    Raises:
        InvalidArgument: it is not a UUID.
    """
    try:
        return str(given if isinstance(given, uuid.UUID) else uuid.UUID(given))
    except (ValueError, AttributeError, TypeError):
        raise invalid(f"request_id is {given!r}: give a UUID, or leave it out") from None
