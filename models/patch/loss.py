"""What training minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from models.patch.config import PatchConfig
from models.patch.features import Batch
from models.patch.network import Output

#: Scaled demand above this counts as this much: one wild day must not decide a step.
SCALED_MAX = 100.0


@dataclass
class Window:
    """A batch and what came after it."""

    batch: Batch
    #: Units, float32 (items, horizon days); NaN where not known.
    truth: torch.Tensor
    #: True where at least `truth` was wanted, and it is not known how much more, (items, horizon days).
    censored: torch.Tensor

    def rows(self, chosen: torch.Tensor) -> Window:
        """Some of the items, int64 (items,)."""
        return Window(self.batch.rows(chosen), self.truth[chosen], self.censored[chosen])


@dataclass(frozen=True)
class LossPlan:
    """Weights of the parts."""

    #: Of a day whose truth is only a lower bound; 0 leaves such days out.
    censored: float = 1.0
    totals: float = 0.2
    zero: float = 0.02
    mean: float = 0.1
    #: Share of a day's quantile loss that is taken in scaled units; the rest is taken in scaled space.
    units: float = 0.5
    #: An item counts by its scale to this power: 0 for every item alike, 1 for every unit alike.
    scale_power: float = 0.0


def loss_of(output: Output, window: Window, config: PatchConfig, plan: LossPlan) -> torch.Tensor:
    """Weighted sum of the losses of all heads.

    The quantile loss of days is taken partly in scaled space and partly in scaled
    units, that of totals half in each. Scaled units are what the weighted quantile
    loss weighs; scaled space keeps one wild series from deciding the step. A day
    whose truth is a lower bound takes part as in Powell (Journal of Econometrics
    32, 1986): a quantile above the bound costs nothing.
    """
    known = torch.isfinite(window.truth)
    truth = torch.nan_to_num(window.truth) / output.scale
    bound = window.censored & known
    weight = known * torch.where(bound, plan.censored, 1.0)
    if plan.scale_power:
        size = output.scale**plan.scale_power
        weight = weight * (size / size.mean()).clamp(max=20.0)
    share = weight / weight.sum().clamp(min=1e-6)

    levels = torch.tensor(config.levels)
    in_space = pinball(torch.asinh(truth), output.quantiles, levels, bound)
    units = torch.sinh(output.quantiles.clamp(max=6.0)).clamp(min=0.0)
    in_units = pinball(truth.clamp(max=SCALED_MAX), units, levels, bound)
    loss = 2.0 * (((1.0 - plan.units) * in_space + plan.units * in_units) * share).sum()

    exact = share * ~bound
    nothing = functional.binary_cross_entropy_with_logits(output.zero, (truth <= 0.0).float(), reduction="none")
    # Poisson deviance, whose minimum is the mean whatever the distribution.
    mean = output.mean.clamp(min=1e-4)
    deviance = mean - truth.clamp(max=SCALED_MAX) * torch.log(mean)
    loss = loss + plan.zero * (nothing * exact).sum() + plan.mean * (deviance * exact).sum()
    return loss + plan.totals * _totals(output, truth, known, bound, config, share)


def _totals(
    output: Output,
    truth: torch.Tensor,
    known: torch.Tensor,
    bound: torch.Tensor,
    config: PatchConfig,
    share: torch.Tensor,
) -> torch.Tensor:
    """Quantile loss of totals, over windows in which every day is known; each counts by the root of its length."""
    days = torch.tensor(config.total_days)
    sums = truth.cumsum(1)[:, days - 1]
    whole = known.float().cumprod(1)[:, days - 1] * (share.sum(1, keepdim=True) > 0.0)
    floor = bound.float().cumsum(1)[:, days - 1] > 0.0
    root = days.float().sqrt()
    levels = torch.tensor(config.total_levels)
    in_space = pinball(torch.asinh(sums), output.totals, levels, floor)
    units = torch.sinh(output.totals.clamp(max=8.0)).clamp(min=0.0)
    in_units = pinball(sums.clamp(max=10.0 * SCALED_MAX), units, levels, floor) / root
    weight = share.sum(1, keepdim=True) * whole
    return ((in_space + in_units) * weight).sum() / len(days) / weight.sum().clamp(min=1e-6) * len(days)


def pinball(truth: torch.Tensor, quantiles: torch.Tensor, levels: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Mean over levels of the quantile loss; where `bound`, a quantile above the truth costs nothing."""
    error = truth[..., None] - quantiles
    over = torch.where(bound[..., None], torch.zeros_like(error), (levels - 1.0) * error)
    return torch.maximum(levels * error, over).mean(-1)
