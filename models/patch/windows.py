"""Training windows: cut from simulated demand, or from a table of real sales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from models.panel import Panel
from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import Batch, group_codes, static_codes
from models.patch.loss import Window
from models.protocol import InputError
from models.simulator import Simulated, simulate

#: Context lengths of training windows, in patches: mostly short, as they are cheap.
CONTEXT_PATCHES = (2, 4, 6, 9, 13, 26, 37)
CONTEXT_CHANCE = (0.08, 0.2, 0.24, 0.22, 0.16, 0.06, 0.04)
#: Days simulated beyond a window, so that windows start at random; windows cut from each series.
CHUNK_SPARE_DAYS = 224
WINDOWS_PER_ITEM = 3
#: Days of history from which the time of the year can be learnt.
SEASON_DAYS_MIN = 550
#: Share of windows that are asked for sales, not for demand.
AS_SALES = 0.25


class WindowSource(Protocol):
    """Where training windows come from."""

    def window(self, step: int) -> Window:
        """The window of a step; the same one whenever it is asked for."""
        ...


@dataclass
class SimulatedWindows:
    """Windows of freshly simulated series, with what a real caller may not know taken away."""

    config: PatchConfig
    seed: int
    batch_items: int = 256
    #: Series simulated at once.
    chunk_items: int = 1024

    def __post_init__(self) -> None:
        self._per_chunk = max(1, self.chunk_items * WINDOWS_PER_ITEM // self.batch_items)
        self._chunk = -1

    def window(self, step: int) -> Window:
        """See `WindowSource.window`."""
        chunk, index = divmod(step, self._per_chunk)
        if chunk != self._chunk:
            self._simulate(chunk)
        chosen = self._rows[index * self.batch_items : (index + 1) * self.batch_items]
        return self._cut(np.random.default_rng([self.seed, chunk, index]), chosen)

    def _simulate(self, chunk: int) -> None:
        rng = np.random.default_rng([self.seed, chunk])
        patches = min(int(rng.choice(CONTEXT_PATCHES, p=CONTEXT_CHANCE)), self.config.context_patches)
        self._context = patches * PATCH_DAYS
        days = self._context + self.config.horizon_days + CHUNK_SPARE_DAYS
        self._made: Simulated = simulate(self.chunk_items, days, int(rng.integers(2**62)))
        # Items of a group stay together, so that one batch holds them all.
        order = [rng.permutation(self._made.group.max() + 1)[self._made.group] for _ in range(WINDOWS_PER_ITEM)]
        self._rows = np.concatenate([np.argsort(keys, kind="stable") for keys in order])
        self._chunk = chunk

    def _cut(self, rng: np.random.Generator, rows: np.ndarray) -> Window:
        made, context, ahead = self._made, self._context, self.config.horizon_days
        items = len(rows)
        group = made.group[rows]
        # A group shares its dates.
        start = rng.integers(0, CHUNK_SPARE_DAYS + 1, made.group.max() + 1)[group]
        column = start[:, None] + np.arange(context + ahead)

        def take(values: np.ndarray) -> np.ndarray:
            return values[rows[:, None], column]

        def for_some(share: float) -> np.ndarray:
            return rng.random((items, 1)) < share

        sales, demand, stockout = take(made.sales), take(made.demand), take(made.stockout)
        target = sales[:, :context].copy()
        shorter = rng.integers(0, context - 6, items) * (rng.random(items) < 0.3)
        target[np.arange(context) < shorter[:, None]] = np.nan
        gaps = for_some(0.2) & (rng.random((items, context)) < rng.random((items, 1)) * 0.4)
        target[gaps] = np.nan
        told = stockout[:, :context] * for_some(0.8)
        unmet = (demand - np.nan_to_num(sales))[:, :context]
        unmet = np.where(for_some(0.2) & np.isfinite(target), np.floor(unmet * rng.random((items, 1))), np.nan)

        covariates = np.stack([take(getattr(made, name)) for name in self.config.covariates], axis=-1)
        absent = rng.random((items, 1, covariates.shape[-1])) < 0.35
        covariates = np.where(absent, np.nan, covariates)
        known = np.isfinite(target)
        as_sales = rng.random(items) < AS_SALES
        truth = np.where(as_sales[:, None], np.nan_to_num(sales), demand)[:, context:]
        truth[~known.any(axis=1)] = np.nan
        batch = Batch(
            torch.from_numpy(np.nan_to_num(target)),
            torch.from_numpy(known.astype(np.float32)),
            torch.from_numpy(told.astype(np.float32)),
            torch.from_numpy(unmet.astype(np.float32)),
            torch.from_numpy(made.first_day[rows] + start + context - 1),
            torch.from_numpy(covariates.astype(np.float32)),
            torch.from_numpy(as_sales.astype(np.float32)),
            torch.zeros((items, len(self.config.static)), dtype=torch.int64),
            group_codes(np.where(rng.random(made.group.max() + 1)[group] < 0.5, group, -1 - np.arange(items))),
        )
        return Window(batch, torch.from_numpy(truth), torch.zeros(truth.shape, dtype=torch.bool))


class PanelWindows:
    """Windows of real sales, ending anywhere in the table.

    A day with a stock-out sold at least what was sold: its truth is a lower
    bound of demand, to which units refused are added where they are told.
    """

    def __init__(
        self,
        panel: Panel,
        config: PatchConfig,
        seed: int,
        batch_items: int = 256,
        *,
        as_sales: float = AS_SALES,
        context_days_min: int = 28,
        tilt: float = 0.0,
    ):
        """Takes the whole history as a panel of horizon 0.

        Args:
            as_sales: share of windows that are asked for sales, not for demand.
            context_days_min: an origin has at least so many days before it.
            tilt: spread of the growth over 28 days that each window is given at random, as a logarithm.

        Raises:
            InputError: it is too short to hold a context and a day after it.
        """
        days = panel.days
        if days <= context_days_min:
            raise InputError(f"the data spans {days} days: training needs more than {context_days_min}")
        self._panel, self._config, self._seed, self._batch_items = panel, config, seed, batch_items
        self._as_sales, self._first = as_sales, context_days_min
        self._tilt = tilt
        ahead, before = config.horizon_days, config.context_days

        def padded(values: np.ndarray, fill: float) -> np.ndarray:
            return np.pad(values[:, :days], ((0, 0), (before, ahead)), constant_values=fill)

        self._target = padded(panel.target, np.nan)
        self._stockout = padded(panel.stockout, 0.0)
        self._unmet = None if panel.unmet is None else padded(panel.unmet, np.nan)
        self._covariates = [
            padded(panel.covariates[name], np.nan) if name in panel.covariates else None for name in config.covariates
        ]
        self._static = static_codes(panel, config)
        group = np.arange(panel.items) if panel.group is None else panel.group
        _, self._group = np.unique(group, return_inverse=True)
        self._by_group = np.argsort(self._group, kind="stable")
        self._starts = np.searchsorted(self._group[self._by_group], np.arange(self._group.max() + 2))

    def window(self, step: int) -> Window:
        """See `WindowSource.window`."""
        rng = np.random.default_rng([self._seed, step])
        rows = self._draw(rng)
        config, days = self._config, self._panel.days
        origin = int(rng.integers(self._first, days))
        # The weekday of the origin is that of the calendar: one origin a batch, as in use.
        longest = -(-origin // PATCH_DAYS)
        patches = min(config.context_patches, longest)
        if rng.random() < 0.3:
            patches = int(rng.integers(2, patches + 1)) if patches > 2 else patches
        context = patches * PATCH_DAYS
        column = config.context_days + origin - context + np.arange(context + config.horizon_days)

        def take(values: np.ndarray) -> np.ndarray:
            return values[rows[:, None], column]

        sales, stockout = take(self._target), take(self._stockout)
        target = sales[:, :context]
        known = np.isfinite(target)
        unmet = np.full_like(target, np.nan) if self._unmet is None else take(self._unmet)[:, :context]
        covariates = np.full((len(rows), len(column), len(config.covariates)), np.nan, np.float32)
        for index, values in enumerate(self._covariates):
            if values is not None:
                covariates[..., index] = take(values)
        as_sales = rng.random(len(rows)) < self._as_sales
        refused = None if self._unmet is None else np.nan_to_num(take(self._unmet)[:, context:])
        if self._tilt:
            when = (np.arange(sales.shape[1]) - context) / 28.0
            tilt = np.exp(rng.normal(0.0, self._tilt, (len(rows), 1)) * when).clip(0.05, 20.0).astype(np.float32)
            sales, unmet = sales * tilt, unmet * tilt[:, :context]
            target = sales[:, :context]
            refused = None if refused is None else refused * tilt[:, context:]
        truth = sales[:, context:].copy()
        if refused is not None:
            truth += np.where(as_sales[:, None], 0.0, refused)
        truth[~known.any(axis=1)] = np.nan
        censored = (stockout[:, context:] > 0.0) & ~as_sales[:, None]
        # Less than a year and a half cannot tell the season from the date: whole weeks
        # are added at random, so that only the weekday is learnt.
        shift = 0 if days >= SEASON_DAYS_MIN else 7 * rng.integers(0, 52, len(rows))
        batch = Batch(
            torch.from_numpy(np.nan_to_num(target)),
            torch.from_numpy(known.astype(np.float32)),
            torch.from_numpy(stockout[:, :context].copy()),
            torch.from_numpy(unmet),
            torch.from_numpy(self._panel.last_day[rows] - days + origin + shift),
            torch.from_numpy(covariates),
            torch.from_numpy(as_sales.astype(np.float32)),
            self._static[rows],
            group_codes(self._group[rows]) if self._panel.group is not None else None,
        )
        return Window(batch, torch.from_numpy(truth), torch.from_numpy(censored))

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """Items of a batch, whole groups as far as they fit."""
        groups = rng.permutation(len(self._starts) - 1)
        sizes = (self._starts[1:] - self._starts[:-1])[groups]
        count = int(np.searchsorted(np.cumsum(sizes), self._batch_items)) + 1
        rows = [self._by_group[self._starts[one] : self._starts[one + 1]] for one in groups[:count]]
        return np.concatenate(rows)[: self._batch_items]


@dataclass
class MixedWindows:
    """Mostly one source, at a fixed share of steps another, so that what was learnt there is kept."""

    main: WindowSource
    other: WindowSource
    share: float
    seed: int

    def window(self, step: int) -> Window:
        """See `WindowSource.window`."""
        if np.random.default_rng([self.seed, step]).random() < self.share:
            return self.other.window(step)
        return self.main.window(step)
