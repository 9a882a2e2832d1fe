"""Training of the patch transformer on simulated demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import Batch
from models.patch.network import PatchNetwork
from models.simulator import simulate

#: Context lengths of training windows, in patches: mostly short, as they are cheap.
CONTEXT_PATCHES = (4, 9, 13, 26, 52, 73)
CONTEXT_CHANCE = (0.1, 0.25, 0.25, 0.2, 0.12, 0.08)
#: Series simulated at once, and windows cut from each.
CHUNK_ITEMS = 1024
CHUNK_SPARE_DAYS = 224
WINDOWS_PER_ITEM = 3
GRADIENT_NORM_MAX = 1.0


@dataclass(frozen=True)
class TrainingPlan:
    """What a training run does; the same plan on the same machine gives the same weights."""

    steps: int = 2500
    batch_items: int = 256
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    average_decay: float = 0.995
    seed: int = 0


@dataclass
class Window:
    """A batch and what came after it."""

    batch: Batch
    #: Units wanted, float32 (items, horizon days); NaN where the truth is not known.
    truth: torch.Tensor


def windows(plan: TrainingPlan, config: PatchConfig, stream: int = 0) -> Iterator[Window]:
    """Endless training windows; streams of different numbers are independent."""
    rng = np.random.default_rng([plan.seed, stream])
    while True:
        patches = int(rng.choice(CONTEXT_PATCHES, p=CONTEXT_CHANCE))
        patches = min(patches, config.context_patches)
        context, ahead = patches * PATCH_DAYS, config.horizon_days
        made = simulate(CHUNK_ITEMS, context + ahead + CHUNK_SPARE_DAYS, int(rng.integers(2**63)))
        rows = np.tile(np.arange(CHUNK_ITEMS), WINDOWS_PER_ITEM)
        rng.shuffle(rows)
        for start in range(0, len(rows) - plan.batch_items + 1, plan.batch_items):
            chosen = rows[start : start + plan.batch_items]
            yield _cut(rng, made, chosen, context, ahead, config)


def _cut(rng, made, rows: np.ndarray, context: int, ahead: int, config: PatchConfig) -> Window:  # type: ignore[no-untyped-def]
    """Windows at random places, with what a real caller may not know taken away."""
    items = len(rows)
    start = rng.integers(0, CHUNK_SPARE_DAYS + 1, items)
    column = start[:, None] + np.arange(context + ahead)

    def take(values: np.ndarray) -> np.ndarray:
        return values[rows[:, None], column]

    target = take(made.sales)[:, :context]
    shorter = rng.integers(0, context - 6, items) * (rng.random(items) < 0.3)
    target[np.arange(context) < shorter[:, None]] = np.nan
    gaps = (rng.random((items, 1)) < 0.2) & (rng.random((items, context)) < rng.random((items, 1)) * 0.4)
    target[gaps] = np.nan
    stockout = take(made.stockout)[:, :context] * (rng.random((items, 1)) < 0.8)

    covariates = np.stack([take(getattr(made, name)) for name in config.covariates], axis=-1)
    covariates[rng.random(covariates.shape[::2]).repeat(context + ahead, 0).reshape(covariates.shape) < 0.35] = np.nan
    known = np.isfinite(target)
    truth = take(made.demand)[:, context:]
    truth[~known.any(axis=1)] = np.nan
    batch = Batch(
        torch.from_numpy(np.nan_to_num(target)),
        torch.from_numpy(known.astype(np.float32)),
        torch.from_numpy(stockout.astype(np.float32)),
        torch.from_numpy(made.first_day[rows] + start + context - 1),
        torch.from_numpy(covariates.astype(np.float32)),
    )
    return Window(batch, torch.from_numpy(truth))


def loss_of(network: PatchNetwork, window: Window) -> torch.Tensor:
    """Quantile loss, half in scaled space and half in scaled units.

    Scaled units are what the weighted quantile loss weighs; scaled space keeps
    one wild series from deciding the step.
    """
    scaled, scale = network(window.batch)
    known = torch.isfinite(window.truth)
    truth = torch.nan_to_num(window.truth) / scale
    level = torch.tensor(network.config.levels)

    def pinball(value: torch.Tensor, quantiles: torch.Tensor) -> torch.Tensor:
        error = value[..., None] - quantiles
        loss = torch.maximum(level * error, (level - 1.0) * error).mean(-1)
        return torch.where(known, loss, torch.zeros_like(loss)).sum() / known.sum().clamp(min=1)

    in_space = pinball(torch.asinh(truth), scaled)
    in_units = pinball(truth.clamp(max=200.0), torch.sinh(scaled.clamp(max=6.0)))
    return in_space + in_units


def train(config: PatchConfig, plan: TrainingPlan, report: Callable[[int, float], None] | None = None) -> PatchNetwork:
    """Trains from nothing and returns the averaged network.

    Args:
        report: called after each step with its number and its loss.
    """
    torch.manual_seed(plan.seed)
    network = PatchNetwork(config)
    average = PatchNetwork(config)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(
        network.parameters(), plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay
    )
    for step, window in zip(range(plan.steps), windows(plan, config), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * schedule(step, plan)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network, window)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM_MAX)
        optimizer.step()
        decay = min(plan.average_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                kept.lerp_(new, 1.0 - decay)
        if report is not None:
            report(step + 1, loss.item())
    return average


def schedule(step: int, plan: TrainingPlan) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to a hundredth."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))
