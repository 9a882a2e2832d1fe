"""Training of the patch transformer on simulated demand."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import Batch
from models.patch.network import PatchNetwork
from models.protocol import InputError
from models.simulator import Simulated, simulate

#: Context lengths of training windows, in patches: mostly short, as they are cheap.
CONTEXT_PATCHES = (4, 9, 13, 26, 52, 73)
CONTEXT_CHANCE = (0.1, 0.25, 0.25, 0.2, 0.12, 0.08)
#: Days simulated beyond a window, so that windows start at random; windows cut from each series.
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
    #: Series simulated at once.
    chunk_items: int = 1024
    seed: int = 0


@dataclass
class Window:
    """A batch and what came after it."""

    batch: Batch
    #: Units wanted, float32 (items, horizon days); NaN where the truth is not known.
    truth: torch.Tensor


def windows(plan: TrainingPlan, config: PatchConfig, first_step: int = 0) -> Iterator[Window]:
    """Endless training windows, one a step; starting later gives the same ones from there on."""
    per_chunk = max(1, plan.chunk_items * WINDOWS_PER_ITEM // plan.batch_items)
    chunk, skipped = divmod(first_step, per_chunk)
    while True:
        rng = np.random.default_rng([plan.seed, chunk])
        patches = min(int(rng.choice(CONTEXT_PATCHES, p=CONTEXT_CHANCE)), config.context_patches)
        context, ahead = patches * PATCH_DAYS, config.horizon_days
        made = simulate(plan.chunk_items, context + ahead + CHUNK_SPARE_DAYS, int(rng.integers(2**62)))
        rows = np.tile(np.arange(plan.chunk_items), WINDOWS_PER_ITEM)
        rng.shuffle(rows)
        for index in range(per_chunk):
            chosen = rows[index * plan.batch_items : (index + 1) * plan.batch_items]
            window = _cut(np.random.default_rng([plan.seed, chunk, index]), made, chosen, context, ahead, config)
            if index >= skipped:
                yield window
        chunk, skipped = chunk + 1, 0


def _cut(
    rng: np.random.Generator, made: Simulated, rows: np.ndarray, context: int, ahead: int, config: PatchConfig
) -> Window:
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


class Training:
    """A run that can be stopped and taken up again, with the same result as one that was not."""

    def __init__(self, config: PatchConfig, plan: TrainingPlan):
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.step = 0
        self.network = PatchNetwork(config)
        #: Moving average of the weights: what is kept in the end.
        self.average = PatchNetwork(config)
        self.average.load_state_dict(self.network.state_dict())
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay
        )

    def run(self, steps: int) -> Iterator[float]:
        """Takes up to that many steps and yields the loss of each; ends at the end of the plan."""
        last = min(self.step + steps, self.plan.steps)
        for window in windows(self.plan, self.network.config, self.step):
            if self.step >= last:
                return
            yield self._take(window)

    def _take(self, window: Window) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * schedule(self.step, self.plan)
        self._optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.network, window)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM_MAX)
        self._optimizer.step()
        decay = min(self.plan.average_decay, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1.0 - decay)
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Writes all that `load` needs, aside and then renamed."""
        aside = path.with_suffix(".new")
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        torch.save(state, aside)
        aside.replace(path)

    def load(self, path: Path) -> None:
        """Takes up what `save` wrote.

        Raises:
            InputError: it belongs to another plan or cannot be read.
        """
        try:
            state = torch.load(path, weights_only=True)
        except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(f"cannot take up {path}: {error}; remove it to start again") from error
        if state["plan"] != asdict(self.plan):
            raise InputError(f"{path} is of another plan, {state['plan']}: train with that one, or remove the file")
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])


def schedule(step: int, plan: TrainingPlan) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to a hundredth."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))
