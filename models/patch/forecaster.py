"""The trained network behind the `Forecaster` protocol."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from models.calibration import Calibration
from models.panel import Panel, panel_from_tables
from models.patch.checkpoint import CALIBRATION_FILE
from models.patch.config import PATCH_DAYS, PatchConfig
from models.patch.features import batch_from_panel
from models.patch.inference import FusedNetwork
from models.patch.network import Output, PatchNetwork
from models.patch.passes import Network, Padded, Passes, Plain, Recorded, all_shapes
from models.patch.side_by_side import SideBySide
from models.protocol import InputError, PassShape, TotalsForecaster, check_quantiles, totals_table
from models.quantiles import at_levels

#: Context lengths, in patches, that a pass is padded to.
BUCKETS = (2, 4, 6, 9, 13, 19, 26)
ITEMS_PER_PASS = 128
#: Of items that are each alone on a CPU: what a step writes is then still in its cache at the next.
CPU_ITEMS_PER_PASS = 64
#: The same where each core has a pass of its own; fewer where cores would be left without, but as many as are worth a pass.
CORE_ITEMS_PER_PASS = 32
CORE_ITEMS_LEAST = 8
#: Of `torch.compile`, beside one for each length, alone and in groups.
RECOMPILES_SPARE = 8
#: Numbers of items that a compiled or recorded pass is padded to.
PADDED_ITEMS = (16, 64, ITEMS_PER_PASS)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TOTAL_QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99)


@dataclass(frozen=True)
class PreparedReport:
    """How a network computes."""

    precision: str
    compiled: bool
    device: str
    recorded: bool = False


class PatchForecaster(TotalsForecaster):
    """Quantiles from a patch transformer; see the model card for what was measured."""

    def __init__(
        self,
        network: PatchNetwork,
        name: str,
        version: str,
        *,
        as_sales: bool = False,
        calibration: Calibration | None = None,
    ):
        self.network = network.eval()
        self._run: Passes = Plain(self.network, "cpu")
        self._side_by_side: SideBySide | None = None
        #: What passes are recorded of: nothing in it depends on the values of a batch.
        self._prepared_network: Network = self.network
        self.prepared = PreparedReport("float32", compiled=False, device="cpu")
        self.config = network.config
        self.name = name
        self.version = version
        self.as_sales = as_sales
        self.calibration = calibration
        self.context_days = self.config.context_days
        self.horizon_days = self.config.horizon_days
        self.total_days = tuple(self.config.total_days)
        self.covariates = self.config.covariates
        self.static_columns = tuple(self.config.static)
        self.buckets = (*(b for b in BUCKETS if b < self.config.context_patches), self.config.context_patches)

    @property
    def pass_shapes(self) -> tuple[PassShape, ...]:
        """Shapes of compiled and recorded passes."""
        return all_shapes(PADDED_ITEMS, self.buckets)

    def prepare(self, precision: str = "float32", *, compiled: bool = False, device: str = "cpu") -> PreparedReport:
        """Changes how the network computes; `network` keeps its float32 weights on the CPU.

        Args:
            precision: "float32" or "bfloat16", of weights and activations; scales and answers stay float32.
            compiled: through `torch.compile`, once for each length of context, for items alone and in groups, when
                first asked; minutes each on a small machine.
            device: as torch names it.

        Raises:
            InputError: there is no such precision or device.
        """
        if precision not in PRECISIONS:
            raise InputError(f"precision is {precision!r}: choose one of {list(PRECISIONS)}")
        try:
            network = self.network.computing(device, PRECISIONS[precision])
        except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
            raise InputError(f"device {device!r} cannot be used: {error}") from error
        self._prepared_network = network
        self._side_by_side = None
        if compiled:
            # The number of items is free, lengths are not: beyond its limit torch would go on without compiling.
            limits = torch._dynamo.config
            limits.recompile_limit = max(limits.recompile_limit, 2 * len(self.buckets) + RECOMPILES_SPARE)
            self._prepared_network = torch.compile(network, dynamic=True)
            self._run = Padded(self._prepared_network, device, PADDED_ITEMS)
        elif network.level_widths.device.type == "cpu":
            self._run = Plain(FusedNetwork(self.network, PRECISIONS[precision]), device)
            self._side_by_side = SideBySide()
        else:
            self._run = Plain(network, device)
        self.prepared = PreparedReport(precision, compiled, device)
        return self.prepared

    def record(self) -> PreparedReport:
        """Records a pass of every shape as it is prepared, and replays these from then on; see `models.patch.passes`.

        Raises:
            InputError: one cannot be recorded; passes are then as they were.
        """
        if self.prepared.recorded:
            raise InputError(f"model {self.name} replays recorded passes already: prepare it first")
        self._run = Recorded(self._prepared_network, self.config, self.prepared.device, self.pass_shapes)
        self._side_by_side = None  # recorded passes take turns
        self.prepared = replace(self.prepared, recorded=True)
        return self.prepared

    @staticmethod
    def load(directory: Path, name: str, version: str, *, as_sales: bool = False) -> PatchForecaster:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: the directory holds no such model, or its weights do not
                fit its config.
        """
        try:
            network = PatchNetwork(PatchConfig.load(directory / "config.json"))
            stored = load_file(directory / "model.safetensors")
            network.load_state_dict({key: value.float() for key, value in stored.items()})
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{directory} holds no patch model that can be read: {error}") from error
        path = directory / CALIBRATION_FILE
        # Corrections are fitted to demand.
        calibration = Calibration.load(path) if path.exists() and not as_sales else None
        return PatchForecaster(network, name, version, as_sales=as_sales, calibration=calibration)

    def predict_panel(self, panel: Panel, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        """See `PanelForecaster.predict_panel`.

        Raises:
            InputError: the horizon is longer than the model was trained for.
        """
        self._check_horizon(horizon)
        out = np.full((panel.items, horizon, 1 + len(quantiles)), np.nan)
        for rows, output in self.passes(panel):
            out[rows] = self._days(output, horizon, quantiles)
        return out

    def predict_panel_with_totals(
        self, panel: Panel, horizon: int, quantiles: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `TotalsForecaster.predict_panel_with_totals`.

        Raises:
            InputError: the horizon is longer than the model was trained for.
        """
        self._check_horizon(horizon)
        days = np.full((panel.items, horizon, 1 + len(quantiles)), np.nan)
        totals = np.full((panel.items, len(self.total_days), 1 + len(quantiles)), np.nan)
        for rows, output in self.passes(panel):
            days[rows] = self._days(output, horizon, quantiles)
            totals[rows] = self._totals(output, quantiles)
        return days, totals

    def _check_horizon(self, horizon: int) -> None:
        if horizon > self.horizon_days:
            raise InputError(f"horizon is {horizon}: model {self.name} forecasts at most {self.horizon_days} days")

    def _days(self, output: Output, horizon: int, quantiles: Sequence[float]) -> np.ndarray:
        units = units_of(output, self.config)[:, :horizon]
        if self.calibration is not None:
            units = self.calibration.of_days(units)
        mean = (output.mean[:, :horizon] * output.scale).numpy()
        return np.concatenate([mean[..., None], at_levels(units, self.config.levels, quantiles)], axis=2)

    def _totals(self, output: Output, quantiles: Sequence[float]) -> np.ndarray:
        units = totals_of(output)
        if self.calibration is not None:
            units = self.calibration.of_totals(units)
        asked = at_levels(units, self.config.total_levels, quantiles)
        mean = (output.mean * output.scale).numpy().cumsum(axis=1)[:, np.asarray(self.total_days) - 1]
        return np.concatenate([mean[..., None], np.maximum.accumulate(asked, axis=1)], axis=2)

    def predict_totals(
        self, context: pa.Table, future: pa.Table | None, quantiles: Sequence[float] = TOTAL_QUANTILES
    ) -> pa.Table:
        """Demand added up from the first day ahead on: quantiles of single days must not be added up.

        Returns:
            item_id (string), horizon_days (int32: 1, 2, 3, 7, 14, 28), mean (float64),
            one float64 column a level; units, never negative, never crossing, never
            less over more days; null for items without a known day.

        Raises:
            InputError: see `Forecaster.predict`.
        """
        asked = check_quantiles(quantiles)
        panel = panel_from_tables(
            context, future, self.horizon_days, self.context_days, self.covariates, self.static_columns
        )
        out = np.full((panel.items, len(self.total_days), 1 + len(asked)), np.nan)
        for rows, output in self.passes(panel):
            out[rows] = self._totals(output, asked)
        return totals_table(panel, out, self.total_days, asked)

    def passes(self, panel: Panel) -> Iterator[tuple[np.ndarray, Output]]:
        """Runs the network over all items with a known day, in parts of like context length."""
        known = np.isfinite(panel.target)
        some = known.any(axis=1)
        first = np.where(some, known.argmax(axis=1), panel.days)
        patches = -(-(panel.days - first) // PATCH_DAYS)
        if panel.group is not None:  # a group goes through together, at its longest
            _, code = np.unique(panel.group, return_inverse=True)
            longest = np.zeros(code.max(initial=0) + 1, patches.dtype)
            np.maximum.at(longest, code, patches)
            patches = longest[code]
        bucket = np.searchsorted(self.buckets, patches)

        def work(part: tuple[np.ndarray, int]) -> tuple[np.ndarray, Output]:
            rows, length = part
            batch = batch_from_panel(panel.rows(rows), self.config, length, as_sales=self.as_sales)
            with torch.inference_mode():
                return rows, self._run(batch)

        jobs = self._parts(panel, np.where(some, bucket, len(self.buckets)))
        if self._side_by_side is None or panel.group is not None:
            yield from map(work, jobs)
        else:
            yield from self._side_by_side.in_order(work, jobs)

    def _parts(self, panel: Panel, bucket: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Items of one pass, and the length of their context in patches; `bucket` is one of `buckets` by item."""
        for index, length in enumerate(self.buckets):
            members = np.flatnonzero(bucket == index)
            if panel.group is not None:
                members = members[np.argsort(panel.group[members], kind="stable")]
            for rows in parts(members, panel.group, self._items_per_pass(panel, len(members))):
                yield rows, length

    def _items_per_pass(self, panel: Panel, items: int) -> int:
        if panel.group is not None or self.prepared.device != "cpu":
            return ITEMS_PER_PASS
        if self._side_by_side is None:
            return CPU_ITEMS_PER_PASS
        each = -(-items // self._side_by_side.threads)
        return min(max(each, CORE_ITEMS_LEAST), CORE_ITEMS_PER_PASS)


def units_of(output: Output, config: PatchConfig) -> np.ndarray:
    """Daily quantiles in units at the network's levels, float32 (items, horizon days, levels)."""
    units = torch.sinh(output.quantiles).clamp(min=0.0) * output.scale[:, :, None]
    # What the network is surer of than the level to be nothing is nothing.
    zero = torch.tensor(config.levels) <= torch.sigmoid(output.zero[..., None])
    return np.asarray(torch.where(zero, torch.zeros_like(units), units).numpy())


def totals_of(output: Output) -> np.ndarray:
    """Totals in units at the network's levels, float32 (items, total days, total levels)."""
    return np.asarray((torch.sinh(output.totals).clamp(min=0.0) * output.scale[:, :, None]).numpy())


def parts(members: np.ndarray, group: np.ndarray | None, size: int) -> Iterator[np.ndarray]:
    """Cuts the members, a group's side by side, into parts of at most `size`; a group is cut only where it is larger.

    The work of a pass grows with the square of its items where there are groups, so no part may be as
    large as a caller's group.
    """
    if group is None:
        starts = np.arange(0, len(members), size)
    else:
        own = group[members]
        change = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        place = np.arange(len(members)) - np.repeat(change, np.diff(np.r_[change, len(members)]))
        starts = np.flatnonzero(place % size == 0)
    begin = 0
    for start, end in itertools.pairwise([*starts.tolist(), len(members)]):
        if end - begin > size:
            yield members[begin:start]
            begin = start
    if begin < len(members):
        yield members[begin:]
