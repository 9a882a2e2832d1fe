"""What is raised. A refusal for stock is a result, not an exception.

```text
BespeakError
├── InvalidArgument       the request makes no sense; do not send it again
├── NotFound              an item, location, region, receipt or reservation that is not known
├── AlreadyExists         a receipt of this name is open
│   └── RequestIdReused   the request id was used for another request
├── FailedPrecondition    makes sense, but not in the state that things are in
├── OutOfRetention        reaches further back than the journal or the table of answers does
├── Overloaded            a queue or a table is full; nothing was done, but for the first rows of a large table
├── DeadlineExceeded      no answer in time; send it again with the same request id
├── Unavailable           no server, or not serving; send it again with the same request id
├── NotAuthorised         the peer is not known, or may not do this
├── Unimplemented         this version does not answer that
└── Internal              a fault of the service; the journal holds what had been answered
```
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class BespeakError(Exception):
    """What every error of this package is.

    Attributes:
        code: name of the error's page in docs/errors, such as `UNKNOWN_ITEM`; where no service answered, of the
            gRPC status, such as `UNAVAILABLE`.
        message: what went wrong, with which value, and what to do.
        retry_after_ms: milliseconds after which trying again may help; None when it does not.
        request_ids: of a table that was sent without ids, those that were made for its rows: with them as its column
            `request_id` it can be sent again, and what was done is not done twice. None otherwise.
    """

    code: str
    message: str
    retry_after_ms: int | None
    # On the class, so that errors that are unpickled have it too.
    request_ids: "pa.Array | None" = None

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(code, message, retry_after_ms)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class InvalidArgument(BespeakError):
    """The request makes no sense, whatever the stock: sending it again gives the same."""


class NotFound(BespeakError):
    """An item, location, region, receipt, reservation or line that is not known."""


class AlreadyExists(BespeakError):
    """What was to be made exists: a receipt of this name is open."""


class RequestIdReused(AlreadyExists):
    """The request id was used for another request: take a new id for a new request."""


class FailedPrecondition(BespeakError):
    """The request makes sense, but not in the state that things are in."""


class OutOfRetention(BespeakError):
    """Reaches further back than what is kept."""


class Overloaded(BespeakError):
    """A queue or a table is full. Nothing was done, but that the first rows of a large table may have been: see
    `request_ids`. `retry_after_ms` says when to try again."""


class DeadlineExceeded(BespeakError):
    """No answer in time. The request may have been done: send it again with the same request id."""


class Unavailable(BespeakError):
    """No server, or one that is not serving. Send it again with the same request id."""


class NotAuthorised(BespeakError):
    """The peer is not known, or may not do this."""


class Unimplemented(BespeakError):
    """This version does not answer that."""


class Internal(BespeakError):
    """A fault of the service or of its disk. What had been answered is in the journal."""


# By gRPC status code. What is not listed is a fault of the service.
_CLASSES: dict[int, type[BespeakError]] = {
    3: InvalidArgument,
    4: DeadlineExceeded,
    5: NotFound,
    6: AlreadyExists,
    7: NotAuthorised,
    8: Overloaded,
    9: FailedPrecondition,
    10: FailedPrecondition,
    11: OutOfRetention,
    12: Unimplemented,
    14: Unavailable,
    16: NotAuthorised,
}


def from_status(status: int, code: str, message: str, retry_after_ms: int | None = None) -> BespeakError:
    """The error for a gRPC status code (a number) and the code of its page."""
    if code == "REQUEST_ID_REUSED":
        return RequestIdReused(code, message, retry_after_ms)
    return _CLASSES.get(status, Internal)(code, message, retry_after_ms)


def invalid(message: str) -> InvalidArgument:
    """The error for an argument that is wrong before anything is sent."""
    return InvalidArgument("INVALID_ARGUMENT", message)
