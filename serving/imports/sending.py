"""Sends checked rows and collects what became of each.

Every row is sent under a request id made of the file's bytes and the row, so that importing the same
file again, after an interruption say, changes nothing twice.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from bespeak import BespeakError, Client, FillPolicy, Item, Location, Outcome, PromiseLine, ReserveLine
from serving.imports.checking import Row, RowError

T = TypeVar("T")

IN_FLIGHT = 32
WINDOW = 8_192
_ANSWERED = ["refusal", "replayed", "error", "message"]


@dataclass
class Tally:
    """What has been done so far. `sent` counts rows, of orders the orders."""

    rows: int = 0
    sent: int = 0
    replayed: int = 0
    held_in_full: int = 0
    held_in_part: int = 0
    refused: int = 0
    errors: list[RowError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """How orders are held: where from when a row names no location, and on what terms."""

    locations: tuple[str, ...] = ()
    region: str = ""
    fill: FillPolicy = FillPolicy.ALL_OR_NONE
    expires_in_ms: int = 0
    confirm: bool = False


class Sender:
    """Sends rows of one file to one service."""

    def __init__(self, service: Client, path: Path) -> None:
        self._service = service
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._namespace = uuid.uuid5(uuid.NAMESPACE_OID, digest)
        self.tally = Tally()

    def create_missing(self, items: set[str], locations: set[str]) -> tuple[int, int]:
        """Puts items and locations that the service does not know yet; returns how many of each."""
        items = items - {each.item for each in self._service.list_items()}
        locations = locations - {each.location for each in self._service.list_locations()}
        for name in sorted(locations):
            self._service.put_location(Location(name))
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for window in _windows(sorted(items)):
                # The answers are taken, so that what failed is raised.
                list(pool.map(lambda name: self._service.put_item(Item(name)), window))
        return len(items), len(locations)

    def stock(self, rows: Iterable[Row], done: Callable[[int], None]) -> None:
        """Sends counts."""
        named = {"item": "item", "location": "location", "quantity": "quantity", "unit": "unit", "status": "status"}
        self._facts("set_on_hand", rows, named | {"counted_at": "happened_at_ms"}, done)

    def receipts(self, rows: Iterable[Row], done: Callable[[int], None]) -> None:
        """Sends planned receipts."""
        named = {"item": "item", "location": "location", "quantity": "quantity", "unit": "unit"}
        self._facts("schedule_receipt", rows, named | {"receipt_id": "receipt_id", "kind": "receipt_kind"}, done)

    def orders(self, rows: Iterable[Row], terms: OrderTerms, done: Callable[[int], None]) -> None:
        """Holds stock for each run of rows with the same order reference, in the order of the file.

        An order of which one row is wrong is not sent at all.
        """
        seen: dict[Any, int] = {}
        for reference, group in groupby(rows, key=lambda row: row.values["order_ref"]):
            lines = list(group)
            wrong = [error for row in lines for error in row.wrong]
            first = seen.setdefault(reference, lines[0].number)
            if first != lines[0].number:
                what = f"its order began at row {first}: sort the file, so that the rows of an order stand together"
                wrong.append(RowError(lines[0].number, "order_ref", str(reference), what))
            self.tally.errors += wrong
            self.tally.rows += len(lines)
            if not wrong:
                self._attempt(lines, terms)
            done(len(lines))

    def _attempt(self, lines: list[Row], terms: OrderTerms) -> None:
        try:
            outcome = self._order(lines, terms)
        except BespeakError as error:
            self.tally.errors.append(_told(lines[0], error))
            return
        self.tally.sent += 1
        self.tally.held_in_full += outcome is Outcome.FULL
        self.tally.held_in_part += outcome is Outcome.PARTIAL
        self.tally.refused += outcome is Outcome.REFUSED

    def _order(self, lines: list[Row], terms: OrderTerms) -> Outcome:
        first = lines[0].values
        named = [row for row in lines if row.values["location"] is not None]
        common: dict[str, Any] = {
            "fill": terms.fill,
            "expires_in_ms": terms.expires_in_ms,
            "confirm": terms.confirm,
            "order_ref": str(first["order_ref"]),
            "customer": str(first["customer"] or ""),
            "request_id": self._id(lines[0]),
        }
        if named and len(named) == len(lines):
            reserved = [
                ReserveLine(
                    str(row.values["item"]),
                    str(row.values["location"]),
                    _number(row.values["quantity"]),
                    str(row.values["unit"] or ""),
                    _number(row.values["ship_time"]),
                )
                for row in lines
            ]
            result = self._service.reserve(reserved, **common)
        else:
            promised = [
                PromiseLine(
                    str(row.values["item"]),
                    _number(row.values["quantity"]),
                    str(row.values["unit"] or ""),
                    _number(row.values["ship_time"]),
                )
                for row in lines
            ]
            result = self._service.promise(promised, locations=terms.locations, region=terms.region, **common)
        self.tally.replayed += result.replayed
        return result.outcome

    def _facts(self, event: str, rows: Iterable[Row], columns: Mapping[str, str], done: Callable[[int], None]) -> None:
        """Sends facts, a window at a time as one table."""
        for window in _windows(rows):
            self.tally.rows += len(window)
            self.tally.errors += [error for row in window for error in row.wrong]
            right = [row for row in window if not row.wrong]
            if right:
                answers = self._service.supply_table(self._table(event, right, columns)).select(_ANSWERED)
                for row, answer in zip(right, answers.to_pylist(), strict=True):
                    self._count(row, answer)
            done(len(window))

    def _table(self, event: str, rows: list[Row], columns: Mapping[str, str]) -> pa.Table:
        taken: dict[str, Any] = {
            "event": pa.array([event] * len(rows)),
            "request_id": pa.array([self._id(row).bytes for row in rows], pa.binary(16)),
        }
        for ours, theirs in columns.items():
            kind = pa.int64() if theirs in ("quantity", "happened_at_ms") else pa.string()
            taken[theirs] = pa.array([row.values[ours] for row in rows], kind)
        if "due" in rows[0].values:
            due = [row.values["due"] for row in rows]
            taken["due_date"] = pa.array([each if isinstance(each, str) else None for each in due], pa.string())
            taken["due_time_ms"] = pa.array([each if isinstance(each, int) else None for each in due], pa.int64())
        return pa.table(taken)

    def _count(self, row: Row, answer: Mapping[str, Any]) -> None:
        if answer["error"] is not None:
            self.tally.errors.append(RowError(row.number, "", "", f"{answer['message']} [{answer['error']}]"))
        elif answer["refusal"] is not None:
            self.tally.errors.append(RowError(row.number, "", "", f"refused: {answer['refusal']}"))
        else:
            self.tally.sent += 1
            self.tally.replayed += answer["replayed"]

    def _id(self, row: Row) -> uuid.UUID:
        return uuid.uuid5(self._namespace, str(row.number))


def _windows(things: Iterable[T]) -> Iterator[list[T]]:
    source = iter(things)
    while window := list(islice(source, WINDOW)):
        yield window


def _number(value: str | int | None) -> int:
    return value if isinstance(value, int) else 0


def _told(row: Row, error: BespeakError) -> RowError:
    return RowError(row.number, "", "", str(error))
