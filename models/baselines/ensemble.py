"""A weighted average of the quantiles of several forecasters.

Averaging quantiles (Vincent 1912; Ratcliff 1979) keeps the shape of the
members' distributions, where averaging probabilities widens it: Lichtendahl,
Grushka-Cockayne and Winkler 2013, "Is it better to average probabilities or
quantiles?". Weights are given, or fitted to the weighted quantile loss on
rolling origins of the context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.evaluation import Model, Origin, forecast_values, origins
from models.metrics import pinball
from models.protocol import DEFAULT_QUANTILES, InputError, check_quantiles, forecast_schema

FIT_ORIGINS = 3
FIT_ROUNDS = 300
MEMBERS_MAX = 16


class Ensemble:
    """Weighted quantile average.

    Args:
        members: forecasters; each needs its own name.
        weights: one a member, 0 or more, of which the sum is taken as 1. None:
            fitted to each context on up to three rolling origins of it, and
            all the same where it is too short.

    An item that a member cannot forecast takes the average of the others.

    Raises:
        InputError: no members, or weights that do not fit them.
    """

    version = "1"

    def __init__(self, members: Sequence[Model], weights: Sequence[float] | None = None):
        if not 1 <= len(members) <= MEMBERS_MAX:
            raise InputError(f"an ensemble of {len(members)} members: give 1 to {MEMBERS_MAX}")
        names = [member.name for member in members]
        if len(set(names)) != len(names):
            raise InputError(f"members {names} of an ensemble: name each once")
        self.members = tuple(members)
        self.weights = None if weights is None else checked(names, weights)
        given = names if weights is None else [f"{n}={w:g}" for n, w in zip(names, weights, strict=True)]
        self.name = "ensemble:" + ",".join(given)

    def predict(
        self,
        context: pa.Table,
        future: pa.Table | None,
        horizon: int,
        quantiles: Sequence[float] = DEFAULT_QUANTILES,
    ) -> pa.Table:
        """See `Forecaster.predict`.

        Raises:
            InputError: also when a member's table is not that of the others.
        """
        levels = check_quantiles(quantiles)
        weights = self._fitted(context, horizon) if self.weights is None else self.weights
        tables = [
            member.predict(context, future, horizon, levels)
            for member, weight in zip(self.members, weights, strict=True)
            if weight > 0.0
        ]
        used = [member.name for member, weight in zip(self.members, weights, strict=True) if weight > 0.0]
        first = tables[0]
        for name, table in zip(used, tables, strict=True):
            if table.schema.names != forecast_schema(levels).names or not _same_rows(table, first):
                raise InputError(f"member {name} forecasts other rows than {used[0]}: it breaks the protocol")
        columns = first.schema.names[2:]
        values = np.stack([np.column_stack([t[c].to_numpy() for c in columns]) for t in tables])
        mixed = average(values.astype(np.float64), weights[weights > 0.0])
        arrays = [first["item_id"], first["timestamp"]]
        arrays += [pa.array(mixed[:, index], from_pandas=True) for index in range(mixed.shape[1])]
        return pa.Table.from_arrays(arrays, schema=forecast_schema(levels))

    def _fitted(self, context: pa.Table, horizon: int) -> np.ndarray:
        for count in range(FIT_ORIGINS, 0, -1):
            try:
                cuts = origins(context, horizon, count, horizon)
            except InputError:
                continue
            return fit_weights(self.members, cuts)
        return np.full(len(self.members), 1.0 / len(self.members))


def average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the first axis of what is not NaN; NaN where all is."""
    known = np.isfinite(values)
    weight = weights.reshape(-1, *([1] * (values.ndim - 1))) * known
    total = weight.sum(axis=0)
    summed = (np.where(known, values, 0.0) * weight).sum(axis=0)
    return np.where(total > 0.0, summed / np.where(total > 0.0, total, 1.0), np.nan)


def fit_weights(
    members: Sequence[Model],
    cuts: Sequence[Origin],
    levels: Sequence[float] = DEFAULT_QUANTILES,
    *,
    in_stock_only: bool = True,
) -> np.ndarray:
    """Weights, float64 (members,), of the least quantile loss over some origins.

    The loss is convex in the weights; it is lowered by exponentiated gradient
    (Kivinen and Warmuth 1997), which is deterministic and stays on the simplex.
    """
    parts = []
    for cut in cuts:
        truth = np.where(cut.in_stock > 0, cut.truth, np.nan) if in_stock_only else cut.truth
        made = [m.predict(cut.context, cut.future, cut.truth.shape[1], levels) for m in members]
        values = np.stack([np.nan_to_num(forecast_values(table, cut)[..., 1:]) for table in made])
        known = np.isfinite(truth)
        parts.append((truth[known], values[:, known]))
    truth = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts], axis=1)
    weights = np.full(len(members), 1.0 / len(members))
    size = float(np.abs(truth).sum())
    if size == 0.0 or len(members) == 1:
        return weights
    level = np.asarray(levels)

    def loss(mixed: np.ndarray) -> float:
        return float(pinball(truth, mixed, levels).mean(axis=-1).sum()) / size

    # Descent only nears a corner, so members alone are tried first.
    alone = [loss(member) for member in values]
    best, least = np.eye(len(members))[int(np.argmin(alone))], min(alone)
    steepest = 0.0
    for turn in range(FIT_ROUNDS):
        mixed = np.tensordot(weights, values, axes=1)
        found = loss(mixed)
        if found < least:
            best, least = weights, found
        slope = np.where(truth[:, None] > mixed, -level, 1.0 - level) * 2.0 / len(levels)
        gradient = np.tensordot(values, slope, axes=2) / size
        gradient -= gradient.min()
        steepest = max(steepest, float(gradient.max()))
        if steepest == 0.0:
            break
        # Steps that do not depend on the size of the loss.
        weights = weights * np.exp(-gradient / (steepest * math.sqrt(1.0 + turn)))
        weights = weights / weights.sum()
    return best


def checked(names: Sequence[str], weights: Sequence[float]) -> np.ndarray:
    """Weights that sum to 1.

    Raises:
        InputError: unless there is one a member, finite, 0 or more, and not all 0.
    """
    given = np.asarray(weights, np.float64)
    if given.shape != (len(names),) or not np.isfinite(given).all() or (given < 0.0).any() or given.sum() <= 0.0:
        raise InputError(f"weights {list(weights)} for members {list(names)}: give each one of 0 or more, not all 0")
    return given / given.sum()


def _same_rows(one: pa.Table, other: pa.Table) -> bool:
    return all(one[name].combine_chunks().equals(other[name].combine_chunks()) for name in ("item_id", "timestamp"))
