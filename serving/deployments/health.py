"""Whether a model that was fit when it was loaded still is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models import Forecaster, Panel, PanelForecaster
from models.protocol import PassShape
from serving.deployments.probes import PROBE_DAYS, answers, uniform

HORIZON = 7
SERIES = 2


class BrokenModelError(RuntimeError):
    """A model fails a question that it answered when it was loaded; the message says how."""


class HealthProbe:
    """A small question that a model has answered once, asked again.

    It finds weights that are no numbers any more, and a GPU that has failed:
    after most errors of CUDA nothing works in that process until it ends.
    """

    def __init__(self, model: Forecaster | PanelForecaster):
        self._model = model
        days = min(PROBE_DAYS, getattr(model, "context_days", None) or PROBE_DAYS)
        self._context = uniform(PassShape(SERIES, days, grouped=False))
        self._horizon = min(HORIZON, getattr(model, "horizon_days", None) or HORIZON)
        # Where a model has nothing to go on it says so, and may go on to.
        self._known = np.isfinite(self._ask())

    def __call__(self) -> None:
        """Asks again, one pass of the model.

        Raises:
            BrokenModelError: it fails, or no longer answers with numbers.
        """
        name = f"{self._model.name}@{self._model.version}"
        try:
            found = self._ask()
        except Exception as error:
            raise BrokenModelError(f"model {name} is broken: {type(error).__name__}: {error}") from error
        lost = int((self._known & ~np.isfinite(found)).sum())
        if lost:
            raise BrokenModelError(
                f"model {name} is broken: {lost} of {found.size} values are no numbers that were when it was loaded"
            )

    def _ask(self) -> np.ndarray:
        return answers(self._model, self._context, self._horizon, known=False)


def gaps(panel: Panel, days: np.ndarray) -> bool:
    """Whether an item with a known day has values that are no numbers; days is (items, ...)."""
    if np.isfinite(days).all():
        return False
    known = np.isfinite(panel.target).any(axis=1)
    return not np.isfinite(days[known]).all()


def has_nulls(table: pa.Table) -> bool:
    """Whether a forecast table has values that are no numbers."""
    return any(column.null_count or not np.isfinite(column.to_numpy()).all() for column in table.columns[2:])
