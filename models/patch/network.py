"""The network: two weeks a token, attention over time and over groups, quantiles out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace

import torch
from torch import nn
from torch.nn import functional

from models.patch.config import PatchConfig
from models.patch.features import CALENDAR_CHANNELS, TARGET_CHANNELS, Batch, channels, instance_scale, tokens
from models.patch.layers import Block, DayEmbedding, DayHead, rotary
from models.protocol import InputError

#: Bound of the output in scaled space: sinh(9) is 4,000 times the usual sale.
OUTPUT_MAX = 9.0


@dataclass
class Output:
    """What the network says of a batch; scaled means over the item's `scale`."""

    #: asinh(units / scale), float32 (items, horizon days, levels), ascending along the levels.
    quantiles: torch.Tensor
    #: units / scale, float32 (items, horizon days).
    mean: torch.Tensor
    #: Log-odds that nothing is wanted that day, float32 (items, horizon days).
    zero: torch.Tensor
    #: asinh(units / scale) of the demand from the first day on, float32 (items, total
    #: days, total levels), ascending along the levels.
    totals: torch.Tensor
    #: Units, float32 (items, 1).
    scale: torch.Tensor

    def first(self, items: int, *, copied: bool = False) -> Output:
        """Of so many items, on the CPU; with `copied`, in memory of its own there too."""
        values = (getattr(self, one.name)[:items] for one in fields(self))
        return Output(*(value.to("cpu", copy=True) if copied else value.cpu() for value in values))


class PatchNetwork(nn.Module):
    """Maps a `Batch` to an `Output`."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.config = config
        self.level_widths: torch.Tensor
        self.total_steps: torch.Tensor
        inputs = channels(config)
        self.embed = DayEmbedding(config, inputs)
        tables = [nn.Embedding(len(known) + 1, config.width) for known in config.static.values()]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.static = nn.ModuleList(tables)
        self.blocks = nn.ModuleList(
            Block(config, grouped=layer in config.group_layers) for layer in range(config.layers)
        )
        self.norm = nn.RMSNorm(config.width)
        self.middle = min(range(len(config.levels)), key=lambda i: abs(config.levels[i] - 0.5))
        # Quantiles, then mean and zero, of each day of a token.
        self.days = DayHead(config, inputs, len(config.levels) + 2)
        self.totals = nn.Linear(
            config.width * config.horizon_patches, len(config.total_days) * len(config.total_levels)
        )
        for head in (self.days.out, self.totals):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, -2.0)
        with torch.no_grad():
            self.days.out.bias[self.middle] = 0.0
            self.days.out.bias[-2:] = 0.0
            self.totals.bias.view(len(config.total_days), -1)[:, 0] = 0.0
        # Where the work is done, so that no pass waits for a copy from the host; not stored.
        self.register_buffer("level_widths", level_widths(config.levels), persistent=False)
        self.register_buffer("total_steps", torch.tensor(config.total_days) - 1, persistent=False)

    def computing(self, device: torch.device | str, dtype: torch.dtype) -> PatchNetwork:
        """A copy with its weights on a device and in a type; what is not a weight keeps its own."""
        made = copy.deepcopy(self).to(device)
        for weight in made.parameters():
            weight.data = weight.data.to(dtype)
        return made

    def forward(self, batch: Batch) -> Output:
        """Forecasts every day of the horizon."""
        config = self.config
        scale = instance_scale(batch)
        read = tokens(batch, scale, config)
        # The weights' type is the type of the work; scales, features and answers stay float32.
        days = read.values.to(self.embed.day.weight.dtype)
        hidden = self.embed(days)
        for column, table in enumerate(self.static):
            hidden = hidden + table(batch.static[:, column])[:, None, :]
        rotation = rotary(hidden.shape[1], config.width // config.heads, hidden)
        mask = read.visible[:, None, None, :]
        together = None if batch.group is None else batch.group[:, None] == batch.group[None, :]
        for layer, block in enumerate(self.blocks):
            last = layer == len(self.blocks) - 1
            hidden = block(hidden, mask, rotation, together, config.horizon_patches if last else None)
        return self.answer(hidden, self.days.day(days[:, -config.horizon_days :]), read.anchor, scale)

    def answer(self, hidden: torch.Tensor, numbers: torch.Tensor, base: torch.Tensor, scale: torch.Tensor) -> Output:
        """From the tokens of the horizon, (items, tokens, width), to the output; numbers as in `DayHead.joined`."""
        ahead = self.norm(hidden)
        out = self.days.joined(ahead, numbers).float()
        quantiles = self._quantiles(out[..., :-2], base)
        mean = mean_of(torch.sinh(quantiles).clamp(min=0.0), self.level_widths)
        # The tail beyond the outer level is in no quantile: the head says by how much the mean is larger.
        mean = mean * torch.exp(out[..., -2].clamp(-2.0, 2.0))
        totals = self._totals(self.totals(ahead.flatten(1)).float(), mean)
        return Output(quantiles, mean, out[..., -1], totals, scale)

    def take_over(self, other: PatchNetwork) -> None:
        """Copies what another network has learnt; covariates and static columns new here start without influence.

        Raises:
            InputError: the networks differ in more than covariates and static columns.
        """
        if replace(other.config, covariates=self.config.covariates, static=self.config.static) != self.config:
            raise InputError(f"cannot start from a network of {other.config}: the new one is {self.config}")
        stored = {name: value for name, value in other.state_dict().items() if not name.startswith("static.")}
        for name in ("embed.day.weight", "days.day.weight"):
            stored[name] = _moved(stored[name], other.config.covariates, self.config.covariates)
        self.load_state_dict(stored, strict=False)
        for column, name in enumerate(self.config.static):
            if self.config.static[name] == other.config.static.get(name):
                self.static[column].load_state_dict(other.static[list(other.config.static).index(name)].state_dict())

    def _quantiles(self, raw: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        centre = raw[..., self.middle : self.middle + 1] + base[..., None]
        steps = functional.softplus(raw)
        below = steps[..., : self.middle].flip(-1).cumsum(-1).flip(-1)
        above = steps[..., self.middle + 1 :].cumsum(-1)
        return torch.cat([centre - below, centre, centre + above], dim=-1).clamp(-OUTPUT_MAX, OUTPUT_MAX)

    def _totals(self, raw: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        expected = torch.asinh(mean.detach().cumsum(1)[:, self.total_steps])
        raw = raw.reshape(*expected.shape, -1)
        lowest = expected[..., None] + raw[..., :1]
        return torch.cat([lowest, lowest + functional.softplus(raw[..., 1:]).cumsum(-1)], dim=-1).clamp(
            -OUTPUT_MAX, OUTPUT_MAX + 4.0
        )


def _moved(weight: torch.Tensor, before: tuple[str, ...], now: tuple[str, ...]) -> torch.Tensor:
    """Input weights with their covariate channels in another order; 0 for new ones."""
    rows, own = len(weight), TARGET_CHANNELS + CALENDAR_CHANNELS
    new = torch.zeros(rows, own + 2 * len(now))
    new[:, :own] = weight[:, :own]
    for index, name in enumerate(now):
        if name in before:
            for part in (0, 1):  # values, then whether they are given
                new[:, own + part * len(now) + index] = weight[:, own + part * len(before) + before.index(name)]
    return new


def level_widths(levels: tuple[float, ...]) -> torch.Tensor:
    """Distances between 0, the levels and 1, float32 (levels + 1)."""
    return torch.tensor((0.0, *levels, 1.0)).diff()


def mean_of(units: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Integral of the quantile function, straight between the levels and flat beyond them; see `level_widths`."""
    edges = torch.cat([units[..., :1], units, units[..., -1:]], dim=-1)
    return ((edges[..., 1:] + edges[..., :-1]) / 2.0 * widths).sum(-1)
