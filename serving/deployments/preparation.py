"""Makes a loaded model ready to be asked, and refuses one that is not fit.

A model may have `prepare(precision, compiled, device)`, which changes how it
computes: bfloat16, compiled, on a GPU. What it forecasts afterwards is held
against what it forecast before, eagerly and in float32, on a probe that has a
series for each sixteenth of its context, so that every length bucket has run.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models import Forecaster, InputError, PanelForecaster
from models.protocol import DEFAULT_QUANTILES

#: Largest difference of one series' forecasts, summed, as a share of their sum.
PARITY_TOLERANCE = {"float32": 0.001, "bfloat16": 0.05}
PROBE_LENGTHS = 16
PROBE_DAYS = 56
PROBE_HORIZON = 28
PROBE_SEED = 7
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


class UnfitModelError(InputError):
    """A model is not fit to be put into service; the message says why."""


@dataclass(frozen=True)
class Settings:
    """How models shall compute; see `WorkerConfig`."""

    precision: str = "float32"
    compiled: bool = False
    device: str = "auto"
    parity_tolerance: float = 0.0


@dataclass(frozen=True)
class Prepared:
    """How a model computes now."""

    precision: str
    compiled: bool
    device: str
    #: From eager float32, see `PARITY_TOLERANCE`.
    difference: float
    seconds: float

    def __str__(self) -> str:
        compiled = ", compiled" if self.compiled else ""
        return f"{self.precision} on {self.device}{compiled}, {self.difference:.2g} from eager float32, {self.seconds:.1f} s"


def prepare(model: Forecaster | PanelForecaster, settings: Settings) -> Prepared:
    """Prepares a model, runs it over every bucket, and checks what it says.

    Raises:
        UnfitModelError: its forecasts are not those of eager float32 within the
            tolerance, or are none.
        InputError: it cannot compute as asked, or not at all.
    """
    begun = time.monotonic()
    horizon = min(PROBE_HORIZON, getattr(getattr(model, "config", model), "horizon_days", None) or PROBE_HORIZON)
    context = probe(getattr(model, "context_days", None) or PROBE_DAYS)
    eager = answers(model, context, horizon)
    hook = getattr(model, "prepare", None)
    if not callable(hook):
        return Prepared("float32", compiled=False, device="cpu", difference=0.0, seconds=time.monotonic() - begun)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    report = hook(precision=precision, compiled=settings.compiled, device=device)
    after = answers(model, context, horizon)
    # Single series take the smallest batch bucket.
    answers(model, context.filter(pa.compute.equal(context["item_id"], "probe-00")), horizon)
    off = difference(eager, after)
    allowed = settings.parity_tolerance or PARITY_TOLERANCE[precision]
    if not off <= allowed:
        raise UnfitModelError(
            f"model {model.name}@{model.version} in {precision} on {device} differs by {off:.3g} from eager float32, at most {allowed:g} is allowed: run it with precision float32, or raise parity_tolerance if you have measured what it costs"
        )
    return Prepared(
        said(report, "precision", precision),
        said(report, "compiled", settings.compiled),
        said(report, "device", device),
        off,
        time.monotonic() - begun,
    )


def said(report: Any, name: str, asked: Any) -> Any:
    """What a model's own report says it did, else what it was asked to do."""
    return getattr(report, name, asked)


def probe(context_days: int) -> pa.Table:
    """A context of weekly demand, one series for each sixteenth of the context."""
    rng = np.random.default_rng(PROBE_SEED)
    items, days, sold = [], [], []
    for index in range(PROBE_LENGTHS):
        length = max(1, (index + 1) * context_days // PROBE_LENGTHS)
        day = np.arange(20_000 - length, 20_000)
        items.append(np.full(length, f"probe-{index:02d}"))
        days.append(day)
        sold.append(rng.poisson((2.0 + 3.0 * index) * (1.0 + 0.5 * np.sin(2.0 * np.pi * day / 7.0))))
    return pa.table(
        {
            "item_id": np.concatenate(items),
            "timestamp": np.concatenate(days).astype("datetime64[D]"),
            "target": np.concatenate(sold).astype(np.float64),
        }
    )


def answers(model: Forecaster | PanelForecaster, context: pa.Table, horizon: int) -> np.ndarray:
    """Forecasts of the probe, float64 (items, horizon x columns).

    Raises:
        UnfitModelError: the table is not a forecast table of these items.
    """
    table = model.predict(context, None, horizon, DEFAULT_QUANTILES)
    items = sorted(context["item_id"].unique().to_pylist())
    if table.num_rows != len(items) * horizon or table["item_id"].to_pylist()[::horizon] != items:
        raise UnfitModelError(
            f"model {model.name}@{model.version} answers {len(items)} items over {horizon} days with {table.num_rows} rows: see the tables in models/protocol.py"
        )
    values = np.stack([column.to_numpy().astype(np.float64) for column in table.columns[2:]], axis=1)
    if np.isinf(values).any() or (values < 0.0).any():
        raise UnfitModelError(f"model {model.name}@{model.version} forecasts negative or infinite demand on the probe")
    known: np.ndarray = np.nan_to_num(values.reshape(len(items), -1))
    return known


def difference(eager: np.ndarray, after: np.ndarray) -> float:
    """Largest difference of a series' forecasts as a share of their sum."""
    apart = np.abs(eager - after).sum(axis=1)
    total = np.abs(eager).sum(axis=1)
    return float((apart / np.maximum(total, 1e-6)).max())


def choose_device(asked: str) -> str:
    """The device that auto stands for."""
    if asked != "auto":
        return asked
    # A model that can use a GPU through torch has imported it when it was loaded.
    torch = sys.modules.get("torch")
    return "cuda" if torch is not None and torch.cuda.is_available() else "cpu"


def choose_precision(asked: str, device: str) -> str:
    """The precision that auto stands for."""
    if asked != "auto":
        return asked
    if device == "cuda":
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "bfloat16" if BFLOAT16_FLAGS & processor_flags() else "float32"


def processor_flags() -> set[str]:
    """What the processor has, as Linux names it; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def gpu_bytes() -> int:
    """Memory of the GPU that this process holds; 0 without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return int(torch.cuda.memory_reserved())
