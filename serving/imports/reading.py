"""Reads a CSV or Parquet file as text, column by column, under the names that the import knows."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving.imports.kinds import Kind

if TYPE_CHECKING:
    import polars as pl


class FileError(ValueError):
    """The file cannot be taken; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file with its columns renamed.

    Attributes:
        path: the file.
        table: one text column for each column of the kind that the file has.
        first_row: number of the first row as people count: in CSV line 1 is the header.
        ignored: columns of the file that are not taken.
    """

    path: Path
    table: "pl.DataFrame"
    first_row: int
    ignored: tuple[str, ...]


def parse_mapping(pairs: list[str], kind: Kind) -> dict[str, str]:
    """Reads `--map quantity=Antal` options: our column, then the file's.

    Raises:
        FileError: one is no pair, or names no column of ours.
    """
    known = [column.name for column in kind.columns]
    mapping: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not ours or not theirs:
            raise FileError(f"--map {pair} is no pair: write --map {known[0]}=THEIR_COLUMN")
        if ours not in known:
            near = difflib.get_close_matches(ours, known, n=1) or known
            raise FileError(f"--map {pair}: {kind.name} has no column {ours}: did you mean {', '.join(near)}?")
        mapping[ours] = theirs
    return mapping


def read(path: Path, kind: Kind, mapping: Mapping[str, str]) -> Source:
    """Reads a file.

    Args:
        path: `.csv`, `.tsv` or `.parquet`.
        kind: which columns to take.
        mapping: the file's name of some of them.

    Raises:
        FileError: it cannot be read, or a column that is needed is missing.
    """
    # Takes longer to import than most commands take to run.
    import polars as pl

    suffix = path.suffix.lower()
    try:
        match suffix:
            case ".csv" | ".tsv" | ".txt":
                separator = "\t" if suffix == ".tsv" else ","
                table = pl.read_csv(path, infer_schema=False, separator=separator)
            case ".parquet" | ".pq":
                table = pl.read_parquet(path)
            case _:
                raise FileError(f"{path} is neither .csv, .tsv nor .parquet: convert it first")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise FileError(f"cannot read {path}: {error}") from None
    chosen = _choose(path, table.columns, kind, mapping)
    renamed = table.select(_as_text(table.schema[theirs], theirs).alias(ours) for ours, theirs in chosen.items())
    ignored = tuple(name for name in table.columns if name not in chosen.values())
    return Source(path, renamed, 2 if suffix not in (".parquet", ".pq") else 1, ignored)


def _choose(path: Path, columns: list[str], kind: Kind, mapping: Mapping[str, str]) -> dict[str, str]:
    by_lower = {name.strip().lower().replace(" ", "_"): name for name in columns}
    chosen: dict[str, str] = {}
    for column in kind.columns:
        if column.name in mapping:
            theirs = mapping[column.name]
            if theirs not in columns:
                near = difflib.get_close_matches(theirs, columns, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(columns)}"
                raise FileError(f"{path} has no column {theirs}: {hint}")
            chosen[column.name] = theirs
            continue
        found = next((by_lower[name] for name in (column.name, *column.also) if name in by_lower), None)
        if found is not None and found not in chosen.values():
            chosen[column.name] = found
        elif column.required:
            has = ", ".join(columns)
            raise FileError(f"{path} has no column {column.name}: it has {has}; use --map {column.name}=COLUMN")
    return chosen


def _as_text(kind: "pl.DataType", name: str) -> "pl.Expr":
    import polars as pl

    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        return column.dt.epoch("ms").cast(pl.String)
    return column.cast(pl.String)
