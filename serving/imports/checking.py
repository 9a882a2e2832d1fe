"""Checks rows before anything is sent: every wrong cell is told with its row, column and value."""

from collections.abc import Iterator
from dataclasses import dataclass

from serving.imports.kinds import CellError, Kind, Value
from serving.imports.reading import Source


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one row.

    Attributes:
        row: as people count in the file.
        column: where; "" for the row as a whole.
        value: what the cell holds.
        what: what it may hold, or what the service said.
    """

    row: int
    column: str
    value: str
    what: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file.

    Attributes:
        number: as people count in the file.
        values: one for each column of its kind; None where the cell is empty or wrong.
        wrong: what is wrong with it; empty for a row that can be sent.
    """

    number: int
    values: dict[str, Value]
    wrong: tuple[RowError, ...] = ()


def check(source: Source, kind: Kind) -> Iterator[Row]:
    """Yields each row in the order of the file, with what is wrong with it."""
    seen: dict[tuple[Value, ...], int] = {}
    present = [column for column in kind.columns if column.name in source.table.columns]
    absent = {column.name: None for column in kind.columns if column.name not in source.table.columns}
    places = [source.table.columns.index(column.name) for column in present]
    for number, cells in enumerate(source.table.iter_rows(), source.first_row):
        values: dict[str, Value] = dict(absent)
        wrong: list[RowError] = []
        for column, place in zip(present, places, strict=True):
            cell = (cells[place] or "").strip()
            values[column.name] = None
            if not cell:
                if column.required:
                    wrong.append(RowError(number, column.name, "", "it is empty, and needed"))
                continue
            try:
                values[column.name] = column.read(cell)
            except CellError as error:
                wrong.append(RowError(number, column.name, cell, str(error)))
        if kind.key and not wrong:
            key = tuple(kind.blank.get(name) if values[name] is None else values[name] for name in kind.key)
            first = seen.setdefault(key, number)
            if first != number:
                named = ", ".join(f"{name} {values[name]}" for name in kind.key if values[name])
                wrong.append(RowError(number, "", named, f"row {first} has the same: keep one of them"))
        yield Row(number, values, tuple(wrong))
