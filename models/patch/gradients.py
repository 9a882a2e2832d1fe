"""Gradients of a step, of parts of its items side by side.

The items of a part are a group or several: nothing else looks from one item at
another, so that the parts together say what the whole says, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import torch

from models.patch.features import Batch
from models.patch.loss import LossPlan, Window, loss_of
from models.patch.network import Output, PatchNetwork
from models.patch.side_by_side import SideBySide

#: Items of a part: at most, or where there are groups at least, but for the last part. Independent of the number of threads,
#: so that this changes no result.
PART_ITEMS = 64


class Gradients:
    """Computes them with as many threads as torch has now."""

    def __init__(self, network: PatchNetwork, plan: LossPlan):
        self._network = network
        self._plan = plan
        self._weights = list(network.parameters())
        self._beside = SideBySide()

    def set(self, window: Window) -> float:
        """Sets `grad` of every weight and returns the loss."""
        for weight in self._weights:
            weight.grad = None
        chosen = list(parts_of(window.batch))
        if len(chosen) == 1:
            loss = self._loss(self._network(window.batch), window)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.item()
        outputs = list(self._beside.in_order(lambda rows: self._network(window.batch.rows(rows)), chosen))
        whole = Output(*(torch.cat([getattr(part, one.name).detach() for part in outputs]) for one in fields(Output)))
        heads = [head.requires_grad_() for head in heads_of(whole)]
        loss = self._loss(whole, window.rows(torch.cat(chosen)))
        sizes = [len(rows) for rows in chosen]
        told = zip(*(torch.split(slope, sizes) for slope in torch.autograd.grad(loss, heads)), strict=True)

        def back(part: tuple[Output, tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor | None, ...]:
            output, slopes = part
            return torch.autograd.grad(heads_of(output), self._weights, slopes, allow_unused=True)

        for part in self._beside.in_order(back, zip(outputs, told, strict=True)):
            for weight, slope in zip(self._weights, part, strict=True):
                if slope is not None:
                    weight.grad = slope if weight.grad is None else weight.grad + slope
        return loss.item()

    def _loss(self, output: Output, window: Window) -> torch.Tensor:
        return loss_of(output, window, self._network.config, self._plan)


def heads_of(output: Output) -> list[torch.Tensor]:
    """What depends on the weights."""
    return [output.quantiles, output.mean, output.zero, output.totals]


def parts_of(batch: Batch) -> Iterator[torch.Tensor]:
    """Items of each part, int64; a group is in one part."""
    items = len(batch.target)
    if batch.group is None:
        yield from torch.split(torch.arange(items), PART_ITEMS)
        return
    group, order = torch.sort(batch.group, stable=True)
    begin = 0
    for end in [*(group.diff().nonzero().squeeze(1) + 1).tolist(), items]:
        if end - begin >= PART_ITEMS or end == items:
            yield order[begin:end]
            begin = end
