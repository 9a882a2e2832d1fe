"""Training of the patch transformer."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.patch.config import PatchConfig
from models.patch.gradients import Gradients
from models.patch.loss import LossPlan, Window
from models.patch.network import PatchNetwork
from models.patch.windows import WindowSource
from models.protocol import InputError

GRADIENT_NORM_MAX = 1.0


@dataclass(frozen=True)
class TrainingPlan:
    """What a training run does; the same plan on the same machine gives the same weights."""

    steps: int = 6000
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 0.02
    average_decay: float = 0.998
    seed: int = 0
    loss: LossPlan = field(default_factory=LossPlan)
    #: What the windows are of and how they are drawn, told in the state so that a run is not taken up with others.
    data: str = "simulated"
    batch_items: int = 256
    simulated: float = 0.0


class Training:
    """A run that can be stopped and taken up again, with the same result as one that was not."""

    def __init__(
        self, config: PatchConfig, plan: TrainingPlan, source: WindowSource, start: PatchNetwork | None = None
    ):
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.step = 0
        self.source = source
        self.network = PatchNetwork(config)
        self._start = "" if start is None else digest(start)
        if start is not None:
            self.network.take_over(start)
        #: Moving average of the weights: what is kept in the end.
        self.average = PatchNetwork(config)
        self.average.load_state_dict(self.network.state_dict())
        self._gradients = Gradients(self.network, plan.loss)
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay
        )

    def run(self, steps: int) -> Iterator[float]:
        """Takes up to that many steps and yields the loss of each; ends at the end of the plan."""
        last = min(self.step + steps, self.plan.steps)
        while self.step < last:
            yield self._take(self.source.window(self.step))

    def _take(self, window: Window) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.learning_rate * schedule(self.step, self.plan)
        loss = self._gradients.set(window)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM_MAX)
        self._optimizer.step()
        decay = min(self.plan.average_decay, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1.0 - decay)
        self.step += 1
        return loss

    def save(self, path: Path) -> None:
        """Writes all that `load` needs, aside and then renamed."""
        aside = path.with_suffix(".new")
        state = {
            "belongs": self._belongs(),
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
        stored = state.get("belongs", {})
        wrong = [name for name, own in self._belongs().items() if stored.get(name) != own]
        if wrong:
            told = ", ".join(f"{name} {stored.get(name)}" for name in wrong)
            raise InputError(f"{path} is of another plan, with {told}: train with that one, or remove the file")
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _belongs(self) -> dict[str, Any]:
        """What a state must have in common with a run that takes it up."""
        return {**asdict(self.plan), "network": json.dumps(asdict(self.network.config)), "start": self._start}


def digest(network: PatchNetwork) -> str:
    """SHA-256 of the weights."""
    sink = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        sink.update(name.encode())
        sink.update(weight.detach().float().cpu().numpy().tobytes())
    return sink.hexdigest()


def schedule(step: int, plan: TrainingPlan) -> float:
    """Share of the learning rate: linear warm-up, then a cosine to a hundredth."""
    if step < plan.warmup_steps:
        return (step + 1) / plan.warmup_steps
    done = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done))
