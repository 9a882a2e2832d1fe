"""Attention over the time of one item, attention over the items of a group, feed-forward."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.patch.config import PATCH_DAYS, PatchConfig


class DayEmbedding(nn.Module):
    """From days to tokens: what a day's numbers mean is learnt once for all days, then days are joined."""

    def __init__(self, config: PatchConfig, inputs: int):
        super().__init__()
        self.day = nn.Linear(inputs, config.day_width)
        self.skip = nn.Linear(PATCH_DAYS * config.day_width, config.width)
        self.join = nn.Sequential(
            nn.Linear(PATCH_DAYS * config.day_width, config.width), nn.GELU(), nn.Linear(config.width, config.width)
        )

    def forward(self, days: torch.Tensor) -> torch.Tensor:
        """Shapes: days (items, days, channels) to tokens (items, days / `PATCH_DAYS`, width)."""
        told = functional.gelu(self.day(days))
        joined = told.reshape(len(days), -1, PATCH_DAYS * told.shape[-1])
        return self.join(joined) + self.skip(joined)


class DayHead(nn.Module):
    """From the tokens of the horizon back to its days; what a day's own numbers do is learnt once for all days."""

    def __init__(self, config: PatchConfig, inputs: int, outputs: int):
        super().__init__()
        self.width = config.day_width
        self.part = nn.Linear(config.width, PATCH_DAYS * config.day_width)
        self.day = nn.Linear(inputs, config.day_width, bias=False)
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(config.day_width, 2 * config.day_width), nn.GELU())
        self.out = nn.Linear(2 * config.day_width + config.day_width, outputs)

    def forward(self, tokens: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
        """Shapes: tokens (items, tokens, width), days (items, days, channels) to (items, days, outputs)."""
        return self.joined(tokens, self.day(days))

    def joined(self, tokens: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """The same with what `day` makes of the days, (items, days, day width)."""
        own = self.part(tokens).reshape(len(tokens), -1, self.width)
        return self.out(torch.cat([self.mix(own + numbers), own], dim=-1))


class Block(nn.Module):
    """One layer; with `grouped`, the items of a group look at each other between time and feed-forward."""

    def __init__(self, config: PatchConfig, *, grouped: bool):
        super().__init__()
        self.time = TimeAttention(config)
        self.group = GroupAttention(config) if grouped else None
        self.norm_feed = nn.RMSNorm(config.width)
        self.feed = nn.Sequential(
            nn.Linear(config.width, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.width)
        )

    def forward(
        self,
        hidden: torch.Tensor,
        mask: torch.Tensor,
        rotation: torch.Tensor,
        together: torch.Tensor | None,
        keep: int | None = None,
    ) -> torch.Tensor:
        """Shapes: hidden (items, tokens, width), mask (items, 1, 1, tokens), together (items, items).

        Args:
            keep: only the last so many tokens are wanted of the result.
        """
        hidden = self.time(hidden, mask, rotation, keep)
        if self.group is not None:
            hidden = self.group(hidden, together)
        return hidden + self.feed(self.norm_feed(hidden))


class TimeAttention(nn.Module):
    """Every token of an item looks at every visible token of the same item."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.heads = config.heads
        self.norm = nn.RMSNorm(config.width)
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.key_value = nn.Linear(config.width, 2 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor, rotation: torch.Tensor, keep: int | None
    ) -> torch.Tensor:
        """See `Block.forward`."""
        items, length, width = hidden.shape
        asked = length if keep is None else keep
        normed = self.norm(hidden)
        key, value = (
            self.key_value(normed).reshape(items, length, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )
        query = self.query(normed[:, -asked:]).reshape(items, asked, self.heads, width // self.heads).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, rotation[:, -asked:]), rotate(key, rotation), value, attn_mask=mask
        )
        return hidden[:, -asked:] + self.out(mixed.transpose(1, 2).reshape(items, asked, width))


class GroupAttention(nn.Module):
    """At every token, the items of a group look at each other; their order does not matter."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.heads = config.heads
        self.norm = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        # A group starts without influence and earns it.
        nn.init.zeros_(self.out.weight)

    def forward(self, hidden: torch.Tensor, together: torch.Tensor | None) -> torch.Tensor:
        """Shapes: hidden (items, tokens, width), together (items, items): True where one looks at the other.

        An item looks at itself too; without `together`, at nothing else.
        """
        items, length, width = hidden.shape
        if together is None:
            value = functional.linear(self.norm(hidden), self.qkv.weight[2 * width :])
            return hidden + self.out(value)
        qkv = self.qkv(self.norm(hidden)).reshape(items, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 1, 3, 0, 4)
        # All pairs of a pass are computed and most are masked: cheaper than ragged groups padded to the largest.
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=together)
        return hidden + self.out(mixed.permute(2, 0, 1, 3).reshape(items, length, width))


def rotary(length: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Cosines and sines of rotary positions, counted back from the last token."""
    position = torch.arange(length, device=like.device, dtype=torch.float32) - (length - 1)
    rate = 100.0 ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float32) / width)
    angle = position[:, None] * rate
    return torch.stack([angle.cos(), angle.sin()]).to(like.dtype)


def rotate(values: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Turns pairs of channels by their token's position."""
    first, second = values.chunk(2, dim=-1)
    cosine, sine = rotation[0], rotation[1]
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
