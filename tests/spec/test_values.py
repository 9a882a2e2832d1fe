"""Results, errors and request ids as values, without a service."""

import copy
import pickle
import uuid

import pytest

from bespeak import (
    AvailabilityStep,
    BespeakError,
    BindingConstraint,
    CheckLine,
    CheckResult,
    InvalidArgument,
    ManualClock,
    Overloaded,
    PromiseLine,
    Refusal,
    RequestIdReused,
    RuleOverride,
)
from bespeak._codec import build, decode
from bespeak._request_id import as_request_id, new_request_id, new_request_ids
from bespeak.errors import Internal, from_status
from bespeak.results import HoldResult
from bespeak.v1 import promise_pb2 as pb


def result(**changed: object) -> CheckResult:
    fields = {
        "item": "tea",
        "location": "ams1",
        "available": 5,
        "in_full": True,
        "earliest_time_ms": None,
        "staircase": (AvailabilityStep(1, 2), AvailabilityStep(3, 4)),
        "binding": BindingConstraint.LATER_COMMITMENT,
        "binding_time_ms": 9,
        "hypothetical": False,
        "refusal": None,
        "revision": 7,
        "engine_time_ms": 8,
    }
    return CheckResult(**(fields | changed))


def test_a_check_result_gives_back_what_it_was_made_of():
    made = result(refusal=Refusal.SHIP_TIME_PAST)
    assert made.binding is BindingConstraint.LATER_COMMITMENT
    assert made.refusal is Refusal.SHIP_TIME_PAST
    assert made.staircase == (AvailabilityStep(1, 2), AvailabilityStep(3, 4))
    assert made.earliest_time_ms is None
    assert result(refusal=None).refusal is None
    assert "binding=<BindingConstraint.LATER_COMMITMENT" in repr(made)


@pytest.mark.parametrize(
    "change",
    [
        {"item": "rice"},
        {"available": 6},
        {"in_full": False},
        {"earliest_time_ms": 1},
        {"staircase": ()},
        {"binding": None},
        {"refusal": Refusal.LIMIT},
        {"revision": 8},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_check_result_compares_by_value(change):
    assert result() == result()
    assert hash(result()) == hash(result())
    assert result() != result(**change)
    assert result() != "tea"


def test_a_check_result_is_frozen_and_can_be_pickled():
    with pytest.raises(AttributeError):
        result().available = 6  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(result())) == result()
    assert copy.deepcopy(result()) == result()
    match result():
        case CheckResult(item="tea", available=available):
            assert available == 5
        case other:
            pytest.fail(f"no match for {other}")


def test_an_unknown_word_is_refused_by_a_check_result():
    with pytest.raises(ValueError, match="has no member PERHAPS"):
        result(refusal="PERHAPS")


def test_a_clock_stands_still_until_it_is_moved():
    clock = ManualClock(1_000)
    assert clock.advance_ms(500) == clock.now_ms == 1_500
    clock.set_ms(20)
    assert clock.now_ms == 20
    with pytest.raises(ValueError, match="now_ms is -1"):
        clock.set_ms(-1)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lines": "tea"}, "lines is 'tea': give a list or tuple"),
        ({"lines": [CheckLine("tea", "ams1")]}, "lines is"),
        ({"lines": ["tea"]}, "give a PromiseLine"),
        ({"fill": "SOME"}, "fill is 'SOME': use one of ALL_OR_NONE, PARTIAL, SHIP_COMPLETE"),
        ({"tier": -1}, "tier is -1"),
        ({"tier": "gold"}, "tier is 'gold'"),
        ({"max_packages": 1 << 32}, "max_packages is 4294967296"),
        ({"locations": [1]}, "locations is"),
        ({"rule": RuleOverride(statuses=("GONE",))}, "statuses is"),
        ({"order_ref": None, "customer": 5}, "customer is 5"),
    ],
)
def test_arguments_that_make_no_sense_are_named(fields, said):
    with pytest.raises(InvalidArgument) as raised:
        build(pb.PromiseRequest, **fields)
    assert said in str(raised.value)
    assert raised.value.code == "INVALID_ARGUMENT"


def test_lines_may_come_from_any_iterable():
    built = build(pb.PromiseRequest, lines=(PromiseLine("tea", n) for n in (1, 2)), locations={"ams1": 0})
    assert [line.quantity for line in built.lines] == [1, 2]
    assert list(built.locations) == ["ams1"]


def test_an_enum_value_of_a_newer_server_is_not_taken_for_none():
    with pytest.raises(BespeakError, match="Outcome 99 is not known to this version"):
        decode(HoldResult, pb.PromiseResponse(outcome=99))


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [(8, "OVERLOADED", Overloaded), (6, "REQUEST_ID_REUSED", RequestIdReused), (2, "X", Internal), (99, "X", Internal)],
)
def test_errors_are_told_apart_by_status(status, code, cls):
    error = from_status(status, code, "what happened", 50)
    assert type(error) is cls
    assert (error.code, error.message, error.retry_after_ms) == (code, "what happened", 50)
    assert str(error) == f"what happened [{code}]"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.code, again.retry_after_ms) == (cls, code, 50)


def test_new_request_ids_carry_their_time():
    made = uuid.UUID(new_request_id(1_700_000_000_123))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 1_700_000_000_123
    assert new_request_id(1) != new_request_id(1)


def test_new_request_ids_rise_within_a_millisecond():
    ids = bytes(new_request_ids(1_000, 1_700_000_000_123)) + bytes(new_request_ids(1, 1_700_000_000_123))
    made = [uuid.UUID(bytes=ids[at : at + 16]) for at in range(0, len(ids), 16)]
    assert made == sorted(set(made))
    assert {(one.version, one.variant, one.int >> 80) for one in made} == {(7, uuid.RFC_4122, 1_700_000_000_123)}


def test_given_request_ids_must_be_uuids():
    given = uuid.uuid4()
    assert as_request_id(given) == as_request_id(str(given).upper()) == str(given)
    for wrong in ("order-1", "", 7):
        with pytest.raises(InvalidArgument, match="request_id is"):
            as_request_id(wrong)
