"""The same calls on the embedded engine and over the network give the same results, field by field."""

import dataclasses
import uuid

import pyarrow as pa

from bespeak import (
    AvailabilityStep,
    BespeakError,
    CheckLine,
    CheckResult,
    FulfilLine,
    PromiseLine,
    ReleaseLine,
    ReserveLine,
    RuleOverride,
    SourceSequence,
    SupplyRule,
)
from tests.spec.conftest import DAY_MS, stock_shop

# What the clock decides, and where each process stands.
OWN = {
    "created_at_ms",
    "digest",
    "durable_revision",
    "engine_time_ms",
    "epoch",
    "expires_at_ms",
    "from_time_ms",
    "raised_at_ms",
    "revision",
    "created_revision",
}


def told(value):
    """Returns a result as plain values, less what differs from process to process."""
    if isinstance(value, BespeakError):
        return (type(value).__name__, value.code, value.message, value.retry_after_ms)
    if isinstance(value, (CheckResult, AvailabilityStep)):
        return {name: told(getattr(value, name)) for name in value.__match_args__ if name not in OWN}
    if dataclasses.is_dataclass(value):
        fields = {field.name: told(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return (type(value).__name__, {name: each for name, each in fields.items() if name not in OWN})
    if isinstance(value, pa.Table):
        return [{name: each for name, each in row.items() if name not in OWN} for row in value.to_pylist()]
    if isinstance(value, (tuple, list)):
        return [told(each) for each in value]
    return value


def script(service, day):
    """Yields (what was asked, what was answered) of one long day."""

    def ask(method, *arguments, **options):
        try:
            answer = getattr(service, method)(*arguments, **options)
        except BespeakError as error:
            answer = error
        return method, told(answer)

    ids = [uuid.UUID(int=0x0190_0000_0000_4000_8000_0000_0000_0000 + n) for n in range(9)]
    tea = [PromiseLine("tea", 8, ship_time_ms=day)]
    yield ask("set_on_hand", "tea", "ams1", 20)
    yield ask("set_on_hand", "tea", "ams2", 1, unit="case")
    yield ask("set_on_hand", "tea", "ams1", 20, expected_version=99)
    yield ask("set_on_hand", "coffee", "ams1", 1)
    yield ask("set_on_hand", "tea", "ams1", 1, unit="barrel")
    yield ask("schedule_receipt", "po-1", "tea", "ams1", 10, due_time_ms=day + DAY_MS)
    yield ask("schedule_receipt", "po-1", "tea", "ams1", 10, due_time_ms=day)
    yield ask("adjust_on_hand", "tea", "ams1", -2, "DAMAGE", source=SourceSequence("wms", 3))
    yield ask("adjust_on_hand", "tea", "ams1", -2, "DAMAGE", source=SourceSequence("wms", 3))
    yield ask("move_status", "tea", "ams1", 1, "UNRESTRICTED", "BLOCKED")
    yield ask("put_buffer", "tea", "ams2", 2)
    yield ask("put_rule", SupplyRule(horizon_ms=30 * DAY_MS), "rtm1")
    yield ask("check", "tea", "ams1", 30, ship_time_ms=day, with_staircase=True)
    yield ask("check", "tea", "ams1", 1, "case", day, rule=RuleOverride(extra_buffer=3))
    yield ask("check_many", [CheckLine("tea", place, 3, ship_time_ms=day) for place in ("ams1", "ams2", "rtm1")])
    yield ask("check_many", [])
    yield ask("check", "tea", "rtm1", ship_time_ms=day + 90 * DAY_MS)
    yield ask("check", "tea", "ams1", ship_time_ms=7)
    yield ask("explain", tea, region="nl", min_split_quantity=2)
    yield ask("promise", tea, region="nl", order_ref="o-1", customer="ann", request_id=ids[0])
    yield ask("promise", tea, region="nl", order_ref="o-1", customer="ann", request_id=ids[0])
    yield ask("promise", tea, region="nl", order_ref="o-2", request_id=ids[0])
    yield ask(
        "promise",
        [PromiseLine("tea", 500, ship_time_ms=day)],
        locations=["ams1", "ams2"],
        fill="PARTIAL",
        request_id=ids[1],
    )
    yield ask("promise", tea, locations=["mars"])
    yield ask("promise", tea)
    yield ask("reserve", [ReserveLine("tea", "ams2", 5, ship_time_ms=day)], confirm=True, tier=3, segment="web")
    yield ask("reserve", [ReserveLine("tea", "ams2", 0)])
    yield ask("extend", 1, 3_600_000)
    yield ask("confirm", 1, request_id=ids[2])
    yield ask("confirm", 1, request_id=ids[2])
    yield ask("fulfil", 1, [FulfilLine(0, 3)])
    yield ask("fulfil", 1, [FulfilLine(9, 3)])
    yield ask("release", 1, [ReleaseLine(0, 2)])
    yield ask("release", 1, [ReleaseLine(0, 999)])
    yield ask("get_reservation", 1)
    yield ask("get_reservation", 999)
    yield ask("cancel_receipt", "po-1")
    yield ask("receive", "po-1", 3)
    yield ask("transfer", "tea", "ams1", "rtm1", 1, "to-1", day + DAY_MS)
    yield ask("return_stock", "tea", "ams1", 1, reservation_id=1)
    yield ask("adjust_on_hand", "tea", "ams2", -12, "LOSS")
    yield ask("list_shocks")
    yield ask("get_position", "tea", "ams1")
    yield ask("get_position", "tea", "rtm1")
    yield ask("check_region", "nl", ["tea", "rice"], 2)
    yield ask("check_region", "nl", ["tea"], 1_000)
    yield ask("unmet_demand", "tea")
    yield ask("report_availability", "tea", "ams1", "DISCRETE", from_time_ms=day - DAY_MS, buckets=4)
    yield ask("get_item", "tea")
    yield ask("get_location", "rtm1")
    yield ask("list_regions")
    yield ask("list_lanes")
    lines = {"item": ["tea", "tea", "coffee"], "location": ["ams1", "mars", "ams1"], "quantity": [1, 1, 1]}
    yield ask("check_table", pa.table({**lines, "ship_time_ms": [day] * 3}))
    yield ask("check_table", pa.table({"item": ["tea"]}))
    identified = {**lines, "request_id": [str(each) for each in ids[3:6]], "ship_time_ms": [day] * 3}
    yield ask("reserve_table", pa.table(identified))
    yield ask("reserve_table", pa.table(identified))
    events = {"event": ["set_on_hand", "adjust_on_hand", "fly"], "reason": [None, "SALE", None], **lines}
    yield ask("supply_table", pa.table({**events, "quantity": [4, -1, 1], "location": ["ams1"] * 3}))
    yield ask("positions_table")
    yield ask("positions_table", "mars")
    yield ask("reservations_table", "ams2")
    yield ask("unmet_table")
    yield ask("stats")
    yield ask("reconcile")
    yield ask("as_of", [CheckLine("tea", "ams1")], revision=1 << 40)


def test_a_day_of_calls_gives_the_same_on_both(engine, client, day):
    embedded = list(script(stock_shop(engine), day))
    remote = list(script(stock_shop(client), day))
    assert len(embedded) == len(remote) > 60
    for ours, theirs in zip(embedded, remote, strict=True):
        assert ours == theirs
    raised = {answer[0] for _, answer in embedded if isinstance(answer, tuple)}
    assert {"InvalidArgument", "NotFound", "AlreadyExists", "RequestIdReused", "HoldResult"} <= raised
    assert not raised & {"Internal", "Unimplemented", "Unavailable"}
