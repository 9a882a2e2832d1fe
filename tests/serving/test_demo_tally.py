"""The account beside the service: it must find what it is there to find."""

import pytest

from serving.demo.report import quantile
from serving.demo.tally import Part, Short, Tally

TEA, SHOP = ("tea", "shop"), ("tea", "centre")
MORNING, NOON, EVENING = 1_000, 2_000, 3_000


@pytest.fixture
def tally():
    account = Tally()
    account.counted(1, TEA, 10)
    return account


def hold(account, revision, reservation, units, ship=NOON, key=TEA):
    account.held(revision, reservation, [Part(0, key, units, ship)], [])


def test_what_is_there_can_be_promised_once(tally):
    hold(tally, 2, 1, 6)
    hold(tally, 3, 2, 4)
    verdict = tally.settle()
    assert (verdict.promised, verdict.shipped, verdict.oversold) == (10, 0, 0)


def test_a_unit_promised_twice_is_found(tally):
    hold(tally, 2, 1, 6)
    hold(tally, 3, 2, 6)
    assert tally.settle().oversold == 2


def test_the_order_is_the_journals_not_that_of_the_answers(tally):
    hold(tally, 4, 2, 6)
    hold(tally, 2, 1, 6)
    # Between the two promises, though told last.
    tally.counted(3, TEA, 12)
    assert tally.settle().oversold == 0


def test_a_later_promise_binds_an_earlier_shipment(tally):
    tally.expected(2, "po", TEA, 5, NOON)
    hold(tally, 3, 1, 15, EVENING)
    hold(tally, 4, 2, 1, MORNING)
    assert tally.settle().oversold == 1


def test_a_receipt_covers_what_ships_when_it_is_due_and_not_before(tally):
    tally.expected(2, "po", TEA, 5, NOON)
    hold(tally, 3, 1, 15, NOON)
    assert tally.settle().oversold == 0
    early = Tally()
    early.counted(1, TEA, 10)
    early.expected(2, "po", TEA, 5, NOON)
    hold(early, 3, 1, 15, NOON - 1)
    assert early.settle().oversold == 5


def test_a_postponed_receipt_covers_nothing_before_its_new_time(tally):
    tally.expected(2, "po", TEA, 5, NOON)
    tally.postponed(3, "po", EVENING)
    hold(tally, 4, 1, 12, NOON)
    assert tally.settle().oversold == 2


def test_units_move_and_are_kept_account_of(tally):
    tally.sent(2, TEA, "t-1", SHOP, 4, NOON)
    tally.received(3, "t-1", 4)
    hold(tally, 4, 1, 3, key=SHOP)
    tally.left(5, 1)
    verdict = tally.settle()
    assert (verdict.stock[TEA].on_hand, verdict.stock[SHOP].on_hand, verdict.shipped) == (6, 1, 3)
    assert not verdict.stock[SHOP].commitments
    assert not verdict.stock[SHOP].receipts


def test_a_short_delivery_counts_what_came(tally):
    tally.expected(2, "po", TEA, 5, NOON)
    tally.received(3, "po", 3)
    assert tally.settle().stock[TEA].on_hand == 13


@pytest.mark.parametrize(
    ("units", "took_all", "wrong"),
    [(10, False, 1), (11, False, 0), (11, True, 1)],
)
def test_a_wrong_refusal_is_found(tally, units, took_all, wrong):
    tally.refused(1, [Short((TEA,), units, NOON, took_all)])
    assert tally.settle().refused_wrongly == wrong


def test_a_refusal_saw_what_its_revision_saw(tally):
    tally.refused(2, [Short((TEA,), 5, NOON, took_all=False)])
    hold(tally, 2, 1, 8)
    assert tally.settle().refused_wrongly == 0


def test_quantiles_take_the_smallest_value_that_enough_do_not_exceed():
    taken = [n * 1_000_000 for n in range(1, 1_001)]
    assert [quantile(taken, level) for level in (0.5, 0.99, 0.999)] == [500, 990, 999]
    assert quantile([7_000_000], 0.999) == 7
