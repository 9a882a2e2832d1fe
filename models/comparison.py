"""Several models on the same origins, as plain numbers for JSON and the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.evaluation import Model, Origin, evaluate
from models.evaluation_totals import TOTAL_DAYS, TOTAL_LEVELS
from models.scores import RATIOS, Scores, plain, ratio


def compare(
    models: Sequence[Model],
    cuts: Sequence[Origin],
    *,
    in_stock_only: bool = False,
    seed: int = 0,
    told: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Scores models on the same origins; the first is the baseline of the ratios.

    Args:
        told: called with each model's name before it is scored.

    Returns:
        a description of the run and, under "models", what `Scores.summary` and
        `Scores.totals` give for each, with "ratio_to_baseline": by score the
        ratio and the ends of its 95 % interval; and "wql_over": by each other
        model's name the same of the weighted quantile loss.
    """
    scored: list[Scores] = []
    for model in models:
        if told is not None:
            told(model.name)
        scored.append(evaluate(model, cuts, in_stock_only=in_stock_only, totals=True))
    horizon = cuts[0].truth.shape[1]
    days = [span for span in TOTAL_DAYS if span <= horizon]
    return {
        "horizon_days": horizon,
        "origins": [str(np.datetime64(cut.day, "D")) for cut in cuts],
        "in_stock_only": in_stock_only,
        "baseline": models[0].name,
        "interval": "95 % bootstrap over items",
        "models": [
            {
                **one.summary(seed),
                "ratio_to_baseline": {
                    name: [plain(end) for end in ratio(one, scored[0], name, seed)] for name in RATIOS
                },
                "wql_over": {
                    other.model: [plain(end) for end in ratio(one, other, "wql", seed)]
                    for other in scored
                    if other is not one
                },
                "totals_by": one.totals_by,
                "totals": one.totals(days, TOTAL_LEVELS, seed),
            }
            for one in scored
        ],
    }
