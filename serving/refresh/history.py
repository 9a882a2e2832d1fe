"""Demand history: from the server, or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bespeak import BespeakError, Client

REQUIRED = ("item", "location", "timestamp", "target")


class HistoryError(ValueError):
    """A history that cannot be used; the message says what to change."""


def from_server(client: Client) -> pa.Table:
    """Reads what the server has seen of demand.

    Raises:
        HistoryError: the server keeps none.
    """
    try:
        return checked(client.demand_history(), "the server's history")
    except BespeakError as error:
        raise HistoryError(f"the server gives no demand history ({error}): name a file with --history") from error


def from_parquet(path: Path) -> pa.Table:
    """Reads a file of columns `item`, `location`, `timestamp` (date or timestamp), `target` (units sold), and
    optionally `stockout` and covariates; one row an item, location and day.

    Raises:
        HistoryError: the file cannot be read, or a column is missing.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"cannot read {path}: {error}: name a Parquet file") from error
    return checked(table, str(path))


def future_from_parquet(path: Path) -> pa.Table:
    """Reads a file of columns `item`, `location`, `timestamp` and covariates of days to come.

    Raises:
        HistoryError: as `from_parquet`.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"cannot read {path}: {error}: name a Parquet file") from error
    return checked(table, str(path), REQUIRED[:3])


def checked(table: pa.Table, what: str, required: Sequence[str] = REQUIRED) -> pa.Table:
    """Returns the table with its days as dates, sorted by item, location and day.

    Raises:
        HistoryError: a column is missing.
    """
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise HistoryError(f"{what} has no column {', '.join(missing)}: it needs {', '.join(required)}")
    try:
        days = pc.cast(table["timestamp"], pa.date32(), safe=False)
    except pa.ArrowException as error:
        raise HistoryError(f"{what} has a timestamp that is no day ({error}): make it a date") from error
    table = table.set_column(table.column_names.index("timestamp"), "timestamp", days)
    return table.sort_by([("item", "ascending"), ("location", "ascending"), ("timestamp", "ascending")])
