"""Checks, promises and the life of a reservation, on the engine and on a client of a real server."""

import dataclasses
import uuid

import pytest

from bespeak import (
    BindingConstraint,
    CheckLine,
    FillPolicy,
    FulfilLine,
    InvalidArgument,
    NotFound,
    Outcome,
    PromiseLine,
    Refusal,
    ReleaseLine,
    RequestIdReused,
    ReservationState,
    ReserveLine,
    RuleOverride,
    SourcingPolicy,
)
from tests.spec.conftest import DAY_MS


@pytest.fixture
def worked_example(shop, day):
    """On hand 20; day 3 receipt 10; day 1 ships 3, day 4 ships 15; day 5 receipt 1; day 6 receipt 3."""
    shop.set_on_hand("tea", "ams1", 20)
    for number, units in ((3, 10), (5, 1), (6, 3)):
        due = day + (number - 1) * DAY_MS
        shop.schedule_receipt(f"po-{number}", "tea", "ams1", units, due_time_ms=due)
    for number, units in ((1, 3), (4, 15)):
        line = ReserveLine("tea", "ams1", units, ship_time_ms=day + (number - 1) * DAY_MS)
        assert shop.reserve([line], confirm=True).outcome is Outcome.FULL
    return shop


def test_lookahead_gives_the_worked_example(worked_example, day):
    lines = [CheckLine("tea", "ams1", ship_time_ms=day + n * DAY_MS) for n in range(7)]
    results = worked_example.check_many(lines)
    assert [result.available for result in results] == [12, 12, 12, 12, 13, 16, 16]
    assert results[0].binding is BindingConstraint.LATER_COMMITMENT
    assert results[0].binding_time_ms == day + 3 * DAY_MS


def test_one_more_than_available_is_refused_with_what_there_is(worked_example, day):
    thirteen = worked_example.check("tea", "ams1", 13, ship_time_ms=day)
    assert (thirteen.in_full, thirteen.earliest_time_ms) == (False, day + 4 * DAY_MS)
    refused = worked_example.reserve([ReserveLine("tea", "ams1", 13, ship_time_ms=day)])
    (line,) = refused.lines
    assert (refused.outcome, refused.reservation_id, refused.state) == (Outcome.REFUSED, 0, None)
    assert (line.refusal, line.available, line.earliest_time_ms) == (
        Refusal.INSUFFICIENT_STOCK,
        12,
        day + 4 * DAY_MS,
    )
    held = worked_example.reserve([ReserveLine("tea", "ams1", 12, ship_time_ms=day)])
    assert (held.outcome, held.state, held.lines[0].held_quantity) == (Outcome.FULL, ReservationState.HELD, 12)


def test_a_staircase_shows_what_is_available_from_when(worked_example, day):
    result = worked_example.check("tea", "ams1", ship_time_ms=day, with_staircase=True)
    assert [step.available for step in result.staircase] == [12, 13, 16]
    assert result.staircase[1].from_time_ms == day + 4 * DAY_MS
    assert (
        result.staircase
        == worked_example.check_many([CheckLine("tea", "ams1", ship_time_ms=day)], with_staircase=True)[0].staircase
    )


def test_check_and_check_many_give_the_same(worked_example, day):
    one = worked_example.check("tea", "ams1", 1, "case", day)
    (many,) = worked_example.check_many([CheckLine("tea", "ams1", 1, "case", day)])
    assert (one.available, one.in_full) == (1, True)
    assert {name: getattr(one, name) for name in one.__match_args__ if name != "engine_time_ms"} == {
        name: getattr(many, name) for name in many.__match_args__ if name != "engine_time_ms"
    }


def test_units_of_measure_round_availability_down_and_refuse_inexact_writes(shop, day):
    shop.set_on_hand("tea", "ams1", 2, unit="case")
    shop.adjust_on_hand("tea", "ams1", -1, "SALE")
    assert shop.check("tea", "ams1").available == 23
    assert shop.check("tea", "ams1", unit="case").available == 1
    assert shop.check("tea", "ams1", unit="half").available == 46
    with pytest.raises(InvalidArgument) as raised:
        shop.reserve([ReserveLine("tea", "ams1", 3, unit="half")])
    assert raised.value.code == "INEXACT_UNIT"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (CheckLine("coffee", "ams1"), "UNKNOWN_ITEM"),
        (CheckLine("tea", "mars"), "UNKNOWN_LOCATION"),
    ],
)
def test_unknown_names_are_not_found(shop, line, code):
    for ask in (lambda: shop.check_many([line]), lambda: shop.check(line.item, line.location)):
        with pytest.raises(NotFound) as raised:
            ask()
        assert raised.value.code == code


def test_an_unknown_unit_is_an_argument_that_makes_no_sense(shop):
    with pytest.raises(InvalidArgument) as raised:
        shop.check("tea", "ams1", 1, "barrel")
    assert raised.value.code == "UNKNOWN_UNIT"


def test_times_out_of_range_are_refused_or_make_no_sense(shop, day):
    past = shop.check("tea", "ams1", ship_time_ms=1)
    assert past.refusal is Refusal.SHIP_TIME_PAST
    with pytest.raises(InvalidArgument):
        shop.check("tea", "ams1", ship_time_ms=-1)
    with pytest.raises((InvalidArgument, OverflowError)):
        shop.check("tea", "ams1", -1)


def test_a_stricter_rule_counts_less(worked_example, day):
    later = day + 6 * DAY_MS
    on_hand = worked_example.check("tea", "ams1", ship_time_ms=later, rule=RuleOverride(on_hand_only=True))
    assert on_hand.available == 2
    buffered = worked_example.check("tea", "ams1", ship_time_ms=later, rule=RuleOverride(extra_buffer=5))
    assert (buffered.available, buffered.hypothetical) == (11, False)
    looser = worked_example.check("tea", "ams1", rule=RuleOverride(statuses=("UNRESTRICTED", "QUALITY")))
    assert looser.hypothetical


def test_a_promise_takes_the_locations_in_their_order(shop, day):
    shop.set_on_hand("tea", "ams2", 5)
    shop.set_on_hand("tea", "rtm1", 50)
    held = shop.promise([PromiseLine("tea", 5, ship_time_ms=day)], locations=("ams1", "ams2", "rtm1"))
    assert [part.location for part in held.lines[0].parts] == ["ams2"]
    more = shop.promise([PromiseLine("tea", 5, ship_time_ms=day)], region="nl")
    assert [part.location for part in more.lines[0].parts] == ["rtm1"]


def test_a_promise_splits_a_line_within_its_limits(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    shop.set_on_hand("tea", "ams2", 5)
    line = [PromiseLine("tea", 8, ship_time_ms=day)]
    whole = shop.promise(line, region="nl")
    assert whole.lines[0].refusal is Refusal.SPLIT_LIMIT
    split = shop.promise(line, region="nl", min_split_quantity=3, sourcing=SourcingPolicy.FEWEST_PACKAGES)
    assert sorted((part.location, part.quantity) for part in split.lines[0].parts) == [("ams1", 5), ("ams2", 3)]
    assert [part.reservation_line for part in split.lines[0].parts] == [0, 1]


def test_fill_policies(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    shop.set_on_hand("rice", "ams1", 100)
    lines = [
        ReserveLine("tea", "ams1", 8, ship_time_ms=day),
        ReserveLine("rice", "ams1", 10, ship_time_ms=day),
    ]
    none = shop.reserve(lines)
    assert (none.outcome, [line.refusal for line in none.lines]) == (
        Outcome.REFUSED,
        [Refusal.INSUFFICIENT_STOCK, Refusal.OTHER_LINE],
    )
    some = shop.reserve(lines, fill=FillPolicy.PARTIAL)
    assert (some.outcome, [line.held_quantity for line in some.lines]) == (Outcome.PARTIAL, [5, 10])
    shop.schedule_receipt("po-1", "tea", "ams1", 10, due_time_ms=day + DAY_MS)
    later = [dataclasses.replace(line, latest_ship_time_ms=day + 2 * DAY_MS) for line in lines]
    complete = shop.reserve(later, fill="SHIP_COMPLETE")
    assert complete.outcome is Outcome.FULL
    assert {part.ship_time_ms for line in complete.lines for part in line.parts} == {day + DAY_MS}


def test_a_reservation_lives_through_its_states(shop, day):
    shop.set_on_hand("tea", "ams1", 20)
    held = shop.reserve(
        [ReserveLine("tea", "ams1", 8, ship_time_ms=day)], order_ref="o-1", customer="ann", segment="web", tier=2
    )
    seen = shop.get_reservation(held.reservation_id)
    assert (seen.state, seen.order_ref, seen.customer, seen.segment, seen.tier) == ("HELD", "o-1", "ann", "web", 2)
    assert seen.expires_at_ms == held.expires_at_ms > 0
    assert seen.revision >= seen.created_revision == held.revision
    extended = shop.extend(held.reservation_id, 3_600_000)
    assert (extended.refusal, extended.expires_at_ms > held.expires_at_ms) == (None, True)
    confirmed = shop.confirm(held.reservation_id)
    assert (confirmed.refusal, confirmed.reacquired) == (None, False)
    assert shop.extend(held.reservation_id, 1_000).refusal is Refusal.WRONG_STATE
    part = shop.fulfil(held.reservation_id, [FulfilLine(0, 3)])
    assert (part.refusal, part.state) == (None, ReservationState.CONFIRMED)
    assert shop.release(held.reservation_id, [ReleaseLine(0, 6)]).refusal is Refusal.OVER_OPEN_QUANTITY
    assert shop.release(held.reservation_id, [ReleaseLine(0, 1)]).state is ReservationState.CONFIRMED
    (line,) = shop.get_reservation(held.reservation_id).lines
    assert (line.open_quantity, line.fulfilled_quantity, line.released_quantity) == (4, 3, 1)
    assert shop.fulfil(held.reservation_id).state is ReservationState.FULFILLED
    assert shop.get_position("tea", "ams1").unrestricted == 13


def test_a_fulfilment_from_elsewhere_takes_its_stock_there(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    shop.set_on_hand("tea", "rtm1", 5)
    held = shop.reserve([ReserveLine("tea", "ams1", 5, ship_time_ms=day)], confirm=True)
    assert held.state is ReservationState.CONFIRMED
    assert shop.fulfil(held.reservation_id, [FulfilLine(0, 5, "rtm1")]).state is ReservationState.FULFILLED
    assert [shop.get_position("tea", at).unrestricted for at in ("ams1", "rtm1")] == [5, 0]


def test_the_same_request_id_gives_the_first_answer_again(shop, day):
    shop.set_on_hand("tea", "ams1", 5)
    own = uuid.uuid4()
    lines = [ReserveLine("tea", "ams1", 5, ship_time_ms=day)]
    first = shop.reserve(lines, request_id=own)
    again = shop.reserve(lines, request_id=str(own))
    assert (first.replayed, again.replayed) == (False, True)
    assert dataclasses.replace(again, replayed=False) == first
    with pytest.raises(RequestIdReused):
        shop.reserve([ReserveLine("tea", "ams1", 4, ship_time_ms=day)], request_id=own)


def test_unknown_reservations_are_not_found(shop):
    for ask in (shop.get_reservation, shop.confirm, shop.fulfil, shop.release):
        with pytest.raises(NotFound) as raised:
            ask(999_999)
        assert raised.value.code == "UNKNOWN_RESERVATION"
