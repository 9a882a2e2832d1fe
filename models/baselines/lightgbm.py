"""Direct quantile regression with boosted trees.

One LightGBM model a level over rolling origins of all items, with the day
ahead as a feature (Ke et al. 2017, "LightGBM"; direct multi-horizon quantile
loss as by the winners of M5, Makridakis et al. 2022). Crossing quantiles are
sorted (Chernozhukov et al. 2010, "Quantile and probability curves without
crossing").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.baselines.boosted_features import FeatureMaker, Rows
from models.baselines.packages import challenger
from models.panel import RESERVED, Panel, panel_from_tables
from models.protocol import (
    DEFAULT_QUANTILES,
    InputError,
    check_horizon,
    check_quantiles,
    forecast_table,
)

CENSORED = ("drop", "keep")
#: Column of the mean among the fitted models.
MEAN = "mean"
#: Rows weigh as much as their item sells, up to so many times the median: one huge item would otherwise be all that
#: the trees see.
WEIGHT_MAX = 20.0


@dataclass(frozen=True)
class BoostingPlan:
    """How the trees are grown; the defaults were chosen on origins before the scored ones."""

    rows_max: int = 250_000
    origins_max: int = 40
    origin_stride_days: int = 4
    #: Days of history that the oldest origin has.
    history_days_min: int = 14
    rounds_max: int = 400
    stop_after: int = 20
    learning_rate: float = 0.1
    leaves: int = 15
    rows_in_leaf_min: int = 100
    context_days: int = 420
    #: One by default: threads that share cores with other work wait on each other for most of
    #: the time. 0 for all cores. The result is the same for any number.
    threads: int = 1


@dataclass
class Fitted:
    """Trained models by level name, and what they were trained for."""

    boosters: dict[str, Any]
    levels: tuple[float, ...]
    horizon: int
    covariates: tuple[str, ...]
    categories: dict[str, pa.Array]


class LightGBMForecaster:
    """Boosted trees, trained on the context at hand unless `fit` was called before.

    Args:
        censored: "drop" leaves stocked-out days out of the training target,
            "keep" trains on their sales too. Features never see them.
        seed: same seed and data, same forecasts.
        categories: whether the string columns are features. Off, since trees
            learn by heart what items of a category sold in the context.
    """

    def __init__(
        self, censored: str = "drop", seed: int = 0, plan: BoostingPlan | None = None, *, categories: bool = False
    ):
        if censored not in CENSORED:
            raise InputError(f"censored is {censored!r}: give one of {list(CENSORED)}")
        self.censored = censored
        self.seed = seed
        self.plan = plan or BoostingPlan()
        self.categories = categories
        self.name = "lightgbm" if censored == "drop" else f"lightgbm-{censored}"
        self.version = "1"
        self.fitted: Fitted | None = None

    def fit(
        self,
        context: pa.Table,
        future: pa.Table | None = None,
        horizon: int = 28,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> LightGBMForecaster:
        """Trains on a table; `predict` then takes any items with the same columns.

        Covariates are the number columns that `future` has too; without
        `future`, all number columns of `context` are taken as known ahead.

        Raises:
            InputError: see `Forecaster.predict`.
        """
        known = context if future is None else future
        covariates = tuple(name for name in number_columns(known) if name in context.column_names)
        panel = panel_from_tables(context, future, check_horizon(horizon), self.plan.context_days, covariates)
        used = category_columns(context) if self.categories else []
        categories = {name: pc.unique(context[name].cast(pa.string())) for name in used}
        codes = category_codes(context, panel, categories)
        self.fitted = self._train(
            FeatureMaker(panel, codes), horizon, check_quantiles(quantiles), covariates, categories
        )
        return self

    def predict(
        self,
        context: pa.Table,
        future: pa.Table | None,
        horizon: int,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> pa.Table:
        """See `Forecaster.predict`.

        Raises:
            InputError: also when `fit` was called for a shorter horizon or
                without one of the quantiles.
        """
        levels = check_quantiles(quantiles)
        fitted = self.fitted
        if fitted is None:
            fresh = LightGBMForecaster(self.censored, self.seed, self.plan, categories=self.categories)
            fitted = fresh.fit(context, _or_none(future), horizon, levels).fitted
            assert fitted is not None
        missing = set(levels) - set(fitted.levels)
        if missing or check_horizon(horizon) > fitted.horizon:
            raise InputError(
                f"lightgbm was trained for {fitted.horizon} days and levels {list(fitted.levels)}, asked for {horizon} days and {list(levels)}: fit it again for these"
            )
        panel = panel_from_tables(context, future, horizon, self.plan.context_days, fitted.covariates)
        absent = {
            name: np.full((panel.items, panel.days + horizon), np.nan, np.float32)
            for name in fitted.covariates
            if name not in panel.covariates
        }
        ordered = {name: {**panel.covariates, **absent}[name] for name in fitted.covariates}
        panel = Panel(panel.item_ids, panel.last_day, panel.target, panel.stockout, ordered)
        maker = FeatureMaker(panel, category_codes(context, panel, fitted.categories))
        rows = maker.rows(0, np.arange(1, horizon + 1))
        values = np.full((panel.items, horizon, 1 + len(levels)), np.nan)
        columns = [MEAN, *(f"{level:g}" for level in levels)]
        for index, column in enumerate(columns):
            booster = fitted.boosters.get(column)
            scaled = np.zeros(len(rows.item)) if booster is None else booster.predict(rows.features)
            values[rows.item, rows.step - 1, index] = np.maximum(scaled, 0.0) * rows.scale
        values[..., 1:] = np.sort(values[..., 1:], axis=-1)
        return forecast_table(panel, values, levels)

    def _train(
        self,
        maker: FeatureMaker,
        horizon: int,
        levels: tuple[float, ...],
        covariates: tuple[str, ...],
        categories: dict[str, pa.Array],
    ) -> Fitted:
        lightgbm = challenger("lightgbm")
        fitted = Fitted({}, levels, horizon, covariates, categories)
        days = maker.panel.days
        held_out = max(1, min(horizon, days // 4))
        backs = self._origins(days)
        rows = self._sample(maker, backs, horizon, 0)
        if not len(rows.target):  # Nothing is known after any origin: a forecast of 0, as for an item never sold.
            return fitted
        early = self._sample(maker, [back for back in backs if back > held_out], horizon, held_out)
        check = self._sample(maker, [held_out], held_out, 0)
        both = len(early.target) > 0 and len(check.target) > 0

        def dataset(part: Rows, reference: Any = None) -> Any:
            return lightgbm.Dataset(
                part.features,
                part.target,
                weight=row_weights(part.scale),
                feature_name=maker.names,
                categorical_feature=maker.category_columns or "auto",
                reference=reference,
                free_raw_data=False,
                params={"verbosity": -1, "max_bin": 127, "feature_pre_filter": False},
            )

        full = dataset(rows)
        first = dataset(early) if both else None
        second = dataset(check, first) if both else None
        for level in (None, *levels):
            params = self._params(level)
            rounds = 100
            if both:
                stop = lightgbm.early_stopping(self.plan.stop_after, verbose=False)
                tried = lightgbm.train(params, first, self.plan.rounds_max, valid_sets=[second], callbacks=[stop])
                rounds = max(1, tried.best_iteration)
            name = MEAN if level is None else f"{level:g}"
            fitted.boosters[name] = lightgbm.train(params, full, rounds)
        return fitted

    def _params(self, level: float | None) -> dict[str, Any]:
        plan = self.plan
        objective = {"objective": "regression"} if level is None else {"objective": "quantile", "alpha": level}
        return {
            **objective,
            "learning_rate": plan.learning_rate,
            "num_leaves": plan.leaves,
            "min_data_in_leaf": plan.rows_in_leaf_min,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "max_bin": 127,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "num_threads": plan.threads,
            "verbosity": -1,
        }

    def _origins(self, days: int) -> list[int]:
        """How many days before the end the training origins are."""
        last = max(1, days - self.plan.history_days_min)
        stride = max(self.plan.origin_stride_days, -(-last // self.plan.origins_max))
        stride += stride % 7 == 0  # every weekday is an origin
        return list(range(min(stride, last), last + 1, stride))

    def _sample(self, maker: FeatureMaker, backs: Sequence[int], horizon: int, until: int) -> Rows:
        """Training rows whose day lies at least `until` days before the end."""
        rng = np.random.default_rng(self.seed)
        whole = sum(min(horizon, back - until) for back in backs) * maker.panel.items
        part = min(1.0, self.plan.rows_max / max(whole, 1))
        found: list[Rows] = []
        for back in backs:
            steps = np.arange(1, min(horizon, back - until) + 1)
            items = np.flatnonzero(rng.random(maker.panel.items) < max(part, min(1.0, part * 4)))
            if not len(steps) or not len(items):
                continue
            rows = maker.rows(back, steps, items)
            kept = np.isfinite(rows.target)
            if part < 1.0:
                kept &= rng.random(len(kept)) < part / max(part, min(1.0, part * 4))
            if self.censored == "drop":
                kept &= ~maker.stocked_out(rows, back)
            found.append(
                Rows(rows.features[kept], rows.target[kept], rows.scale[kept], rows.item[kept], rows.step[kept])
            )
        if not found:
            nothing = np.empty(0)
            return Rows(np.empty((0, len(maker.names)), np.float32), nothing, nothing, nothing, nothing)
        return Rows(
            np.concatenate([rows.features for rows in found]),
            np.concatenate([rows.target for rows in found]),
            np.concatenate([rows.scale for rows in found]),
            np.concatenate([rows.item for rows in found]),
            np.concatenate([rows.step for rows in found]),
        )


def row_weights(scale: np.ndarray) -> np.ndarray:
    """Weights of rows whose items sell `scale` units a day."""
    return np.minimum(scale, WEIGHT_MAX * np.median(scale))


def _or_none(future: pa.Table | None) -> pa.Table | None:
    return None if future is None or future.num_rows == 0 else future


def number_columns(table: pa.Table) -> list[str]:
    """Names of the number columns that may be covariates."""
    return [
        column.name
        for column in table.schema
        if column.name not in RESERVED
        and (
            pa.types.is_integer(column.type)
            or pa.types.is_floating(column.type)
            or pa.types.is_decimal(column.type)
            or pa.types.is_boolean(column.type)
        )
    ]


def category_columns(table: pa.Table) -> list[str]:
    """Names of the string columns: static categories of the items."""
    kinds = {column.name: column.type for column in table.schema if column.name not in RESERVED}
    kinds = {name: kind.value_type if pa.types.is_dictionary(kind) else kind for name, kind in kinds.items()}
    return [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]


def category_codes(context: pa.Table, panel: Panel, categories: dict[str, pa.Array]) -> np.ndarray:
    """Each item's categories as codes, float32 (items, columns); NaN where unknown or new."""
    codes = np.full((panel.items, len(categories)), np.nan, np.float32)
    if not categories:
        return codes
    item = pc.index_in(context["item_id"].cast(pa.string()), value_set=panel.item_ids).to_numpy()
    for index, (name, values) in enumerate(categories.items()):
        if name in context.column_names:
            found = pc.index_in(context[name].cast(pa.string()), value_set=values.drop_null())
            code = found.cast(pa.float32()).to_numpy()
            some = np.isfinite(code)
            codes[item[some], index] = code[some]
    return codes
