"""The network once more, for answers alone on a CPU: fewer and smaller steps, the same numbers but for rounding.

Beside the products of matrices, a pass of `PatchNetwork` spends its time on
steps that read and write all tokens. Here weights are put together where
nothing stands between them (a norm's weight with the layer behind it; query,
key and value; value and output of a group of one), residuals are added by the
product itself, positions are turned as complex numbers, and what is the same
for all items (the calendar of a common last day) is computed once.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import (
    CALENDAR_CHANNELS,
    TARGET_CHANNELS,
    Batch,
    anchor,
    calendar,
    instance_scale,
    normal,
    visible_patches,
)
from models.patch.layers import Block, rotary
from models.patch.network import Output, PatchNetwork

#: What a root of a mean square is at least, as `nn.RMSNorm` has it.
EPSILON = torch.finfo(torch.float32).eps


class FusedNetwork(nn.Module):
    """Answers as the network does that it is made of; batches with groups are left to that one.

    Args:
        network: float32, on the CPU; not kept.
        dtype: of weights and activations.
    """

    def __init__(self, network: PatchNetwork, dtype: torch.dtype):
        super().__init__()
        self.config = network.config
        self.plain = network.computing("cpu", dtype)
        with torch.no_grad():
            self.blocks = nn.ModuleList(FusedBlock(cast(Block, block), self.config, dtype) for block in network.blocks)
            embed = network.embed
            first, second = _layers(embed.join)
            self.days = _kept(torch.cat([embed.day.weight, network.days.day.weight]), dtype)
            self.day_bias = _kept(embed.day.bias, dtype)
            self.join = _kept(torch.cat([first.weight, embed.skip.weight]), dtype)
            # What the second layer adds to every token is added with the way around it.
            self.join_bias = _kept(torch.cat([first.bias, embed.skip.bias + second.bias]), dtype)
            self.second = _kept(second.weight.t(), dtype)

    def forward(self, batch: Batch) -> Output:
        """See `PatchNetwork.forward`."""
        if batch.group is not None:
            return self.plain(batch)
        config = self.config
        scale = instance_scale(batch)
        scaled = torch.asinh(batch.target / scale) * batch.known
        base = anchor(scaled, batch, config.horizon_days)
        days, ahead = self._linear(day_numbers(batch, scale, scaled, base, config))
        hidden = self._tokens(functional.gelu(days))
        items, length, width = hidden.shape
        for column, table in enumerate(self.plain.static):
            hidden += table(batch.static[:, column])[:, None, :]
        visible = visible_patches(batch, config.horizon_patches)
        hide = None
        if not bool(visible.all()):
            hide = torch.zeros(items, 1, 1, length, dtype=hidden.dtype).masked_fill_(~visible[:, None, None], -math.inf)
        turn = torch.view_as_complex(
            rotary(length, width // config.heads, scale).permute(1, 2, 0).contiguous()
        )  # (tokens, pairs)
        for layer, block in enumerate(self.blocks):
            last = layer == len(self.blocks) - 1
            hidden = block(hidden, hide, turn, config.horizon_patches if last else length)
        return self.plain.answer(hidden, ahead, base, scale)

    def _linear(self, numbers: Numbers) -> tuple[torch.Tensor, torch.Tensor]:
        """What embedding and head make of each day, (items, days, day width) and of the horizon's alone."""
        width, ahead = self.config.day_width, self.config.horizon_days
        weight = self.days[:, numbers.own_channels].t()
        common = functional.linear(numbers.common.to(weight.dtype), self.days[:, numbers.common_channels])
        kinds, items, days = numbers.own.shape
        own = numbers.own.to(weight.dtype)
        embedded = torch.mm(own.view(kinds, -1).t(), weight[:, :width]).view(items, days, width)
        embedded += common[:, :width] + self.day_bias
        part = own[:, :, -ahead:].reshape(kinds, -1)
        head = torch.mm(part.t(), weight[:, width:]).view(items, ahead, width)
        return embedded, head + common[-ahead:, width:]

    def _tokens(self, days: torch.Tensor) -> torch.Tensor:
        items, width = len(days), self.config.width
        both = functional.linear(days.view(-1, PATCH_DAYS * days.shape[-1]), self.join, self.join_bias)
        return torch.addmm(both[:, width:], functional.gelu(both[:, :width]), self.second).view(items, -1, width)


class FusedBlock(nn.Module):
    """One layer, for items that are each alone."""

    def __init__(self, block: Block, config: PatchConfig, dtype: torch.dtype):
        super().__init__()
        self.heads, width = config.heads, config.width
        self.pairs = width // config.heads // 2
        time = block.time
        # Turned pairs lie side by side, as the parts of a complex number do.
        order = torch.arange(width).view(config.heads, 2, self.pairs).transpose(1, 2).reshape(-1)
        key, value = time.key_value.weight[:width], time.key_value.weight[width:]
        query = time.query.weight / math.sqrt(width // config.heads)
        together = torch.cat([query[order], key[order], value])
        self.qkv = _kept(_normed(together, time.norm), dtype)
        self.out = _kept(time.out.weight.t(), dtype)
        self.alone: nn.Parameter | None = None
        if block.group is not None:
            own = block.group.out.weight @ block.group.qkv.weight[2 * width :]
            self.alone = _kept(_normed(own, block.group.norm).t(), dtype)
        first, second = _layers(block.feed)
        self.first = _kept(_normed(first.weight, block.norm_feed), dtype)
        self.first_bias = _kept(first.bias, dtype)
        self.second = _kept(second.weight.t(), dtype)
        self.second_bias = _kept(second.bias, dtype)

    def forward(self, hidden: torch.Tensor, hide: torch.Tensor | None, turn: torch.Tensor, keep: int) -> torch.Tensor:
        """Writes over `hidden`, and returns its last `keep` tokens.

        Shapes: hidden (items, tokens, width), hide (items, 1, 1, tokens), turn (tokens, pairs) complex.
        """
        items, length, width = hidden.shape
        normed = scaled_to_one(hidden.view(-1, width))
        if keep == length:
            qkv = functional.linear(normed, self.qkv).view(items, length, 3, self.heads, -1)
            turned = self._turned(qkv[:, :, :2], turn)
            query, key, value = turned[0], turned[1], qkv[:, :, 2]
        else:
            hidden = hidden[:, -keep:].contiguous()
            asked = normed.view(items, length, width)[:, -keep:].reshape(-1, width)
            query = functional.linear(asked, self.qkv[:width]).view(items, keep, 1, self.heads, -1)
            (query,) = self._turned(query, turn[-keep:])
            both = functional.linear(normed, self.qkv[width:]).view(items, length, 2, self.heads, -1)
            (key,), value = self._turned(both[:, :, :1], turn), both[:, :, 1]
        flat = hidden.view(-1, width)
        flat.addmm_(self._mixed(query, key, value, hide).view(-1, width), self.out)
        if self.alone is not None:
            flat.addmm_(scaled_to_one(flat), self.alone)
        wide = functional.gelu(functional.linear(scaled_to_one(flat), self.first, self.first_bias))
        flat.addmm_(wide, self.second)
        flat += self.second_bias
        return hidden

    def _turned(self, values: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """Positions put in: (items, tokens, kinds, heads, width of a head) to (kinds, items, heads, tokens, width)."""
        # There are no complex numbers of half precision. Reordered first, which is half the bytes; what is written over is
        # either new or read by nobody else.
        parts = values.permute(2, 0, 3, 1, 4).contiguous().float()
        torch.view_as_complex(parts.view(*parts.shape[:-1], self.pairs, 2)).mul_(turn)
        return parts.to(values.dtype)

    def _mixed(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, hide: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention, (items, tokens asked, width): for so few tokens two products are quicker than the fused kernel."""
        items, heads, asked, each = query.shape
        score = torch.bmm(query.view(-1, asked, each), key.reshape(-1, key.shape[2], each).transpose(1, 2))
        if hide is not None:
            score.view(items, heads, asked, -1).add_(hide)
        weight = torch.softmax(score, -1)
        mixed = torch.bmm(weight, value.transpose(1, 2).reshape(items * heads, -1, each))
        return mixed.view(items, heads, asked, each).transpose(1, 2).reshape(items, asked, -1)


class Numbers(NamedTuple):
    """What is known of the days, as far as it is not 0 for all; channels as in `features.tokens`."""

    #: float32 (own channels, items, days).
    own: torch.Tensor
    own_channels: list[int]
    #: Of all items alike, float32 (days, common channels).
    common: torch.Tensor
    common_channels: list[int]


def day_numbers(
    batch: Batch, scale: torch.Tensor, scaled: torch.Tensor, base: torch.Tensor, config: PatchConfig
) -> Numbers:
    """The input of the network; see `features.tokens`."""
    items, past = scaled.shape
    days = past + config.horizon_days
    own = {0: (scaled, base), 1: (batch.known, None), 2: (batch.stockout, None)}
    told = torch.isfinite(batch.unmet)
    if bool(told.any()):
        own[3] = (torch.asinh(torch.where(told, batch.unmet, torch.zeros_like(batch.unmet)) / scale), None)
        own[4] = (told.float(), None)
    if bool(batch.as_sales.any()):
        own[6] = (torch.zeros(()), batch.as_sales[:, None])
    whole: dict[int, torch.Tensor] = {}
    given = torch.isfinite(batch.covariates)
    start = TARGET_CHANNELS + CALENDAR_CHANNELS
    for index, there in enumerate(given.any(1).any(0).tolist()):
        if there:
            name = config.covariates[index]
            whole[start + index] = normal(name, batch.covariates[..., index], past)
            whole[start + len(config.covariates) + index] = given[..., index].float()
    ahead = (torch.arange(days) >= past).float()
    common, common_channels = [ahead], [5]
    dates = range(TARGET_CHANNELS, start)
    if bool((batch.last_day == batch.last_day[:1]).all()):
        common += list(calendar(batch.last_day[:1], past, days)[0].unbind(-1))
        common_channels += dates
    else:
        whole |= dict(zip(dates, calendar(batch.last_day, past, days).unbind(-1), strict=True))
    made = torch.zeros(len(own) + len(whole), items, days)
    for row, (before, after) in enumerate(own.values()):
        made[row, :, :past] = before
        if after is not None:
            made[row, :, past:] = after
    for row, values in enumerate(whole.values(), len(own)):
        made[row] = values
    return Numbers(made, [*own, *whole], torch.stack(common, 1), common_channels)


def scaled_to_one(values: torch.Tensor) -> torch.Tensor:
    """Rows over the root of their summed squares; a norm's own weight and width are in the layer behind it."""
    size = torch.linalg.vector_norm(values, dim=-1, keepdim=True).float()
    over = size.square_().add_(values.shape[-1] * EPSILON).rsqrt_()
    return values * over.to(values.dtype)


def _layers(both: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    """The layers before and behind an activation."""
    return cast(nn.Linear, both[0]), cast(nn.Linear, both[2])


def _normed(weight: torch.Tensor, norm: nn.RMSNorm) -> torch.Tensor:
    """A layer's weight behind a norm, for rows from `scaled_to_one`."""
    return weight * norm.weight * math.sqrt(weight.shape[1])


def _kept(weight: torch.Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(weight.to(dtype).contiguous(), requires_grad=False)
