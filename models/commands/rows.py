"""Tables of the command line's files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from models.protocol import InputError


def read_rows(path: Path) -> pa.Table:
    """Reads the rows of a Parquet or CSV file.

    Raises:
        InputError: it cannot be read.
    """
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix.lower() == ".csv":
            return pyarrow.csv.read_csv(path)
        return pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error
