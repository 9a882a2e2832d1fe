"""Forecasts of data frames and arrays, named as users of Chronos know them.

    predict_df(model, df, future_df, prediction_length=28)
    predict_quantiles(model, [array, array], prediction_length=28)

pandas and polars frames are taken, and the same kind is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.evaluation import Model
from models.protocol import DEFAULT_QUANTILES, InputError, check_horizon, check_quantiles

#: Any day will do for series without dates.
FIRST_DAY = 20_000


def predict_df(
    model: Model,
    df: Any,
    future_df: Any = None,
    *,
    prediction_length: int,
    quantile_levels: Sequence[float] = DEFAULT_QUANTILES,
    id_column: str = "item_id",
    timestamp_column: str = "timestamp",
    target: str = "target",
) -> Any:
    """Forecasts the series of a data frame.

    Args:
        model: see `models.catalogue.open_model`.
        df: pandas or polars; a row a series and day, in any order, with
            covariates as further columns. See `models.protocol` for units and
            missing values.
        future_df: covariates of the days ahead, in a frame of the same kind.
        prediction_length: days ahead.

    Returns:
        a frame of the same kind with prediction_length rows a series:
        `id_column`, `timestamp_column`, `target_name` (as in Chronos),
        `predictions` (the mean), and one column a level, such as "0.1".

    Raises:
        InputError: it is neither kind of frame, a column is missing, or see
            `Forecaster.predict`.
    """
    kind = frame_kind(df)
    if future_df is not None and frame_kind(future_df) != kind:
        raise InputError(f"df is of {kind} and future_df of {frame_kind(future_df)}: give both of one kind")
    names = {id_column: "item_id", timestamp_column: "timestamp", target: "target"}
    context = _renamed(_arrow(df, kind), names)
    future = None if future_df is None else _renamed(_arrow(future_df, kind), names)
    if future is not None and "target" in future.column_names:
        future = future.drop_columns(["target"])
    made = model.predict(context, future, prediction_length, quantile_levels)
    stamps = made["timestamp"].cast(pa.timestamp("ns" if kind == "pandas" else "us"))
    columns = {id_column: made["item_id"], timestamp_column: stamps}
    columns["target_name"] = pa.array([target] * made.num_rows, pa.string())
    columns["predictions"] = made["mean"]
    columns |= {name: made[name] for name in made.column_names[3:]}
    table = pa.table(columns)
    if kind == "pandas":
        return table.to_pandas()
    import polars as pl

    return pl.from_arrow(table)


def predict_quantiles(
    model: Model,
    inputs: Sequence[Any] | np.ndarray,
    prediction_length: int,
    quantile_levels: Sequence[float] = DEFAULT_QUANTILES,
) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts series without dates or covariates.

    Args:
        inputs: series of daily targets, oldest first, each one-dimensional and
            of any length; or an array of shape (series, days). NaN is a day
            not known.

    Returns:
        quantiles, float64 (series, prediction_length, levels), and mean,
        float64 (series, prediction_length); NaN for a series without a known
        day.

    Raises:
        InputError: a series is empty or not one-dimensional, or see
            `Forecaster.predict`.
    """
    levels = check_quantiles(quantile_levels)
    series = [np.asarray(one, np.float64) for one in inputs]
    for index, one in enumerate(series):
        if one.ndim != 1 or not len(one):
            raise InputError(f"series {index} has shape {one.shape}: give at least one day in one dimension")
    if not series:
        raise InputError("no series given: give at least one")
    # Names of one width sort as the series came.
    width = len(str(len(series)))
    names = np.repeat([f"{index:0{width}d}" for index in range(len(series))], [len(one) for one in series])
    days = np.concatenate([FIRST_DAY - len(one) + np.arange(len(one)) for one in series]).astype(np.int32)
    context = pa.table(
        {
            "item_id": pa.array(names.tolist(), pa.string()),
            "timestamp": pa.array(days).cast(pa.date32()),
            "target": pa.array(np.concatenate(series), from_pandas=True),
        }
    )
    made = model.predict(context, None, check_horizon(prediction_length), levels)
    flat = np.column_stack([made[name].to_numpy() for name in made.column_names[2:]]).astype(np.float64)
    values = flat.reshape(len(series), prediction_length, 1 + len(levels))
    return values[..., 1:], values[..., 0]


def frame_kind(frame: Any) -> str:
    """ "pandas" or "polars".

    Raises:
        InputError: it is neither.
    """
    for kind in ("pandas", "polars"):
        if type(frame).__module__.partition(".")[0] == kind and type(frame).__name__ == "DataFrame":
            return kind
    raise InputError(f"a {type(frame).__module__}.{type(frame).__name__} is given: give a pandas or polars DataFrame")


def _arrow(frame: Any, kind: str) -> pa.Table:
    try:
        return pa.Table.from_pandas(frame, preserve_index=False) if kind == "pandas" else frame.to_arrow()
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"the frame cannot be read: {error}") from error


def _renamed(table: pa.Table, names: dict[str, str]) -> pa.Table:
    """Columns under the names that forecasters use; what already has such a name makes way."""
    taken = set(names.values()) - set(names)
    kept = [name for name in table.column_names if name not in taken]
    table = table.select(kept)
    for index, field in enumerate(table.schema):
        # pandas keeps text as object, polars as large or view strings.
        if pa.types.is_large_string(field.type) or pa.types.is_string_view(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pa.string()))
    return table.rename_columns([names.get(name, name) for name in kept])
