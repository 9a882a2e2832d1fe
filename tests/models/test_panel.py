"""Tables in: what is accepted, what is refused and how it is said."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from models import InputError, panel_from_tables
from models.panel import concat_panels
from tests.models.tables import FIRST_DAY, table

TWO = table({"b": [1, None, 3], "a": [4, 5]})


def test_series_are_aligned_at_their_ends_in_order_of_name():
    panel = panel_from_tables(TWO, None, 7, 100)
    assert panel.item_ids.to_pylist() == ["a", "b"]
    assert panel.last_day.tolist() == [FIRST_DAY + 1, FIRST_DAY + 2]
    np.testing.assert_array_equal(panel.target, [[np.nan, 4, 5], [1, np.nan, 3]])


def test_only_the_last_days_are_kept():
    panel = panel_from_tables(TWO, None, 7, 2)
    np.testing.assert_array_equal(panel.target, [[4, 5], [np.nan, 3]])


def test_the_order_of_rows_does_not_matter():
    shuffled = TWO.take(np.random.default_rng(0).permutation(TWO.num_rows))
    for one, other in zip(
        vars(panel_from_tables(TWO, None, 7, 9)).values(),
        vars(panel_from_tables(shuffled, None, 7, 9)).values(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "UTC")], ids=str
)
def test_days_of_any_type_are_the_same(kind):
    at = TWO.column_names.index("timestamp")
    days = TWO["timestamp"].cast(pa.timestamp("s")).cast(kind)
    panel = panel_from_tables(TWO.set_column(at, "timestamp", days), None, 7, 9)
    assert panel.last_day.tolist() == [FIRST_DAY + 1, FIRST_DAY + 2]


def test_the_time_of_day_is_dropped_in_the_zone_of_the_column():
    late = pa.array([dt.datetime(2024, 10, 4, 23, 30, tzinfo=dt.UTC)], pa.timestamp("s", "Europe/Amsterdam"))
    panel = panel_from_tables(pa.table({"item_id": ["a"], "timestamp": late, "target": [1]}), None, 7, 9)
    assert panel.last_day.tolist() == [FIRST_DAY + 1]


def test_names_may_be_a_dictionary_and_the_target_any_number():
    panel = panel_from_tables(
        pa.table(
            {
                "item_id": pa.array(["b", "b", "b", "a", "a"]).dictionary_encode(),
                "timestamp": TWO["timestamp"],
                "target": pa.array([1, None, 3, 4, 5], pa.uint8()),
            }
        ),
        None,
        7,
        9,
    )
    np.testing.assert_array_equal(panel.target, [[np.nan, 4, 5], [1, np.nan, 3]])


def test_covariates_of_context_and_future_are_joined():
    context = TWO.append_column("price", pa.array([10.0, 11, 12, 20, 21]))
    future = pa.table(
        {
            "item_id": ["a", "b", "b"],
            "timestamp": pa.array([FIRST_DAY + 2, FIRST_DAY + 4, FIRST_DAY + 90], pa.int32()).cast(pa.date32()),
            "price": [22.0, 14.0, 99.0],
        }
    )
    panel = panel_from_tables(context, future, 2, 9, ("price", "promotion"))
    assert list(panel.covariates) == ["price"]
    nan = np.nan
    np.testing.assert_array_equal(panel.covariates["price"], [[nan, 20, 21, 22, nan], [10, 11, 12, nan, 14]])


def test_panels_of_several_callers_stack():
    short, long = panel_from_tables(TWO, None, 2, 2), panel_from_tables(TWO, None, 2, 9)
    both = concat_panels([short, long])
    np.testing.assert_array_equal(both.target[:2], [[np.nan, 4, 5], [np.nan, np.nan, 3]])
    np.testing.assert_array_equal(both.target[2:], long.target)
    assert both.item_ids.to_pylist() == ["a", "b", "a", "b"]


def changed(column, values):
    return TWO.set_column(TWO.column_names.index(column), column, [values])


FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]
REFUSED = {
    "no item": (TWO.drop_columns(["item_id"]), "context has no column 'item_id'"),
    "no day": (TWO.drop_columns(["timestamp"]), "context has no column 'timestamp'"),
    "no target": (TWO.drop_columns(["target"]), "context has no column 'target'"),
    "no rows": (TWO.slice(0, 0), "context has no rows"),
    "items of numbers": (changed("item_id", [1, 2, 3, 4, 5]), "'item_id' of context is int64: make it a string"),
    "an item not named": (changed("item_id", ["a", "a", None, "b", "b"]), "'item_id' of context has 1 nulls"),
    "days of text": (changed("timestamp", ["x"] * 5), "'timestamp' of context is string"),
    "a day not given": (
        changed("timestamp", pa.array([1, 2, 3, 4, None], pa.date32())),
        "'timestamp' of context has 1 nulls",
    ),
    "a target of text": (changed("target", list("abcde")), "'target' of context is string: make it a number"),
    "a negative target": (
        changed("target", [1.0, -2.0, 3.0, 4.0, 5.0]),
        r"'target' of context is -2.0 for item 'b' in row 1",
    ),
    "an endless target": (changed("target", [*FIVE[:4], float("inf")]), r"is inf for item 'a' in row 4"),
    "a day twice": (pa.concat_tables([TWO, TWO.slice(4)]), "item 'a' twice on 2024-10-05: add up"),
    "a stock-out above one": (
        TWO.append_column("stockout", pa.array([0, 0, 1.5, 0, 0])),
        "'stockout' of context is 1.5",
    ),
}


@pytest.mark.parametrize(("context", "message"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_table_is_refused_by_name(context, message):
    with pytest.raises(InputError, match=message):
        panel_from_tables(context, None, 7, 100)


def test_a_future_without_history_is_refused():
    future = pa.table({"item_id": ["z"], "timestamp": TWO["timestamp"].slice(0, 1), "price": [1.0]})
    with pytest.raises(InputError, match="future has item 'z' that context has not"):
        panel_from_tables(TWO, future, 7, 100, ("price",))


def test_a_future_day_twice_is_refused():
    future = pa.table(
        {"item_id": ["a", "a"], "timestamp": TWO["timestamp"].slice(0, 1).to_pylist() * 2, "price": [1.0, 2.0]}
    )
    with pytest.raises(InputError, match="future has item 'a' twice on 2024-10-04"):
        panel_from_tables(TWO, future, 7, 100, ("price",))
