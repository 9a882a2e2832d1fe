"""From daily arrays to the tokens that the network reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.panel import Panel
from models.patch.config import PATCH_DAYS, PatchConfig

CALENDAR_CHANNELS = 12
#: Value, known, stock-out share, days ahead flag.
TARGET_CHANNELS = 4
ANCHOR_WEEKS = 8


@dataclass
class Batch:
    """Tensors of one pass; days = context days + horizon days, both whole patches."""

    #: Units sold, float32 (items, context days); 0 where not known.
    target: torch.Tensor
    #: 1 where the target is known, float32 (items, context days).
    known: torch.Tensor
    #: Share of the day without stock, float32 (items, context days).
    stockout: torch.Tensor
    #: Last context day as days since 1970-01-01, int64 (items,).
    last_day: torch.Tensor
    #: float32 (items, days, covariates); NaN where not given.
    covariates: torch.Tensor


def channels(config: PatchConfig) -> int:
    """Numbers that describe one day to the network."""
    return TARGET_CHANNELS + CALENDAR_CHANNELS + 2 * len(config.covariates)


def batch_from_panel(panel: Panel, config: PatchConfig, context_patches: int) -> Batch:
    """Cuts or pads a panel to the given number of context patches."""
    days = context_patches * PATCH_DAYS
    ahead = config.horizon_days

    def fitted(values: np.ndarray, fill: float) -> np.ndarray:
        values = values[:, -days:]
        return np.pad(values, ((0, 0), (days - values.shape[1], 0)), constant_values=fill)

    target = fitted(panel.target, np.nan)
    covariates = np.full((panel.items, days + ahead, len(config.covariates)), np.nan, np.float32)
    for index, name in enumerate(config.covariates):
        if name in panel.covariates:
            values = panel.covariates[name]
            horizon = values.shape[1] - panel.days
            covariates[:, :days, index] = fitted(values[:, : panel.days], np.nan)
            covariates[:, days : days + horizon, index] = values[:, panel.days :][:, :ahead]
    return Batch(
        torch.from_numpy(np.nan_to_num(target)),
        torch.from_numpy(np.isfinite(target).astype(np.float32)),
        torch.from_numpy(fitted(panel.stockout, 0.0)),
        torch.from_numpy(panel.last_day),
        torch.from_numpy(covariates),
    )


def instance_scale(batch: Batch) -> torch.Tensor:
    """Mean sale of the days in stock, float32 (items, 1); of all known days, or 1, where that is 0."""
    in_stock = batch.known * (batch.stockout <= 0.0)
    total = (batch.target * in_stock).sum(1, keepdim=True)
    scale = total / in_stock.sum(1, keepdim=True).clamp(min=1.0)
    any_total = (batch.target * batch.known).sum(1, keepdim=True)
    any_scale = any_total / batch.known.sum(1, keepdim=True).clamp(min=1.0)
    scale = torch.where(scale > 0.0, scale, any_scale)
    return torch.where(scale > 0.0, scale, torch.ones_like(scale))


def anchor(scaled: torch.Tensor, batch: Batch, horizon_patches: int) -> torch.Tensor:
    """Mean of the scaled target by weekday over the last weeks, laid over the horizon.

    The network predicts the distance from here, so that it starts from
    climatology and only has to learn what differs.

    Returns:
        float32 (items, horizon days); a weekday without a known day takes the
        mean of the others, an item without any takes 0.
    """
    span = ANCHOR_WEEKS * PATCH_DAYS
    weight = (batch.known * (1.0 - batch.stockout))[:, -span:]
    weight = weight.reshape(len(weight), -1, PATCH_DAYS)
    value = scaled[:, -span:].reshape(weight.shape)
    pooled = (value * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)
    # Half a sample at the pooled mean steadies a weekday with few samples.
    by_weekday = ((value * weight).sum(1) + 0.5 * pooled[:, None]) / (weight.sum(1) + 0.5)
    return by_weekday.repeat(1, horizon_patches)


def calendar(last_day: torch.Tensor, context_days: int, days: int) -> torch.Tensor:
    """Weekday, day of month and day of year as waves, float32 (items, days, 12)."""
    day = last_day[:, None] + torch.arange(days, device=last_day.device) - (context_days - 1)
    turns = [(day % 7).float() * (k / 7.0) for k in (1, 2, 3)]
    # Months are taken as equally long: a wave cannot tell the 30th from the 31st anyway.
    turns.append((day.double() % 30.436875 / 30.436875).float())
    of_year = (day.double() % 365.2425 / 365.2425).float()
    turns += [of_year, 2.0 * of_year]
    angle = 2.0 * torch.pi * torch.stack(turns, dim=-1)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)


def tokens(batch: Batch, scale: torch.Tensor, config: PatchConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Builds the input of the network.

    Returns:
        tokens, float32 (items, patches, 7 x channels): the context's, then the
        horizon's; visible, bool (items, patches): False for a patch of the
        context without a known day; anchor, float32 (items, horizon days).
    """
    items, context_days = batch.target.shape
    ahead = config.horizon_days
    scaled = torch.asinh(batch.target / scale) * batch.known
    base = anchor(scaled, batch, config.horizon_patches)
    zeros = torch.zeros(items, ahead, device=scaled.device)
    target = torch.stack(
        [
            torch.cat([scaled, base], 1),
            torch.cat([batch.known, zeros], 1),
            torch.cat([batch.stockout, zeros], 1),
            torch.cat([torch.zeros_like(scaled), zeros + 1.0], 1),
        ],
        dim=-1,
    )
    given = torch.isfinite(batch.covariates)
    values = torch.where(given, batch.covariates, torch.zeros_like(batch.covariates))
    for index, name in enumerate(config.covariates):
        if name == "price":  # relative to what the item usually costs
            values[..., index] = relative_price(batch.covariates[..., index], context_days)
    day_features = torch.cat(
        [target, calendar(batch.last_day, context_days, context_days + ahead), values, given.float()], dim=-1
    )
    patches = day_features.reshape(items, -1, PATCH_DAYS * day_features.shape[-1])
    seen = batch.known.reshape(items, -1, PATCH_DAYS).amax(-1) > 0.0
    visible = torch.cat([seen, torch.ones(items, config.horizon_patches, dtype=torch.bool, device=seen.device)], 1)
    return patches, visible, base


def relative_price(price: torch.Tensor, context_days: int) -> torch.Tensor:
    """Log of the price over the item's median context price; 0 where either is not given."""
    usual = torch.nanmedian(price[:, :context_days], dim=1, keepdim=True).values
    ratio = torch.log(price.clamp(min=1e-6) / usual.clamp(min=1e-6)).clamp(-3.0, 3.0)
    return torch.nan_to_num(ratio)
