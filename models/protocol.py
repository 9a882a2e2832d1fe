"""What a forecaster is: tables in, quantiles out.

Context table, one row an item and day, in any order:

| column | type | unit and meaning |
|---|---|---|
| item_id | string (or dictionary of string) | the series |
| timestamp | date or timestamp | the day; a timestamp's time of day is dropped |
| target | any number | units sold that day; null or NaN means not known |
| stockout (optional) | any number | share of the day without stock, 0 to 1 |
| unmet (optional) | any number | units asked for and refused that day; null where not told |
| group (optional) | string or integer | items of one group are forecast together, a large group in parts; the same in all rows of an item |
| any other number column | | a covariate; a model uses those it knows |
| any other string column | | a category of the item; a model uses those it knows |

Future table (optional): item_id, timestamp and covariates of the days after
the context. A series is forecast from the day after its last row. Days that
are absent between its rows are not known, which is not the same as zero.

Forecast table: item_id (string), timestamp (date32), mean (float64), then one
float64 column a quantile level, named by the level ("0.1"). It has `horizon`
rows an item, sorted by item and day. Values are in units of the target, never
negative, and never cross. They are null where a model has nothing to go on:
an item without a single known day.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from models.panel import Panel

DEFAULT_QUANTILES: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HORIZON_MAX = 365
QUANTILES_MAX = 99


class InputError(ValueError):
    """A table or an argument is wrong; the message says which value and what to do."""


@runtime_checkable
class Forecaster(Protocol):
    """A model that forecasts daily demand.

    A new model is one class with these three members; see the module's
    docstring for the tables.
    """

    name: str
    version: str

    def predict(
        self,
        context: pa.Table,
        future: pa.Table | None,
        horizon: int,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> pa.Table:
        """Forecasts every item of `context` for `horizon` days.

        Returns:
            The forecast table: items x horizon rows.

        Raises:
            InputError: a column is missing or of the wrong type, a value is
                negative or infinite, a day occurs twice, or `horizon` or
                `quantiles` are out of range.
        """
        ...


class PassShape(NamedTuple):
    """A shape that a model fills passes up to, and is to be tried on before it is asked."""

    series: int
    #: Of context.
    days: int
    #: Whether the series belong to groups.
    grouped: bool


class PanelForecaster(ABC):
    """Base of the models here: tables are turned into a `Panel` once, and back.

    Requests of several callers can then share one pass through the model.
    """

    name: str
    version: str
    #: Days of history that the model looks at.
    context_days: int
    #: Covariates that it uses, by column name.
    covariates: tuple[str, ...] = ()
    #: Categories of the item that it uses, by column name.
    static_columns: tuple[str, ...] = ()

    @abstractmethod
    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """Forecasts a panel.

        Returns:
            float64 of shape (items, horizon, 1 + levels): the mean, then the
            quantiles in the order asked. NaN for items without a known day.
        """

    def predict(
        self,
        context: pa.Table,
        future: pa.Table | None,
        horizon: int,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> pa.Table:
        """See `Forecaster.predict`."""
        from models.panel import panel_from_tables

        levels = check_quantiles(quantiles)
        panel = panel_from_tables(
            context, future, check_horizon(horizon), self.context_days, self.covariates, self.static_columns
        )
        return forecast_table(panel, self.predict_panel(panel, horizon, levels), levels)


class TotalsForecaster(PanelForecaster):
    """A model of panels with a head of its own for totals, which the same pass fills."""

    #: Days that it forecasts at most; a panel for totals has so many days ahead.
    horizon_days: int
    #: Numbers of days that it totals.
    total_days: tuple[int, ...]

    @abstractmethod
    def predict_panel_with_totals(
        self, panel: Panel, horizon: int, quantiles: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts a panel of `horizon_days` days ahead, by day and in total, in one pass.

        Returns:
            what `predict_panel` gives for `horizon` days, and the totals as
            float64 of shape (items, total days, 1 + levels), the mean first.
        """


def level_name(level: float) -> str:
    """Column name of a quantile level: 0.1 is "0.1", 0.995 is "0.995"."""
    return f"{level:.6g}"


def check_horizon(horizon: int) -> int:
    """Returns the horizon, days.

    Raises:
        InputError: unless it is from 1 to `HORIZON_MAX`.
    """
    if not 1 <= horizon <= HORIZON_MAX:
        raise InputError(f"horizon is {horizon}: give 1 to {HORIZON_MAX} days")
    return horizon


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Returns the levels as a tuple.

    Raises:
        InputError: unless they ascend strictly between 0 and 1.
    """
    levels = tuple(float(level) for level in quantiles)
    if not 1 <= len(levels) <= QUANTILES_MAX:
        raise InputError(f"{len(levels)} quantile levels given: give 1 to {QUANTILES_MAX}")
    for level in levels:
        if not 0.0 < level < 1.0:
            raise InputError(f"quantile level {level} given: levels lie strictly between 0 and 1")
    for before, after in itertools.pairwise(levels):
        if level_name(before) == level_name(after) or before > after:
            raise InputError(f"quantile level {after} follows {before}: give levels in ascending order, each once")
    return levels


def forecast_schema(quantiles: Sequence[float]) -> pa.Schema:
    """Schema of the forecast table for these levels."""
    fields = [pa.field("item_id", pa.string()), pa.field("timestamp", pa.date32()), pa.field("mean", pa.float64())]
    fields += [pa.field(level_name(level), pa.float64()) for level in quantiles]
    return pa.schema(fields)


def forecast_table(panel: Panel, values: np.ndarray, quantiles: Sequence[float]) -> pa.Table:
    """Builds the forecast table from values of shape (items, horizon, 1 + levels)."""
    items, horizon, _ = values.shape
    days = (panel.last_day[:, None] + 1 + np.arange(horizon)).astype(np.int32).ravel()
    rows = np.repeat(np.arange(items), horizon)
    columns: list[pa.Array] = [panel.item_ids.take(pa.array(rows)), pa.array(days, pa.int32()).cast(pa.date32())]
    for column in range(values.shape[2]):
        flat = np.ascontiguousarray(values[:, :, column], dtype=np.float64).ravel()
        columns.append(pa.array(flat, from_pandas=True))
    return pa.Table.from_arrays(columns, schema=forecast_schema(quantiles))


def totals_schema(quantiles: Sequence[float]) -> pa.Schema:
    """Schema of the totals table for these levels."""
    fields = [pa.field("item_id", pa.string()), pa.field("horizon_days", pa.int32()), pa.field("mean", pa.float64())]
    return pa.schema(fields + [pa.field(level_name(level), pa.float64()) for level in quantiles])


def totals_table(panel: Panel, values: np.ndarray, total_days: Sequence[int], quantiles: Sequence[float]) -> pa.Table:
    """Builds a table of totals from values of shape (items, total days, 1 + levels)."""
    items = values.shape[0]
    rows = np.repeat(np.arange(items), len(total_days))
    columns: list[pa.Array] = [panel.item_ids.take(pa.array(rows)), pa.array(list(total_days) * items, pa.int32())]
    for column in range(values.shape[2]):
        flat = np.ascontiguousarray(values[:, :, column], dtype=np.float64).ravel()
        columns.append(pa.array(flat, from_pandas=True))
    return pa.Table.from_arrays(columns, schema=totals_schema(quantiles))
