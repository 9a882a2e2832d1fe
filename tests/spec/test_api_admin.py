"""What operators ask, on the engine and on a client of a real server."""

import pytest

from bespeak import AvailabilityMode, NotFound, PromiseLine, ReserveLine
from bespeak._core import __version__
from tests.spec.conftest import DAY_MS


def test_stats_count_what_there_is(shop, day):
    shop.set_on_hand("tea", "ams1", 20)
    shop.schedule_receipt("po-1", "tea", "ams1", 5, due_time_ms=day)
    held = shop.reserve([ReserveLine("tea", "ams1", 3, ship_time_ms=day)])
    shop.reserve([ReserveLine("tea", "ams1", 3, ship_time_ms=day)], confirm=True)
    stats = shop.stats()
    assert (stats.items, stats.locations, stats.positions, stats.receipts) == (2, 3, 1, 1)
    assert (stats.held_reservations, stats.confirmed_reservations, stats.open_shocks) == (1, 1, 0)
    assert (stats.mode, stats.clock_suspect, stats.version) == ("memory", False, __version__)
    assert stats.revision >= held.revision
    assert stats.digest == ""
    digest = shop.stats(with_digest=True).digest
    assert len(bytes.fromhex(digest)) == 32


def test_unmet_demand_is_kept_by_position_and_day(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    shop.reserve([ReserveLine("tea", "ams1", 8, ship_time_ms=day)], order_ref="o-1", customer="ann")
    shop.promise([PromiseLine("tea", 7, ship_time_ms=day)], locations=["ams1"], fill="PARTIAL", customer="bob")
    (row,) = shop.unmet_demand()
    assert (row.item, row.location, row.day) == ("tea", "ams1", day // DAY_MS)
    assert row.lines == 2
    assert shop.unmet_demand("tea", "ams1", from_day=row.day, to_day=row.day) == (row,)
    assert shop.unmet_demand("rice") == ()
    assert shop.unmet_demand(from_day=row.day + 1) == ()


def test_unmet_demand_of_many_days_is_told_once_and_in_order(shop, day):
    asked = [(day // DAY_MS + n, location) for n in range(370) for location in ("ams1", "ams2", "rtm1")]
    for at, location in asked:
        shop.reserve([ReserveLine("tea", location, 1, ship_time_ms=at * DAY_MS)])
    last = asked[-1][0]
    shop.reserve([ReserveLine("rice", "ams1", 1, ship_time_ms=last * DAY_MS)])
    rows = shop.unmet_demand("tea")
    assert [row.day for row in rows] == [at for at, _ in asked]
    assert sorted((row.day, row.location) for row in rows) == asked
    assert [(row.item, row.day) for row in shop.unmet_demand("rice")] == [("rice", last)]
    assert len(shop.unmet_demand(from_day=last - 1)) == 7
    assert len(shop.unmet_demand(to_day=last - 1)) == 369 * 3


def test_reconcile_finds_nothing_wrong(shop, day):
    shop.set_on_hand("tea", "ams1", 20)
    held = shop.reserve([ReserveLine("tea", "ams1", 8, ship_time_ms=day)], confirm=True)
    shop.fulfil(held.reservation_id)
    proof = shop.reconcile()
    assert (proof.discrepancies, proof.oversold_units) == ((), 0)
    assert proof.positions_checked == 1


def test_a_region_is_checked_by_the_hour(shop):
    shop.set_on_hand("tea", "ams1", 5)
    shop.set_on_hand("tea", "rtm1", 3)
    answer = shop.check_region("nl", ["tea", "rice"], 3)
    tea, rice = answer.items
    assert (tea.item, tea.available_by_hour) == ("tea", (8, 8, 8))
    assert {each.location: each.available_by_hour for each in tea.locations}["rtm1"] == (3, 3, 3)
    assert rice.available_by_hour == (0, 0, 0)
    with pytest.raises(NotFound):
        shop.check_region("de", ["tea"])


def test_explain_says_what_promise_would_answer_and_why(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    shop.set_on_hand("tea", "ams2", 2)
    lines = [PromiseLine("tea", 6, ship_time_ms=day)]
    told = shop.explain(lines, region="nl")
    (line,) = told.lines
    assert told.outcome == "REFUSED"
    assert {each.location: (each.known, each.available, each.missing) for each in line.locations} == {
        "ams1": (True, 5, 1),
        "ams2": (True, 2, 4),
        "rtm1": (False, 0, 6),
    }
    assert "tea" in line.summary
    assert line.result.refusal == shop.promise(lines, region="nl").lines[0].refusal
    assert shop.stats().held_reservations == 0


@pytest.mark.parametrize("mode", AvailabilityMode)
def test_reports_are_signed_tables(shop, day, mode):
    start = day - DAY_MS // 2
    shop.set_on_hand("tea", "ams1", 5)
    shop.schedule_receipt("po-1", "tea", "ams1", 7, due_time_ms=day + DAY_MS)
    report = shop.report_availability("tea", "ams1", mode, from_time_ms=start, bucket_ms=DAY_MS, buckets=3)
    assert [bucket.from_time_ms for bucket in report.buckets] == [start, start + DAY_MS, start + 2 * DAY_MS]
    assert [bucket.supply for bucket in report.buckets][1] == 7
    if mode == "CUMULATIVE":
        assert [bucket.available for bucket in report.buckets] == [5, 12, 12]
