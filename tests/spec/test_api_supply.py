"""Facts about stock and master data, on the engine and on a client of a real server."""

import dataclasses

import pytest

from bespeak import (
    AlreadyExists,
    ArrivalSpread,
    InvalidArgument,
    Item,
    Lane,
    Location,
    LocationKind,
    NotFound,
    ReceiptKind,
    Refusal,
    Region,
    ReserveLine,
    ShockCause,
    SourceSequence,
    StockStatus,
    SupplyRule,
    TransitQuantile,
    UnitOfMeasure,
    WeightBreak,
)
from tests.spec.conftest import DAY_MS


def test_counts_and_movements_give_the_stock_by_status(shop):
    counted = shop.set_on_hand("tea", "ams1", 20)
    assert (counted.refusal, counted.on_hand, counted.shock) == (None, 20, None)
    shop.set_on_hand("tea", "ams1", 4, status="BLOCKED")
    assert shop.adjust_on_hand("tea", "ams1", -3, "SALE").on_hand == 17
    shop.move_status("tea", "ams1", 5, StockStatus.UNRESTRICTED, StockStatus.QUALITY)
    shop.return_stock("tea", "ams1", 1)
    position = shop.get_position("tea", "ams1")
    assert (position.unrestricted, position.quality, position.blocked) == (13, 5, 4)
    assert shop.check("tea", "ams1").available == 13


def test_compare_and_set_refuses_when_another_came_first(shop):
    first = shop.set_on_hand("tea", "ams1", 20)
    assert shop.set_on_hand("tea", "ams1", 5, expected_on_hand=19).refusal is Refusal.CONFLICT
    assert shop.set_on_hand("tea", "ams1", 5, expected_version=first.version + 9).refusal is Refusal.CONFLICT
    taken = shop.set_on_hand("tea", "ams1", 5, expected_on_hand=20, expected_version=first.version)
    assert (taken.refusal, taken.on_hand) == (None, 5)
    assert shop.set_on_hand("tea", "ams1", 0, expected_on_hand=0).refusal is Refusal.CONFLICT


def test_a_receipt_lives_from_plan_to_goods(shop, day):
    planned = shop.schedule_receipt("po-1", "tea", "ams1", 1, unit="case", due_time_ms=day, kind="PRODUCTION")
    assert (planned.refusal, planned.receipt_revision > 0) == (None, True)
    with pytest.raises(AlreadyExists) as raised:
        shop.schedule_receipt("po-1", "tea", "ams1", 9, due_time_ms=day)
    assert raised.value.code == "RECEIPT_EXISTS"
    assert shop.check("tea", "ams1", ship_time_ms=day).available == 12
    changed = shop.change_receipt("po-1", quantity=10, expected_revision=planned.receipt_revision)
    assert changed.receipt_revision > planned.receipt_revision
    stale = shop.change_receipt("po-1", quantity=11, expected_revision=planned.receipt_revision)
    assert stale.refusal is Refusal.CONFLICT
    (receipt,) = shop.get_position("tea", "ams1").receipts
    assert (receipt.receipt_id, receipt.kind, receipt.open_quantity) == ("po-1", ReceiptKind.PRODUCTION, 10)
    assert shop.receive("po-1", 4).open_quantity == 6
    assert shop.receive("po-1", 1, status="QUALITY", final=True).open_quantity == 0
    position = shop.get_position("tea", "ams1")
    assert (position.unrestricted, position.quality, position.receipts) == (4, 1, ())
    with pytest.raises(NotFound) as gone:
        shop.receive("po-1", 1)
    assert gone.value.code == "UNKNOWN_RECEIPT"


def test_a_receipt_by_date_is_due_at_the_end_of_the_day_there(shop):
    shop.put_location(Location("nyc1", "America/New_York", LocationKind.STORE))
    shop.schedule_receipt("po-1", "tea", "nyc1", 5, due_date="2027-01-15")
    (receipt,) = shop.get_position("tea", "nyc1").receipts
    midnight = 1_800_075_600_000  # 2027-01-16T05:00Z
    assert midnight - 1_000 <= receipt.due_time_ms <= midnight
    with pytest.raises(InvalidArgument):
        shop.schedule_receipt("po-2", "tea", "nyc1", 5, due_date="15/01/2027")
    with pytest.raises(InvalidArgument):
        shop.schedule_receipt("po-2", "tea", "nyc1", 5)


def test_a_receipt_with_a_spread_counts_from_its_late_time(shop, day):
    spread = ArrivalSpread(day + DAY_MS, yield_ppm=900_000)
    shop.schedule_receipt("po-1", "tea", "ams1", 100, due_time_ms=day, spread=spread)
    (receipt,) = shop.get_position("tea", "ams1").receipts
    assert receipt.counts_from_ms == day + DAY_MS
    assert shop.check("tea", "ams1", ship_time_ms=day).available == 0
    assert shop.check("tea", "ams1", ship_time_ms=day + DAY_MS).available == 90


def test_a_transfer_is_stock_less_here_and_a_receipt_there(shop, day):
    shop.set_on_hand("tea", "ams1", 10)
    assert shop.transfer("tea", "ams1", "rtm1", 4, "to-1", day).on_hand == 6
    (receipt,) = shop.get_position("tea", "rtm1").receipts
    assert (receipt.receipt_id, receipt.kind, receipt.open_quantity) == ("to-1", ReceiptKind.TRANSFER, 4)


def test_a_cancelled_receipt_that_was_promised_raises_a_shock(shop, day):
    shop.schedule_receipt("po-1", "tea", "ams1", 10, due_time_ms=day)
    shop.schedule_receipt("po-2", "tea", "ams1", 10, due_time_ms=day + 3 * DAY_MS)
    held = shop.reserve([ReserveLine("tea", "ams1", 8, ship_time_ms=day)], confirm=True, tier=1)
    told = shop.cancel_receipt("po-1").shock
    assert told is not None
    assert (told.cause, told.shortfall, told.recovery_time_ms) == (ShockCause.RECEIPT_CUT, 8, day + 3 * DAY_MS)
    (risk,) = told.at_risk
    assert (risk.reservation_id, risk.line, risk.tier, risk.ship_time_ms, risk.quantity) == (
        held.reservation_id,
        0,
        1,
        day,
        8,
    )
    assert [shock.shock_id for shock in shop.list_shocks()] == [told.shock_id]
    assert shop.list_shocks("ams2") == ()
    assert shop.check("tea", "ams1", ship_time_ms=day).available == 0
    shop.set_on_hand("tea", "ams1", 8)
    assert shop.list_shocks() == ()


def test_a_source_event_counts_once(shop):
    sequence = SourceSequence("tills", 1)
    assert not shop.adjust_on_hand("tea", "ams1", 5, "FOUND", source=sequence).duplicate
    again = shop.adjust_on_hand("tea", "ams1", 5, "FOUND", source=sequence)
    assert again.duplicate
    assert shop.get_position("tea", "ams1").unrestricted == 5
    shop.adjust_on_hand("tea", "ams1", 5, "FOUND", source=SourceSequence("tills", 4))
    (source,) = shop.stats().sources
    assert (source.source, source.highest_sequence, source.gaps) == ("tills", 4, 2)


def test_a_buffer_is_kept_back(shop):
    shop.set_on_hand("tea", "ams1", 20)
    assert shop.put_buffer("tea", "ams1", 1, "case").revision > 0
    assert shop.check("tea", "ams1").available == 8
    assert shop.get_position("tea", "ams1").buffer == 12


def test_a_rule_says_what_counts(shop, day):
    shop.set_on_hand("tea", "ams1", 5, status="QUALITY")
    shop.schedule_receipt("po-1", "tea", "ams1", 7, due_time_ms=day)
    rule = SupplyRule(statuses=("UNRESTRICTED", "QUALITY"), receipt_kinds=("TRANSFER",), late_grace_ms=0)
    shop.put_rule(rule, "ams1")
    assert shop.check("tea", "ams1", ship_time_ms=day).available == 5
    assert shop.get_location("ams1").rule.statuses == rule.statuses
    assert shop.get_location("ams1").rule.late_grace_ms == 0
    shop.put_rule(SupplyRule(horizon_ms=DAY_MS), "ams1", "tea")
    assert shop.check("tea", "ams1", ship_time_ms=day + 9 * DAY_MS).refusal is Refusal.BEYOND_HORIZON


def test_master_data_comes_back_as_it_was_put(service):
    item = Item("oil", "ml", (UnitOfMeasure("bottle", 750), UnitOfMeasure("half", 1, 2)))
    location = Location("ams1", "Europe/Amsterdam", LocationKind.DC)
    region = Region("nl", ("ams1",))
    lane = Lane(
        "ams1-north",
        "ams1",
        "north",
        "post",
        "standard",
        (TransitQuantile(500_000, DAY_MS), TransitQuantile(950_000, 2 * DAY_MS)),
        (WeightBreak(1_000, 395, 0, "EUR"), WeightBreak(20_000, 695, 10, "EUR")),
    )
    service.put_item(item)
    service.put_location(location)
    service.put_region(region)
    service.put_lane(lane)
    assert service.get_item("oil") == item
    assert service.get_location("ams1").location == location
    assert list(service.list_items()) == [item]
    assert list(service.list_locations()) == [location]
    assert service.list_regions() == (region,)
    assert service.list_lanes() == (lane,)


def test_lists_go_on_over_pages(service):
    for number in range(1_005):
        service.put_item(Item(f"sku-{number}"))
    assert [item.item for item in service.list_items()] == [f"sku-{number}" for number in range(1_005)]


def test_master_data_that_makes_no_sense_is_refused(service):
    service.put_item(Item("tea"))
    with pytest.raises(InvalidArgument):
        service.put_item(Item(""))
    with pytest.raises(InvalidArgument):
        service.put_item(Item("oil", "ml", (UnitOfMeasure("bottle", 0),)))
    with pytest.raises(InvalidArgument):
        service.put_location(Location("ams1", "Europe/Atlantis"))
    with pytest.raises(NotFound):
        service.put_region(Region("nl", ("ams1",)))
    assert dataclasses.astuple(service.get_item("tea"))[0] == "tea"
