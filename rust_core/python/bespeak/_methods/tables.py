"""Whole tables at once, in Arrow's memory format: no value is turned into a Python object on the way."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bespeak._methods.caller import Caller
from bespeak._request_id import new_request_ids
from bespeak.enums import BindingConstraint, Outcome, ReceiptKind, Refusal, ReservationState
from bespeak.errors import BespeakError, invalid
from bespeak.requests import ArrowStream

# Columns of numbers that stand for words; 0 is none.
_WORDS: Mapping[str, type[StrEnum]] = {
    "binding": BindingConstraint,
    "kind": ReceiptKind,
    "outcome": Outcome,
    "refusal": Refusal,
    "state": ReservationState,
}


# From bytes: to make a scalar of a Python number pyarrow imports pandas, a third of the start of every command.
_ZERO, _ONE = pa.Array.from_buffers(pa.uint8(), 2, [None, pa.py_buffer(b"\0\1")])


class TableMethods(Caller):
    """Bulk work. A row fails by itself: its code stands in the column `error`, which is null where it did not."""

    @abstractmethod
    def _exchange(self, job: str, table: pa.Table) -> pa.Table:
        """Answers a table with a table of as many rows."""

    @abstractmethod
    def _dump(self, ticket: str) -> pa.Table:
        """Gives the table that a ticket of `DoGet` names."""

    def check_table(self, table: ArrowStream) -> pa.Table:
        """Returns what can be promised, one row for each row of `table`. Changes nothing.

        Args:
            table: columns `item`, `location` (text) and, where wanted, `quantity` (whole numbers, base units)
                and `ship_time_ms` (whole numbers or timestamps; 0 or null is now).

        Returns:
            Columns `available` (base units), `in_full`, `earliest_time_ms` (null when never within the horizon),
            `binding`, `refusal`, `error`, `revision`.

        Raises:
            InvalidArgument: a column is missing, unknown or of another type.
        """
        return _with_words(self._exchange("check", as_table(table)))

    def reserve_table(self, table: ArrowStream) -> pa.Table:
        """Holds stock for a table of orders of one line each; every row is judged alone, in order.

        Args:
            table: columns `item`, `location` (text) and `quantity` (whole numbers, base units); where wanted
                `request_id` (UUIDs as text or 16 bytes; left out, new ones are made), `ship_time_ms`,
                `expires_in_ms`, `order_ref`, `customer`, `segment`, `tier`, `partial` and `confirm`.

        Returns:
            Columns `outcome`, `reservation_id` (0 when refused), `held_quantity`, `expires_at_ms`, `refusal`,
            `available`, `earliest_time_ms`, `revision`, `replayed`, `error`, `message`.

        Raises:
            InvalidArgument: a column is missing, unknown or of another type.
            BespeakError: the first rows may have been done. Send the whole table again, with the error's `request_ids` as
                the column `request_id` where ids were left out: no row is done twice.
        """
        return _with_words(self._identified("reserve", table))

    def supply_table(self, table: ArrowStream) -> pa.Table:
        """Tells a table of facts about stock, in order.

        Args:
            table: column `event` (set_on_hand, adjust_on_hand, move_status, schedule_receipt, change_receipt,
                receive, cancel_receipt, transfer or return) and the columns that the events need, named as the
                arguments of the methods: `item`, `location`, `to_location`, `status`, `to_status`, `quantity`,
                `unit`, `receipt_id`, `receipt_kind`, `due_time_ms`, `due_date`, `late_time_ms`, `happened_at_ms`,
                `reason`, `final`, `reservation_id`; and `request_id` (left out, new ones are made), or `source`
                and `sequence`.

        Returns:
            Columns `refusal`, `on_hand`, `version`, `receipt_revision`, `receipt_open_quantity`, `shock_id` (0 when
            no promise broke), `revision`, `replayed`, `duplicate`, `error`, `message`.

        Raises:
            InvalidArgument: a column is missing, unknown or of another type.
            BespeakError: as of `reserve_table`, the first rows may have been done.
        """
        return _with_words(self._identified("supply", table))

    def positions_table(self, location: str = "") -> pa.Table:
        """Returns positions, one a row; with a location's name, its rows only.

        Large tables are read in slices, so that promises go on meanwhile: `revision` says when a row was seen.

        Returns:
            Columns `item`, `location`, `unrestricted`, `quality`, `blocked`, `buffer`, `available` (now), `version`,
            `revision`; base units.

        Raises:
            NotFound: the location is not known.
        """
        return _with_words(self._dump(ticket("positions", location=location)))

    def reservations_table(self, location: str = "") -> pa.Table:
        """Returns lines of reservations that are not finished, one a row, as `positions_table` does.

        Returns:
            Columns `reservation_id`, `line`, `state`, `item`, `location`, `ship_time_ms`, `open_quantity`,
            `fulfilled_quantity`, `released_quantity`, `order_ref`, `customer`, `segment`, `tier`, `created_at_ms`,
            `expires_at_ms`, `revision`.

        Raises:
            NotFound: the location is not known.
        """
        return _with_words(self._dump(ticket("reservations", location=location)))

    def unmet_table(self, location: str = "") -> pa.Table:
        """Returns unmet demand, one row a day, item and location, as `positions_table` does.

        Returns:
            Columns `day` (since 1970-01-01 in the location's calendar), `item`, `location`, `units`, `lines`,
            `revision`.

        Raises:
            NotFound: the location is not known.
        """
        return self._dump(ticket("unmet", location=location))

    def demand_history(
        self,
        *,
        items: Iterable[str] = (),
        locations: Iterable[str] = (),
        first_day: date | None = None,
        last_day: date | None = None,
    ) -> pa.Table:
        """Returns what was sold, one row an item, location and day: the context of the forecasters.

        Only days that are over at their location are there, and of each position only those from its first on. A day
        without a sale is a row of zeros; a day of which nothing is known has no row.

        Args:
            items: names of items; none is all.
            locations: names of locations; none is all.
            first_day: the first day wanted; None is the first there is.
            last_day: the last day wanted; None is the last that is over.

        Returns:
            Columns `item_id` ("item@location"), `timestamp` (date in the location's calendar), `target` (base units
            sold), `stockout` (share of the day without stock, 0 to 1), `unmet` (base units refused or shortened,
            retries left out), `item`, `location`.

        Raises:
            NotFound: an item or location is not known.
            InvalidArgument: the last day lies before the first, or more is named than a ticket holds.
            Overloaded: the history is still being read from the journal.
        """
        days = {"from": first_day.isoformat() if first_day else "", "to": last_day.isoformat() if last_day else ""}
        return self._dump(ticket("demand_history", items=list(items), locations=list(locations), **days))

    def nowcast(
        self, *, items: Iterable[str] = (), locations: Iterable[str] = (), quantiles: Iterable[float] = ()
    ) -> pa.Table:
        """Returns what is still to be expected of today, one row an item and location.

        Args:
            items: names of items; none is all.
            locations: names of locations; none is all.
            quantiles: levels of the rest of the day, ascending between 0 and 1; none are 0.1 to 0.9.

        Returns:
            Columns `item_id`, `timestamp` (today in the location's calendar), `sold`, `unmet` (so far), `day_ahead`
            (mean expected of the day before it began), `dispersion` (variance over mean), `elapsed` (share of the
            day's demand that has passed in stock, 0 to 1), `total` and `rest` (means of the day and of what is still
            to come), one column a level of the rest, `made_by` (who made `day_ahead`; "" is nobody, and what follows
            from it is null), `item`, `location`; base units.

        Raises:
            NotFound: an item or location is not known.
            InvalidArgument: the levels do not ascend between 0 and 1, or more is named than a ticket holds.
            Overloaded: the history is still being read from the journal.
        """
        levels = [float(level) for level in quantiles]
        return self._dump(ticket("nowcast", items=list(items), locations=list(locations), quantiles=levels))

    def _identified(self, job: str, table: ArrowStream) -> pa.Table:
        """Answers a table, with new request ids where it has none. A caller that has to send it again finds them."""
        taken = as_table(table)
        if "request_id" in taken.column_names:
            return self._exchange(job, taken)
        ids = _new_ids(taken.num_rows, self._now_ms())
        try:
            return self._exchange(job, taken.append_column("request_id", ids))
        except BespeakError as error:
            error.request_ids = ids
            raise


def ticket(table: str, **narrowed: str | list[str] | list[float]) -> str:
    """Returns the ticket of a table; what does not narrow it is left out."""
    return json.dumps({"table": table} | {name: value for name, value in narrowed.items() if value})


def as_table(table: ArrowStream) -> pa.Table:
    """Returns anything with the Arrow C interface as a pyarrow table, without a copy.

    Raises:
        InvalidArgument: it has none.
    """
    if isinstance(table, pa.Table):
        return table
    if not hasattr(table, "__arrow_c_stream__"):
        raise invalid(f"table is a {type(table).__name__}: give an Arrow table, or what has __arrow_c_stream__")
    return pa.table(table)


def _new_ids(count: int, now_ms: int) -> pa.Array:
    """Returns UUIDs of version 7 as 16 bytes each."""
    return pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(new_request_ids(count, now_ms))])


def _with_words(table: pa.Table) -> pa.Table:
    """Gives columns of words for columns of their numbers; 0 becomes null."""
    for name in _columns_of_words(table.schema):
        words = pa.array(list(_WORDS[name]), pa.string())
        column = pa.chunked_array(
            [_keyed(chunk, words) for chunk in table.column(name).chunks], pa.dictionary(pa.uint8(), pa.string())
        )
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _keyed(numbers: pa.Array, words: pa.Array) -> pa.DictionaryArray:
    none = pc.equal(numbers, _ZERO)
    return pa.DictionaryArray.from_arrays(pc.if_else(none, None, pc.subtract(numbers, _ONE)), words)


def _columns_of_words(schema: Any) -> Iterable[str]:
    return [field.name for field in schema if field.name in _WORDS and pa.types.is_uint8(field.type)]
