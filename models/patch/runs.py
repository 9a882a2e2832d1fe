"""What a training run starts from: a network, a shape and a source of windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from models.panel import RESERVED, Panel
from models.patch.config import SIZES, PatchConfig
from models.patch.forecaster import PatchForecaster
from models.patch.network import PatchNetwork
from models.patch.windows import MixedWindows, PanelWindows, SimulatedWindows, WindowSource
from models.protocol import InputError

#: Categories of a column beyond these are taken as unknown.
CATEGORIES_MAX = 4096
#: Share of windows of a history that are asked for sales, not for demand.
AS_SALES = 0.4
#: Spread of the growth over 28 days that a window is given at random, as a logarithm: a short
#: history holds one trend, which would be learnt as the way of the world.
TILT = 0.1


def configure(
    start: str | None, size: str, covariates: Sequence[str], static: Sequence[str], table: pa.Table | None
) -> tuple[PatchNetwork | None, PatchConfig]:
    """The network to start from, if any, and the shape of the new one.

    Raises:
        InputError: the checkpoint, the size or a column is not there.
    """
    from models.catalogue import open_model

    network = None
    if start is not None:
        opened = (
            PatchForecaster.load(Path(start), Path(start).name, "start") if Path(start).is_dir() else open_model(start)
        )
        if not isinstance(opened, PatchForecaster):
            raise InputError(f"model {start!r} is no patch transformer: start from one, such as patch-nano")
        network = opened.network
    elif size not in SIZES:
        raise InputError(f"size is {size!r}: choose one of {sorted(SIZES)}")
    config = SIZES[size] if network is None else network.config
    for name in (*covariates, *static):
        if table is None or name not in table.column_names:
            raise InputError(f"the data has no column {name!r}: add it, or leave the option out")
        if name in RESERVED:
            raise InputError(f"column {name!r} has a meaning of its own: it is no covariate and no category")
    added = tuple(name for name in covariates if name not in config.covariates)
    vocabulary = dict(config.static)
    for name in static:
        assert table is not None
        counts = pc.value_counts(table[name].cast(pa.string()).combine_chunks()).sort("counts", order="descending")
        values = [value.as_py() for value in counts.field("values")[:CATEGORIES_MAX]]
        vocabulary[name] = tuple(sorted(value for value in values if value is not None))
    return network, dataclasses.replace(config, covariates=(*config.covariates, *added), static=vocabulary)


def source_of(
    history: Panel | None, config: PatchConfig, seed: int, batch_items: int, simulated: float
) -> WindowSource:
    """Windows of the history, with a share of simulated ones; of simulated ones alone without a history."""
    made = SimulatedWindows(config, seed, batch_items)
    if history is None:
        return made
    # Without stock-outs what is sold is what was wanted.
    as_sales = AS_SALES if (history.stockout > 0.0).any() else 0.0
    real = PanelWindows(history, config, seed, batch_items, as_sales=as_sales, tilt=TILT)
    return MixedWindows(real, made, simulated, seed) if simulated else real
