"""Totals over the next days: whose they are, and whether the shares are those counted by hand."""

import numpy as np
import pyarrow as pa
import pytest

from models import Climatology, InputError
from models.comparison import compare
from models.evaluation import evaluate, origins
from models.evaluation_totals import OWN, SUMMED, TOTAL_LEVELS
from tests.models.tables import table


class Totals(Climatology):
    """Says that every total is `factor` units a day, rows in no order."""

    def __init__(self, factor, drop=None):
        self.factor, self.drop = factor, drop

    def predict_totals(self, context, _future, quantiles):
        ids = pa.compute.unique(context["item_id"]).to_pylist()
        rows = [(item, days) for days in (7, 1, 3, 2) for item in reversed(ids)]
        made = {"item_id": [row[0] for row in rows], "horizon_days": pa.array([row[1] for row in rows], pa.int32())}
        for level in quantiles:
            made[f"{level:g}"] = [self.factor * row[1] for row in rows]
        made.pop(self.drop, None)
        return pa.table(made)


def of(found, days, level):
    (entry,) = [one for one in found if (one["days"], one["level"]) == (days, level)]
    return entry["within"], entry["stock_ratio"]


def test_shares_by_hand():
    data = table({"a": [2.0] * 40, "b": [4.0] * 40})
    scores = evaluate(Totals(3.0), origins(data, 7, 1, 1), totals=True)
    assert scores.totals_by == OWN
    # 3 a day covers a, not b; 6 units stand against 2 + 4 of demand.
    assert of(scores.totals((1, 2, 3, 7), TOTAL_LEVELS), 7, 0.9) == (0.5, 1.0)


def test_without_totals_daily_quantiles_are_summed(weekly):
    cuts = origins(weekly, 14, 2, 7)
    found = compare([Climatology(), Totals(1e6)], cuts)
    assert [row["totals_by"] for row in found["models"]] == [SUMMED, OWN]
    shares = [one["within"] for one in found["models"][0]["totals"] if one["days"] == 14]
    assert shares == sorted(shares)
    assert of(found["models"][1]["totals"], 3, 0.5)[0] == 1.0
    assert found["models"][0]["ratio_to_baseline"]["wql"] == [1, 1, 1]


def test_a_window_with_a_stock_out_is_left_out():
    out = np.zeros(40)
    out[-1] = 1.0
    data = table({"a": [2.0] * 40}, stockout=pa.array(out))
    scores = evaluate(Totals(2.0), origins(data, 7, 1, 1), in_stock_only=True, totals=True)
    found = scores.totals((1, 2, 3, 7), TOTAL_LEVELS)
    assert of(found, 3, 0.9) == (1.0, 1.0)
    assert of(found, 7, 0.9) == (None, None)


def test_totals_without_a_level_are_refused(weekly):
    with pytest.raises(InputError, match=r"totals have no column '0\.9'"):
        evaluate(Totals(1.0, "0.9"), origins(weekly, 7, 1, 1), totals=True)
