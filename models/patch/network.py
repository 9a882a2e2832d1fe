"""The network: weeks as tokens, attention over time, quantiles out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import Batch, channels, instance_scale, tokens

#: Bound of the output in scaled space: sinh(9) is 4,000 times the usual sale.
OUTPUT_MAX = 9.0


class PatchNetwork(nn.Module):
    """Maps a `Batch` to quantiles of every day of the horizon."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.config = config
        inputs = PATCH_DAYS * channels(config)
        self.embed = nn.Sequential(nn.Linear(inputs, config.width), nn.GELU(), nn.Linear(config.width, config.width))
        self.skip = nn.Linear(inputs, config.width)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(config.width)
        self.head = nn.Linear(config.width, PATCH_DAYS * len(config.levels))
        nn.init.normal_(self.head.weight, std=0.01)
        self.middle = min(range(len(config.levels)), key=lambda i: abs(config.levels[i] - 0.5))
        with torch.no_grad():
            self.head.bias.copy_(torch.full_like(self.head.bias, -2.0))
            self.head.bias.view(PATCH_DAYS, -1)[:, self.middle] = 0.0

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Forecasts in scaled space.

        Returns:
            quantiles of asinh(units / scale), float32 (items, horizon days,
            levels), ascending along the levels; scale, float32 (items, 1).
        """
        scale = instance_scale(batch)
        inputs, visible, base = tokens(batch, scale, self.config)
        hidden = self.embed(inputs) + self.skip(inputs)
        rotation = rotary(hidden.shape[1], self.config.width // self.config.heads, hidden)
        mask = visible[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, mask, rotation)
        out = self.head(self.norm(hidden[:, -self.config.horizon_patches :]))
        raw = out.reshape(len(out), self.config.horizon_days, len(self.config.levels))
        centre = raw[..., self.middle : self.middle + 1] + base[..., None]
        steps = functional.softplus(raw)
        below = steps[..., : self.middle].flip(-1).cumsum(-1).flip(-1)
        above = steps[..., self.middle + 1 :].cumsum(-1)
        quantiles = torch.cat([centre - below, centre, centre + above], dim=-1)
        return quantiles.clamp(-OUTPUT_MAX, OUTPUT_MAX), scale


class Block(nn.Module):
    """Attention over the tokens of one item, then a feed-forward layer."""

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.heads = config.heads
        self.norm_attention = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.norm_feed = nn.RMSNorm(config.width)
        self.feed = nn.Sequential(
            nn.Linear(config.width, config.hidden), nn.GELU(), nn.Linear(config.hidden, config.width)
        )

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        """Shapes: hidden (items, tokens, width), mask (items, 1, 1, tokens)."""
        items, length, width = hidden.shape
        qkv = self.qkv(self.norm_attention(hidden)).reshape(items, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            rotate(query, rotation), rotate(key, rotation), value, attn_mask=mask
        )
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(items, length, width))
        return hidden + self.feed(self.norm_feed(hidden))


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
