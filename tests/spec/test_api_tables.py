"""Whole tables, on the engine and on a client of a real server."""

import threading
import uuid

import polars as pl
import pyarrow as pa
import pytest

from bespeak import InvalidArgument, NotFound, Overloaded, PromiseLine, ReserveLine
from bespeak._methods.tables import _new_ids


@pytest.fixture
def stocked(shop):
    """100 teas at ams1, 7 at ams2."""
    shop.set_on_hand("tea", "ams1", 100)
    shop.set_on_hand("tea", "ams2", 7)
    return shop


def test_a_table_of_checks_gives_what_single_checks_give(stocked, day):
    rows = [("tea", "ams1", 5), ("tea", "ams2", 9), ("rice", "ams1", 0), ("tea", "rtm1", 1)]
    items, locations, quantities = map(list, zip(*rows, strict=True))
    table = pa.table({"item": items, "location": locations, "quantity": quantities, "ship_time_ms": [day] * 4})
    answers = stocked.check_table(table).to_pylist()
    for (item, location, quantity), answer in zip(rows, answers, strict=True):
        single = stocked.check(item, location, quantity, ship_time_ms=day)
        for name in ("available", "in_full", "earliest_time_ms", "binding", "refusal", "revision"):
            assert answer[name] == getattr(single, name), name
    assert {answer["error"] for answer in answers} == {None}


def test_anything_with_the_arrow_interface_is_taken(stocked):
    table = pa.table({"item": ["tea", "tea"], "location": ["ams1", "ams2"]})
    dictionary = pa.table({name: table[name].dictionary_encode() for name in table.column_names})
    large = table.cast(pa.schema([("item", pa.large_string()), ("location", pa.string_view())]))
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    for given in (table, dictionary, large, reader, table.to_batches()[0], pl.DataFrame(table)):
        assert stocked.check_table(given)["available"].to_pylist() == [100, 7]
    for wrong in ([("tea", "ams1")], {"item": ["tea"]}, None):
        with pytest.raises(InvalidArgument, match="give an Arrow table"):
            stocked.check_table(wrong)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"item": ["tea"]}, "location"),
        ({"item": ["tea"], "location": ["ams1"], "qty": [1]}, "qty"),
        ({"item": [1], "location": ["ams1"]}, "item"),
        ({"item": ["tea"], "location": ["ams1"], "quantity": ["many"]}, "quantity"),
    ],
)
def test_columns_that_make_no_sense_are_named(stocked, columns, said):
    with pytest.raises(InvalidArgument, match=said) as raised:
        stocked.check_table(pa.table(columns))
    assert raised.value.code == "INVALID_ARGUMENT"


def test_an_empty_table_has_an_empty_answer_with_the_same_columns(stocked):
    nothing = pa.table({"item": pa.array([], pa.string()), "location": pa.array([], pa.string())})
    full = stocked.check_table(pa.table({"item": ["tea"], "location": ["ams1"]}))
    answers = stocked.check_table(nothing)
    assert answers.num_rows == 0
    assert answers.schema == full.schema


def test_a_row_fails_by_itself(stocked):
    table = pa.table({"item": ["tea", "coffee", "tea"], "location": ["ams1", "ams1", "mars"], "quantity": [1, 1, 1]})
    assert stocked.check_table(table)["error"].to_pylist() == [None, "UNKNOWN_ITEM", "UNKNOWN_LOCATION"]
    held = stocked.reserve_table(table)
    assert held["error"].to_pylist() == [None, "UNKNOWN_ITEM", "UNKNOWN_LOCATION"]
    assert held["outcome"].to_pylist() == ["FULL", None, None]
    assert "mars" in held["message"][2].as_py()


def test_a_table_of_orders_is_held_in_order_and_once(stocked, day):
    ids = [uuid.uuid4() for _ in range(3)]
    table = pa.table(
        {
            "request_id": [str(each) for each in ids],
            "item": ["tea"] * 3,
            "location": ["ams2"] * 3,
            "quantity": [5, 5, 2],
            "ship_time_ms": pa.array([day] * 3, pa.timestamp("ms", "UTC")),
            "order_ref": ["o-1", "o-2", "o-3"],
            "customer": ["ann", "bob", "ann"],
            "tier": [1, 2, 3],
            "confirm": [True, False, False],
        }
    )
    first = stocked.reserve_table(table)
    assert first["outcome"].to_pylist() == ["FULL", "REFUSED", "FULL"]
    assert first["refusal"].to_pylist() == [None, "INSUFFICIENT_STOCK", None]
    assert first["available"].to_pylist()[1] == 2
    again = stocked.reserve_table(table)
    assert again["replayed"].to_pylist() == [True, False, True]
    assert again["reservation_id"].to_pylist() == first["reservation_id"].to_pylist()
    reservation = stocked.get_reservation(first["reservation_id"][0].as_py())
    assert (reservation.state, reservation.order_ref, reservation.tier) == ("CONFIRMED", "o-1", 1)
    assert reservation.lines[0].ship_time_ms == day


def test_request_ids_are_made_where_there_are_none(stocked):
    table = pa.table({"item": ["tea", "tea"], "location": ["ams1", "ams1"], "quantity": [5, 5]})
    held = stocked.reserve_table(table)
    assert held["replayed"].to_pylist() == [False, False]
    assert len(set(held["reservation_id"].to_pylist())) == 2


def test_a_table_that_failed_in_the_middle_is_sent_again_under_its_ids(stocked, monkeypatch):
    """What was done before the failure is not done twice, though the caller gave no ids."""
    table = pa.table({"item": ["tea", "tea"], "location": ["ams1", "ams1"], "quantity": [3, 4]})
    exchange = stocked._exchange

    def cut(service, job, sent):
        exchange(job, sent.slice(0, 1))
        raise Overloaded("OVERLOADED", "requests in progress are at their limit", 50)

    with monkeypatch.context() as patched:
        patched.setattr(type(stocked), "_exchange", cut)
        with pytest.raises(Overloaded) as failed:
            stocked.reserve_table(table)
        own = pa.array([str(uuid.uuid4()) for _ in range(2)])
        with pytest.raises(Overloaded) as named:
            stocked.reserve_table(table.append_column("request_id", own))
    assert named.value.request_ids is None
    assert stocked.check("tea", "ams1").available == 100 - 3 - 3
    again = stocked.reserve_table(table.append_column("request_id", failed.value.request_ids))
    assert again["replayed"].to_pylist() == [True, False]
    assert stocked.check("tea", "ams1").available == 100 - 3 - 3 - 4


def test_made_request_ids_are_uuids_of_version_7():
    made = [uuid.UUID(bytes=each) for each in _new_ids(100, 1_700_000_000_123).to_pylist()]
    assert len(set(made)) == 100
    assert {each.version for each in made} == {7}
    assert {each.int >> 80 for each in made} == {1_700_000_000_123}


def test_a_table_of_facts_does_what_single_facts_do(shop, day):
    events = [
        {"event": "set_on_hand", "item": "tea", "location": "ams1", "quantity": 20},
        {"event": "adjust_on_hand", "item": "tea", "location": "ams1", "quantity": -3, "reason": "SALE"},
        {"event": "move_status", "item": "tea", "location": "ams1", "quantity": 2, "to_status": "QUALITY"},
        {
            "event": "schedule_receipt",
            "receipt_id": "po-1",
            "item": "tea",
            "location": "ams1",
            "quantity": 1,
            "unit": "case",
            "due_time_ms": day,
            "receipt_kind": "PRODUCTION",
        },
        {"event": "receive", "receipt_id": "po-1", "quantity": 4},
        {"event": "set_on_hand", "item": "rice", "location": "ams1", "quantity": -1},
        {"event": "fly", "item": "rice", "location": "ams1"},
    ]
    answers = shop.supply_table(pa.Table.from_pylist(events, schema=_schema(events)))
    assert answers["error"].to_pylist() == [None] * 5 + ["INVALID_ARGUMENT"] * 2
    assert answers["on_hand"].to_pylist()[:2] == [20, 17]
    assert answers["receipt_open_quantity"].to_pylist()[4] == 8
    position = shop.get_position("tea", "ams1")
    assert (position.unrestricted, position.quality) == (19, 2)
    assert position.receipts[0].kind == "PRODUCTION"


def test_a_count_that_is_missing_is_no_count_of_zero(stocked):
    counts = {"event": ["set_on_hand"] * 2, "item": ["tea"] * 2, "location": ["ams1", "ams2"]}
    for table in (pa.table(counts), pa.table({**counts, "quantity": pa.array([None, None], pa.int64())})):
        answers = stocked.supply_table(table)
        assert answers["error"].to_pylist() == ["INVALID_ARGUMENT"] * 2
        assert "required by set_on_hand" in answers["message"][0].as_py()
    mixed = pa.table({**counts, "quantity": [None, 0]})
    assert stocked.supply_table(mixed)["error"].to_pylist() == ["INVALID_ARGUMENT", None]
    assert [stocked.get_position("tea", place).unrestricted for place in ("ams1", "ams2")] == [100, 0]


def _schema(rows):
    numbers = {"quantity", "due_time_ms"}
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in names])


def test_the_state_can_be_read_as_tables(stocked, day):
    held = stocked.reserve([ReserveLine("tea", "ams1", 5, ship_time_ms=day)], order_ref="o-1", customer="ann")
    stocked.promise([PromiseLine("tea", 500, ship_time_ms=day)], locations=["ams2"], customer="bob")
    positions = {row["location"]: row for row in stocked.positions_table().to_pylist()}
    assert {name: row["unrestricted"] for name, row in positions.items()} == {"ams1": 100, "ams2": 7}
    (line,) = stocked.reservations_table().to_pylist()
    assert (line["reservation_id"], line["state"], line["order_ref"]) == (held.reservation_id, "HELD", "o-1")
    assert (line["open_quantity"], line["ship_time_ms"]) == (5, day)
    (unmet,) = stocked.unmet_table().to_pylist()
    assert (unmet["item"], unmet["location"]) == ("tea", "ams2")
    assert stocked.positions_table("ams2").num_rows == 1
    assert stocked.reservations_table("ams2").num_rows == 0
    with pytest.raises(NotFound):
        stocked.positions_table("mars")


def test_large_tables_are_cut_and_answered_in_order(stocked):
    """More rows than one batch may have, in chunks of odd sizes, with long names."""
    rows = 150_001
    names = ["tea" if row % 3 else "x" * 100 for row in range(rows)]
    table = pa.table({"item": names, "location": ["ams1"] * rows})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 99_999), table.slice(100_000)])
    answers = stocked.check_table(chunked)
    assert answers.num_rows == rows
    expected = [None if row % 3 else "UNKNOWN_ITEM" for row in range(rows)]
    assert answers["error"].to_pylist() == expected


def test_rows_may_be_long_where_others_are_short(stocked):
    """Batches are cut by what a row takes on average: those of the long ones would be too large for a message."""
    long, short = 30_000, 170_000
    table = pa.table({"item": ["x" * 128] * long + ["tea"] * short, "location": ["y" * 128] * long + ["ams1"] * short})
    answers = stocked.check_table(table)
    assert answers["error"].to_pylist() == ["UNKNOWN_ITEM"] * long + [None] * short
    assert answers["available"][long:].to_pylist() == [100] * short


def test_a_dictionary_may_be_larger_than_a_message(stocked):
    names = [f"{number:06d}{'x' * 100}" for number in range(60_000)] + ["tea"]
    items = pa.array(names).dictionary_encode()
    assert items.dictionary.nbytes > 6 << 20
    table = pa.table({"item": items, "location": pa.array(["ams1"] * len(names)).dictionary_encode()})
    answers = stocked.check_table(table)
    assert answers["error"].to_pylist() == ["UNKNOWN_ITEM"] * 60_000 + [None]


def test_no_thread_sends_a_table(stocked, monkeypatch):
    """A stream that the server ends under a thread that is sending ends the whole process."""

    def start(thread):
        raise AssertionError(f"{thread.name} is started")

    monkeypatch.setattr(threading.Thread, "start", start)
    rows = 140_000
    table = pa.table({"item": ["tea"] * rows, "location": ["ams1", "ams2"] * (rows // 2)})
    assert stocked.check_table(table)["available"].to_pylist() == [100, 7] * (rows // 2)
    for wrong in (table.slice(0, 1), table):
        with pytest.raises(InvalidArgument, match="qty"):
            stocked.check_table(wrong.append_column("qty", pa.array([1] * len(wrong))))
