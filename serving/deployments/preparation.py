"""Makes a loaded model ready to be asked, and refuses one that is not fit.

A model may have `prepare(precision, compiled, device)`, which changes how it
computes: bfloat16, compiled, on a GPU; and `record()`, which then records its
passes as CUDA graphs. What it forecasts after each is held against what it
forecast before, eagerly and in float32, on a probe that has a series for each
sixteenth of its context and a short one. Compiled and recorded passes are also
held against it in every shape that the model's `pass_shapes` names, so that
all of them have run before the model is ready. Where they fail or differ too
much, the model goes without them, and says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from models import Forecaster, PanelForecaster
from models.protocol import PassShape
from serving.deployments.memory import keep_freed_memory
from serving.deployments.probes import Probes, UnfitModelError

#: Largest difference of one series' forecasts, summed, as a share of their sum.
PARITY_TOLERANCE = {"float32": 0.001, "bfloat16": 0.05}
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Settings:
    """How models shall compute; see `WorkerConfig`."""

    precision: str = "float32"
    compiled: bool = False
    device: str = "auto"
    parity_tolerance: float = 0.0
    graphs: str = "auto"


@dataclass(frozen=True)
class Prepared:
    """How a model computes now."""

    precision: str
    compiled: bool
    device: str
    #: From eager float32, see `PARITY_TOLERANCE`.
    difference: float
    seconds: float
    recorded: bool = False
    #: What was asked for and is not used, and why; empty where nothing was.
    declined: str = ""

    def __str__(self) -> str:
        compiled = (", compiled" if self.compiled else "") + (", recorded" if self.recorded else "")
        return f"{self.precision} on {self.device}{compiled}, {self.difference:.2g} from eager float32, {self.seconds:.1f} s"


def prepare(model: Forecaster | PanelForecaster, settings: Settings) -> Prepared:
    """Prepares a model, runs it over every bucket, and checks what it says.

    Raises:
        UnfitModelError: its forecasts are not those of eager float32 within the
            tolerance, or are none.
        InputError: it cannot compute as asked, or not at all.
    """
    begun = time.monotonic()
    keep_freed_memory()
    hook = getattr(model, "prepare", None)
    if not callable(hook):
        Probes(model, ())
        return Prepared("float32", compiled=False, device="cpu", difference=0.0, seconds=time.monotonic() - begun)
    device = choose_device(settings.device)
    record = getattr(model, "record", None) if settings.graphs == "always" or device == "cuda" else None
    if settings.graphs == "never" or not callable(record):
        record = None
    shapes = getattr(model, "pass_shapes", ()) if settings.compiled or record else ()
    trial = Trial(model, hook, choose_precision(settings.precision, device), device, settings.parity_tolerance, shapes)
    found = (trial.faster("compiled", trial.compiled) if settings.compiled else None) or trial.plain()
    if record is not None:
        found = trial.faster("recorded", lambda: (record(), found.compiled)) or trial.again(found)
    report = found.report
    return Prepared(
        said(report, "precision", trial.precision),
        said(report, "compiled", found.compiled),
        said(report, "device", device),
        found.difference,
        time.monotonic() - begun,
        said(report, "recorded", False),
        "; ".join(trial.declined),
    )


class Found(NamedTuple):
    """How a model computes, by its own report, and how far from eager float32."""

    report: Any
    compiled: bool
    difference: float


class Trial:
    """Ways of a model to compute, tried one after the other."""

    def __init__(
        self,
        model: Forecaster | PanelForecaster,
        hook: Callable[..., Any],
        precision: str,
        device: str,
        tolerance: float,
        shapes: Sequence[PassShape],
    ):
        self.precision = precision
        self.declined: list[str] = []
        self._model, self._hook, self._device = model, hook, device
        self._allowed = tolerance or PARITY_TOLERANCE[precision]
        self._probes = Probes(model, shapes)

    def plain(self) -> Found:
        """Without anything that could be declined; raises what `prepare` raises."""
        report = self._hook(precision=self.precision, compiled=False, device=self._device)
        return Found(report, False, self._fit(shapes=False))

    def compiled(self) -> tuple[Any, bool]:
        """The model's report, and that it is compiled."""
        return self._hook(precision=self.precision, compiled=True, device=self._device), True

    def faster(self, what: str, begin: Callable[[], tuple[Any, bool]]) -> Found | None:
        """What `begin` made of the model; None, and a reason more in `declined`, where it fails or differs."""
        try:
            report, compiled = begin()
            off = self._probes.difference(shapes=True)
        except Exception as error:  # noqa: BLE001 - whatever a compiler or a driver raises
            self.declined.append(f"{what}: {type(error).__name__}: {error}")
            return None
        if not off <= self._allowed:
            self.declined.append(f"{what}: {off:.3g} from eager float32, at most {self._allowed:g} is allowed")
            return None
        return Found(report, compiled, off)

    def again(self, found: Found) -> Found:
        """As it was before something was declined."""
        if not found.compiled:
            return self.plain()
        report, compiled = self.compiled()
        return Found(report, compiled, self._fit(shapes=True))

    def _fit(self, *, shapes: bool) -> float:
        off = self._probes.difference(shapes=shapes)
        if not off <= self._allowed:
            raise UnfitModelError(
                f"model {self._model.name}@{self._model.version} in {self.precision} on {self._device} differs by {off:.3g} from eager float32, at most {self._allowed:g} is allowed: run it with precision float32, or raise parity_tolerance if you have measured what it costs"
            )
        return off


def said(report: Any, name: str, asked: Any) -> Any:
    """What a model's own report says it did, else what it was asked to do."""
    return getattr(report, name, asked)


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
