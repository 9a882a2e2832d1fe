"""From daily arrays to the tokens that the network reads."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from models.panel import Panel
from models.patch.config import PATCH_DAYS, PatchConfig

CALENDAR_CHANNELS = 12
#: Value, known, stock-out share, unmet, unmet known, days ahead, asked for sales.
TARGET_CHANNELS = 7
WEEK_DAYS = 7
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
    #: Units asked for and refused, float32 (items, context days); NaN where not told.
    unmet: torch.Tensor
    #: Last context day as days since 1970-01-01, int64 (items,).
    last_day: torch.Tensor
    #: float32 (items, days, covariates); NaN where not given.
    covariates: torch.Tensor
    #: 1 where the forecast is to be of sales, 0 where of demand, float32 (items,).
    as_sales: torch.Tensor
    #: Rows of the vocabulary, int64 (items, static columns); 0 is unknown.
    static: torch.Tensor
    #: Items with the same number look at each other, int64 (items,); None when each is alone.
    group: torch.Tensor | None = None

    def to(self, device: str) -> Batch:
        """The same on another device."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in held.items() if value is not None})

    def rows(self, chosen: torch.Tensor) -> Batch:
        """Some of the items, int64 (items,)."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        return replace(self, **{name: value[chosen] for name, value in held.items() if value is not None})

    def padded(self, items: int) -> Batch:
        """The same with the last item repeated up to so many; nobody looks at the repetitions."""
        own = len(self.target)
        more = self.rows(torch.arange(items).clamp(max=own - 1))
        if more.group is not None:
            more.group[own:] = more.group.max() + 1
        return more


def channels(config: PatchConfig) -> int:
    """Numbers that describe one day to the network."""
    return TARGET_CHANNELS + CALENDAR_CHANNELS + 2 * len(config.covariates)


def batch_from_panel(panel: Panel, config: PatchConfig, context_patches: int, *, as_sales: bool = False) -> Batch:
    """Cuts or pads a panel to the given number of context patches."""
    days = context_patches * PATCH_DAYS
    ahead = config.horizon_days

    def fitted(values: np.ndarray, fill: float) -> np.ndarray:
        values = values[:, -days:]
        return np.pad(values, ((0, 0), (days - values.shape[1], 0)), constant_values=fill)

    target = fitted(panel.target, np.nan)
    unmet = np.full_like(target, np.nan) if panel.unmet is None else fitted(panel.unmet, np.nan)
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
        torch.from_numpy(unmet),
        torch.from_numpy(panel.last_day),
        torch.from_numpy(covariates),
        torch.full((panel.items,), float(as_sales)),
        static_codes(panel, config),
        group_codes(panel.group),
    )


def blank_batch(config: PatchConfig, items: int, context_patches: int, *, grouped: bool) -> Batch:
    """A batch of the given shape with nothing known; with `grouped`, all of its items are one group."""
    days = context_patches * PATCH_DAYS
    zeros = torch.zeros(items, days)
    return Batch(
        zeros,
        zeros.clone(),
        zeros.clone(),
        torch.full_like(zeros, torch.nan),
        torch.zeros(items, dtype=torch.int64),
        torch.full((items, days + config.horizon_days, len(config.covariates)), torch.nan),
        torch.zeros(items),
        torch.zeros(items, len(config.static), dtype=torch.int64),
        torch.zeros(items, dtype=torch.int64) if grouped else None,
    )


def static_codes(panel: Panel, config: PatchConfig) -> torch.Tensor:
    """Each item's row in the vocabulary of each static column."""
    codes = np.zeros((panel.items, len(config.static)), np.int64)
    for column, (name, known) in enumerate(config.static.items()):
        if name in panel.static:
            row = {value: index + 1 for index, value in enumerate(known)}
            codes[:, column] = [row.get(value, 0) for value in panel.static[name]]
    return torch.from_numpy(codes)


def group_codes(group: np.ndarray | None) -> torch.Tensor | None:
    """See `Batch.group`."""
    if group is None or len(np.unique(group)) == len(group):
        return None
    return torch.from_numpy(group)


def instance_scale(batch: Batch) -> torch.Tensor:
    """Mean sale of the days in stock, float32 (items, 1); of all known days, or 1, where that is 0."""
    in_stock = batch.known * (batch.stockout <= 0.0)
    total = (batch.target * in_stock).sum(1, keepdim=True)
    scale = total / in_stock.sum(1, keepdim=True).clamp(min=1.0)
    any_total = (batch.target * batch.known).sum(1, keepdim=True)
    any_scale = any_total / batch.known.sum(1, keepdim=True).clamp(min=1.0)
    scale = torch.where(scale > 0.0, scale, any_scale)
    return torch.where(scale > 0.0, scale, torch.ones_like(scale))


def anchor(scaled: torch.Tensor, batch: Batch, horizon_days: int) -> torch.Tensor:
    """Mean of the scaled target by weekday over the last weeks, laid over the horizon.

    The network predicts the distance from here, so that it starts from
    climatology and only has to learn what differs.

    Returns:
        float32 (items, horizon days); a weekday without a known day takes the
        mean of the others, an item without any takes 0.
    """
    span = ANCHOR_WEEKS * WEEK_DAYS
    # A day partly out of stock says less; for a forecast of sales it is a day like any other.
    missing = batch.stockout * (1.0 - batch.as_sales[:, None])
    weight = (batch.known * (1.0 - missing))[:, -span:]
    weight = weight.reshape(len(weight), -1, WEEK_DAYS)
    value = scaled[:, -span:].reshape(weight.shape)
    pooled = (value * weight).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1e-6)
    # Half a sample at the pooled mean steadies a weekday with few samples.
    by_weekday = ((value * weight).sum(1) + 0.5 * pooled[:, None]) / (weight.sum(1) + 0.5)
    return by_weekday.repeat(1, horizon_days // WEEK_DAYS)


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


@dataclass
class Tokens:
    """What the network reads."""

    #: float32 (items, days, channels): the context's days, then the horizon's.
    values: torch.Tensor
    #: bool (items, patches): False for a patch of the context without a known day.
    visible: torch.Tensor
    #: float32 (items, horizon days): see `anchor`.
    anchor: torch.Tensor


def visible_patches(batch: Batch, horizon_patches: int) -> torch.Tensor:
    """See `Tokens.visible`."""
    items = len(batch.known)
    seen = batch.known.reshape(items, -1, PATCH_DAYS).amax(-1) > 0.0
    return torch.cat([seen, torch.ones(items, horizon_patches, dtype=torch.bool, device=seen.device)], 1)


def tokens(batch: Batch, scale: torch.Tensor, config: PatchConfig) -> Tokens:
    """Builds the input of the network."""
    items, context_days = batch.target.shape
    ahead = config.horizon_days
    scaled = torch.asinh(batch.target / scale) * batch.known
    base = anchor(scaled, batch, ahead)
    zeros = torch.zeros(items, ahead, device=scaled.device)
    told = torch.isfinite(batch.unmet)
    unmet = torch.asinh(torch.where(told, batch.unmet, torch.zeros_like(batch.unmet)) / scale)
    target = torch.stack(
        [
            torch.cat([scaled, base], 1),
            torch.cat([batch.known, zeros], 1),
            torch.cat([batch.stockout, zeros], 1),
            torch.cat([unmet, zeros], 1),
            torch.cat([told.float(), zeros], 1),
            torch.cat([torch.zeros_like(scaled), zeros + 1.0], 1),
            torch.cat([torch.zeros_like(scaled), zeros + batch.as_sales[:, None]], 1),
        ],
        dim=-1,
    )
    given = torch.isfinite(batch.covariates)
    values = torch.stack(
        [normal(name, batch.covariates[..., index], context_days) for index, name in enumerate(config.covariates)],
        dim=-1,
    )
    day_features = torch.cat(
        [target, calendar(batch.last_day, context_days, context_days + ahead), values, given.float()], dim=-1
    )
    return Tokens(day_features, visible_patches(batch, config.horizon_patches), base)


def normal(name: str, values: torch.Tensor, context_days: int) -> torch.Tensor:
    """A covariate on the network's scale, 0 where not given.

    Price is taken relative to what the item usually costs, temperature (degrees
    Celsius) to the mean of the context, precipitation (mm a day) as a logarithm,
    promotion and holiday as they are, the ratio to the list price as its distance from 1; any other by its mean and spread.
    """
    if name in ("promotion", "holiday"):
        return torch.nan_to_num(values).clamp(-1.0, 1.0)
    if name == "price_ratio":
        return torch.nan_to_num(1.0 - values).clamp(-1.0, 1.0)
    if name == "precipitation":
        return torch.nan_to_num(torch.log1p(values.clamp(min=0.0)) / 3.0)
    if name == "price":
        usual = torch.nanmedian(values[:, :context_days], dim=1, keepdim=True).values
        ratio = torch.log(values.clamp(min=1e-6) / usual.clamp(min=1e-6)).clamp(-3.0, 3.0)
        return torch.nan_to_num(ratio)
    mean = torch.nanmean(values[:, :context_days], dim=1, keepdim=True)
    if name == "temperature":
        return torch.nan_to_num((values - mean) / 10.0).clamp(-5.0, 5.0)
    spread = torch.nanmean((values[:, :context_days] - mean).abs(), dim=1, keepdim=True)
    return torch.nan_to_num((values - mean) / spread.clamp(min=1e-6)).clamp(-5.0, 5.0)
