"""What can be imported, which columns each has, and what a cell may hold."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bespeak import ReceiptKind, StockStatus

NAME_BYTES_MAX = 128
QUANTITY_MAX = 1_000_000_000_000

Value = str | int | None


class CellError(ValueError):
    """A cell that cannot be what it should; the message ends with what it may be."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, the words people have for it, and how its cells are read."""

    name: str
    read: Callable[[str], Value]
    required: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        name: as the command line has it.
        columns: what is taken; others are ignored.
        key: columns that no two rows share; empty where rows may repeat.
        blank: what an empty cell of the key means.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    blank: Mapping[str, Value] = field(default_factory=dict)

    def required(self) -> tuple[str, ...]:
        """Names of the columns that a file must have."""
        return tuple(column.name for column in self.columns if column.required)


def text(cell: str) -> str:
    """A name."""
    if len(cell.encode()) > NAME_BYTES_MAX:
        raise CellError(f"at most {NAME_BYTES_MAX} bytes are allowed")
    if any(ord(letter) < 0x20 or letter == "\x7f" for letter in cell):
        raise CellError("control characters are not allowed")
    return cell


def count(cell: str) -> int:
    """Units, 0 or more. Spreadsheets write whole numbers as 12.0."""
    whole, dot, fraction = cell.partition(".")
    if not whole.isascii() or not whole.isdigit() or (dot and fraction.strip("0")):
        raise CellError(f"it must be a whole number from 0 to {QUANTITY_MAX}")
    number = int(whole)
    if number > QUANTITY_MAX:
        raise CellError(f"it must be at most {QUANTITY_MAX}")
    return number


def quantity(cell: str) -> int:
    """Units, at least 1."""
    number = count(cell)
    if number == 0:
        raise CellError("it must be at least 1")
    return number


def instant(cell: str) -> int:
    """UTC milliseconds since 1970 from ISO 8601 (UTC unless it says otherwise) or milliseconds."""
    if cell.isascii() and cell.isdigit():
        return int(cell)
    try:
        read = dt.datetime.fromisoformat(cell)
    except ValueError:
        raise CellError("it must be a time such as 2026-11-25T12:00Z, or milliseconds since 1970") from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=dt.UTC)
    return int(read.timestamp() * 1000)


def due(cell: str) -> Value:
    """A time, or a date, which is the end of that day where the goods arrive."""
    if len(cell) == len("2026-11-25") and cell[4:5] == "-":
        try:
            return dt.date.fromisoformat(cell).isoformat()
        except ValueError:
            raise CellError("it must be a date such as 2026-11-25") from None
    return instant(cell)


def word(words: type[StrEnum]) -> Callable[[str], str]:
    """A word of an enum, in any case."""

    def read(cell: str) -> str:
        found = cell.strip().upper().replace(" ", "_").replace("-", "_")
        if found not in words.__members__:
            raise CellError(f"it must be one of {', '.join(words)}")
        return found

    return read


_ITEM = Column("item", text, required=True, also=("sku", "product_id", "article", "item_id", "stockcode"))
_LOCATION = ("location", "site", "store", "store_id", "warehouse", "location_id", "node")
_QUANTITY = ("qty", "units", "on_hand", "amount")
_UNIT = Column("unit", text, also=("uom", "unit_of_measure"))
_STATUS = Column("status", word(StockStatus), also=("stock_status",))

STOCK = Kind(
    "stock",
    (
        _ITEM,
        Column("location", text, required=True, also=_LOCATION[1:]),
        Column("quantity", count, required=True, also=_QUANTITY),
        _UNIT,
        _STATUS,
        Column("counted_at", instant, also=("counted_at_ms", "timestamp")),
    ),
    key=("item", "location", "status"),
    blank={"status": StockStatus.UNRESTRICTED.name},
)
RECEIPTS = Kind(
    "receipts",
    (
        Column("receipt_id", text, required=True, also=("receipt", "po", "po_number", "id")),
        _ITEM,
        Column("location", text, required=True, also=_LOCATION[1:]),
        Column("quantity", quantity, required=True, also=_QUANTITY),
        Column("due", due, required=True, also=("due_time", "due_date", "due_time_ms", "eta", "expected_at")),
        _UNIT,
        Column("kind", word(ReceiptKind), also=("receipt_kind",)),
    ),
    key=("receipt_id",),
)
ORDERS = Kind(
    "orders",
    (
        Column("order_ref", text, required=True, also=("order", "order_id", "basket_id", "invoice", "invoiceno")),
        _ITEM,
        Column("quantity", quantity, required=True, also=_QUANTITY),
        Column("location", text, also=_LOCATION[1:]),
        _UNIT,
        Column("ship_time", instant, also=("ship_time_ms",)),
        Column("customer", text, also=("customer_id", "household_id")),
    ),
    key=(),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (STOCK, RECEIPTS, ORDERS)}
