"""How a batch goes through the network: as it is, padded to shapes that are known ahead, or recorded.

A pass is some hundred small kernels. On a GPU, starting them takes longer than
they do; recorded once as a CUDA graph, all of them are one start. A graph reads
and writes the memory that it was recorded with, so each shape has inputs of its
own that a batch is copied into. It is recorded here and not by `torch.compile`
with mode "reduce-overhead", which keeps its graphs by thread: a worker prepares
a model in one thread and asks it in another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import NamedTuple, Protocol

import torch

from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import Batch, blank_batch
from models.patch.network import Output
from models.protocol import InputError, PassShape

Network = Callable[[Batch], Output]
#: Passes before one is recorded: libraries choose their kernels in the first ones.
WARM_UP_PASSES = 3


class Passes(Protocol):
    """Answers a batch of any number of items, on the CPU, with as many."""

    def __call__(self, batch: Batch) -> Output:
        """Runs in inference mode."""
        ...


class Plain:
    """Each batch as it is."""

    def __init__(self, network: Network, device: str):
        self.network = network
        self.device = device

    def __call__(self, batch: Batch) -> Output:
        """See `Passes`."""
        return self.network(batch.to(self.device)).first(len(batch.target))


class Padded(Plain):
    """Each batch filled up to one of some sizes, so that a network sees only these."""

    def __init__(self, network: Network, device: str, sizes: Sequence[int]):
        super().__init__(network, device)
        self.sizes = sorted(sizes)

    def __call__(self, batch: Batch) -> Output:
        """See `Passes`."""
        items = len(batch.target)
        return self.network(batch.padded(padded_size(items, self.sizes)).to(self.device)).first(items)


class Recorder(Protocol):
    """Makes a computation on fixed memory one that can be run again."""

    def __call__(self, compute: Callable[[], Output]) -> tuple[Callable[[], object], Output]:
        """Returns what computes again, and where its output then lies."""
        ...


def repeating(compute: Callable[[], Output]) -> tuple[Callable[[], object], Output]:
    """For the CPU, where there is nothing to record: computes, and puts the output where the first one lies."""
    kept = compute()

    def again() -> None:
        made = compute()
        for one in fields(kept):
            getattr(kept, one.name).copy_(getattr(made, one.name))

    return again, kept


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory: only one of them runs at a time."""

    def __init__(self, device: str):
        self._device = torch.device(device)
        with torch.cuda.device(self._device):
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, compute: Callable[[], Output]) -> tuple[Callable[[], object], Output]:
        """See `Recorder`; raises RuntimeError where the computation cannot be recorded."""
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_PASSES):
                    compute()
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            # By thread: another model of this process may be asked meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                kept = compute()
            return graph.replay, kept


class Recorded:
    """Passes recorded for every shape before the first is asked.

    Raises:
        InputError: a pass cannot be recorded.
    """

    def __init__(
        self,
        network: Network,
        config: PatchConfig,
        device: str,
        shapes: Sequence[PassShape],
        recorder: Recorder | None = None,
    ):
        self._sizes = sorted({shape.series for shape in shapes})
        # Inputs and outputs of a shape are one memory: callers take turns.
        self._alone = threading.Lock()
        if recorder is None:
            recorder = CudaRecorder(device) if torch.device(device).type == "cuda" else repeating
        self._slots: dict[PassShape, _Slot] = {}
        try:
            with torch.inference_mode():
                # The largest first: what follows finds its memory in the pool.
                for shape in sorted(shapes, reverse=True):
                    inputs = blank_batch(config, shape.series, shape.days // PATCH_DAYS, grouped=shape.grouped).to(
                        device
                    )
                    replay, output = recorder(lambda inputs=inputs: network(inputs))  # type: ignore[misc]
                    self._slots[shape] = _Slot(inputs, replay, output)
        except RuntimeError as error:
            raise InputError(
                f"a pass of {shape.series} series over {shape.days} days cannot be recorded: {error}"
            ) from error

    def __call__(self, batch: Batch) -> Output:
        """See `Passes`."""
        items, days = batch.target.shape
        shape = PassShape(padded_size(items, self._sizes), days, batch.group is not None)
        slot = self._slots.get(shape)
        if slot is None:
            raise InputError(
                f"no pass of {shape.series} series over {shape.days} days was recorded: prepare the model again"
            )
        filled = batch.padded(shape.series)
        with self._alone:
            for one in fields(Batch):
                value = getattr(filled, one.name)
                if value is not None:
                    getattr(slot.inputs, one.name).copy_(value)
            slot.replay()
            # Copied to the host, and so complete, before the memory is written again.
            return slot.output.first(items, copied=True)


class _Slot(NamedTuple):
    inputs: Batch
    replay: Callable[[], object]
    output: Output


def padded_size(items: int, sizes: Sequence[int]) -> int:
    """The smallest of the ascending sizes that holds the items; their own number where none does."""
    return next((size for size in sizes if size >= items), items)


def all_shapes(sizes: Sequence[int], patches: Sequence[int]) -> tuple[PassShape, ...]:
    """Every size with every length, of items alone and in groups."""
    return tuple(
        PassShape(size, length * PATCH_DAYS, grouped)
        for size in sizes
        for length in patches
        for grouped in (False, True)
    )
