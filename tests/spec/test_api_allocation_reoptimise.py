"""Open orders planned anew: moved when it saves, in one step each, and never lost."""

import pyarrow.compute as pc
import pytest

from bespeak import PromiseLine, ReserveLine
from bespeak.errors import InvalidArgument
from tests.spec.allocation_shop import left, network, orders, stocked, terms


@pytest.fixture
def shop(service):
    return stocked(service, {("tea", "ams1"): 5, ("tea", "rtm1"): 5, ("rice", "rtm1"): 5, ("salt", "utr1"): 2})


def held_at(shop, order, *lines, **more):
    return shop.reserve([ReserveLine(*line) for line in lines], order_ref=order, **more).reservation_id


def test_an_order_moves_to_where_it_is_cheaper(shop):
    old = held_at(shop, "a", ("tea", "rtm1", 2), expires_in_ms=3_600_000, customer="c1", tier=3)
    before = shop.get_reservation(old)
    digest = shop.stats(with_digest=True).digest
    batch = orders(("a", 1, "tea", 2), ("gone", 1, "tea", 1))
    told = shop.reoptimise(batch, terms(), dry_run=True)
    # From 700 at rtm1 to 500 and 10 of handling at ams1; nothing is held of "gone".
    assert (told.before_minor, told.after_minor) == (700, 510)
    assert [(one.order_id, one.old_reservation_id, one.new_reservation_id) for one in told.moved] == [("a", old, 0)]
    assert shop.stats(with_digest=True).digest == digest

    done = shop.reoptimise(batch, terms())
    assert (done.before_minor, done.after_minor, done.made_by) == (700, 510, "search@1")
    assert done.bound_minor <= done.after_minor
    (moved,) = done.moved
    new = shop.get_reservation(moved.new_reservation_id)
    assert [(line.item, line.location, line.open_quantity) for line in new.lines] == [("tea", "ams1", 2)]
    assert (new.order_ref, new.customer, new.tier, new.state) == ("a", "c1", 3, "HELD")
    assert new.expires_at_ms == before.expires_at_ms
    assert shop.get_reservation(old) is None
    assert (left(shop)["tea", "ams1"], left(shop)["tea", "rtm1"]) == (3, 5)
    assert shop.reoptimise(batch, terms()).moved == ()


def test_an_order_for_later_still_ships_then(shop, day):
    old = held_at(shop, "a", ("tea", "rtm1", 2, "", day))
    batch = orders(("a", 1, "tea", 2), ("a", 2, "rice", 1))
    shop.set_on_hand("rice", "ams1", 1)
    (moved,) = shop.reoptimise(batch, terms()).moved
    assert moved.old_reservation_id == old
    new = shop.get_reservation(moved.new_reservation_id)
    assert {(line.item, line.location, line.ship_time_ms) for line in new.lines} == {
        ("tea", "ams1", day),
        ("rice", "ams1", day),
    }


def test_scarce_stock_that_an_order_holds_may_be_used_again(shop):
    # All of the salt is held with the tea of rtm1: from utr1 both would need one package, were there tea.
    shop.set_on_hand("tea", "utr1", 2)
    old = held_at(shop, "a", ("salt", "utr1", 2), ("tea", "rtm1", 2))
    done = shop.reoptimise(orders(("a", 1, "salt", 2), ("a", 2, "tea", 2)), terms())
    assert (done.before_minor, done.after_minor) == (1600, 900)
    assert done.moved[0].old_reservation_id == old
    assert left(shop)["salt", "utr1"] == 0
    assert left(shop)["tea", "utr1"] == 0


def test_a_small_saving_moves_nothing(shop):
    held_at(shop, "a", ("tea", "rtm1", 2))
    assert shop.reoptimise(orders(("a", 1, "tea", 2)), terms(), least_saving_minor=191).moved == ()
    assert len(shop.reoptimise(orders(("a", 1, "tea", 2)), terms(), least_saving_minor=190).moved) == 1


def test_only_whole_open_holds_are_moved(shop):
    for order in ("half", "two", "two", "other"):
        held_at(shop, order, ("tea", "rtm1", 1), confirm=True)
    shop.set_on_hand("tea", "rtm1", 9)
    half = held_at(shop, "half2", ("tea", "rtm1", 2), confirm=True)
    shop.release(half, [])
    batch = orders(("two", 1, "tea", 1), ("half2", 1, "tea", 2), ("other", 1, "tea", 2))
    told = shop.reoptimise(batch, terms(), dry_run=True)
    # Of "two" there are two holds, of "half2" none any more, and "other" asks for more than it holds.
    assert told.moved == ()


def test_what_is_held_is_not_given_up(shop):
    # Unfilled would be cheaper than served.
    held_at(shop, "a", ("tea", "rtm1", 2))
    batch = orders(("a", 1, "tea", 2), unfilled_minor=[1])
    done = shop.reoptimise(batch, terms())
    assert (done.before_minor, done.after_minor) == (700, 510)


def test_what_is_held_where_no_lane_goes_from_any_more_is_not_given_up(shop):
    """utr1 has left the network: its salt cannot be had elsewhere, so the order stays as it is, rice and all."""
    shop.set_on_hand("rice", "ams1", 5)
    old = held_at(shop, "a", ("salt", "utr1", 1), ("rice", "rtm1", 1))
    rates = network().rates.filter(pc.field("location") != "utr1")
    batch = orders(("a", 1, "salt", 1), ("a", 2, "rice", 1))
    done = shop.reoptimise(batch, terms(network=network(rates=rates)))
    assert done.moved == ()
    held = {(line.item, line.location): line.open_quantity for line in shop.get_reservation(old).lines}
    assert held == {("salt", "utr1"): 1, ("rice", "rtm1"): 1}
    # Once there is salt where a lane goes from, both move there.
    shop.set_on_hand("salt", "ams1", 1)
    (moved,) = shop.reoptimise(batch, terms(network=network(rates=rates))).moved
    new = shop.get_reservation(moved.new_reservation_id)
    assert {(line.item, line.location) for line in new.lines} == {("salt", "ams1"), ("rice", "ams1")}


def test_more_lines_are_held_when_they_can_be(shop):
    held_at(shop, "a", ("tea", "ams1", 1), confirm=True)
    batch = orders(("a", 1, "tea", 1), ("a", 2, "rice", 1))
    done = shop.reoptimise(batch, terms())
    # 500 + 5 and an unfilled line, then both from rtm1.
    assert (done.before_minor, done.after_minor) == (10_505, 700)
    new = shop.get_reservation(done.moved[0].new_reservation_id)
    assert {(line.item, line.location) for line in new.lines} == {("tea", "rtm1"), ("rice", "rtm1")}
    assert new.state == "CONFIRMED"


def test_a_wrong_request_moves_nothing(client):
    stocked(client, {("tea", "ams1"): 5})
    with pytest.raises(InvalidArgument, match="least_saving_minor"):
        client.reoptimise(orders(("a", 1, "tea", 2)), terms(), least_saving_minor=-1)
    assert client.promise([PromiseLine("tea", 5)], locations=["ams1"]).outcome == "FULL"
