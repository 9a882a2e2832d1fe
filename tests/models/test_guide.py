"""The guide's own class runs as the guide says."""

import re
from pathlib import Path

from models.protocol import Forecaster
from tests.models.tables import FIRST_DAY, table

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/models.md"


def test_the_class_of_the_guide_forecasts(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    (tmp_path / "factor.json").write_text("2")
    model = names["LastWeek"].load(tmp_path, "last-week", "1")
    assert isinstance(model, Forecaster)
    made = model.predict(table({"a": [float(day) for day in range(10)], "b": [1.0]}), None, 8, (0.1, 0.9))
    assert made["0.9"].to_pylist()[:8] == [6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 6.0]
    assert made["mean"].to_pylist()[8:] == [2.0] * 8
    assert made["timestamp"].cast("int32").to_pylist()[0] == FIRST_DAY + 10
