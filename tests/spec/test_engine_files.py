"""An engine with a journal: what was answered is there after it is opened again."""

import threading

import pytest

from bespeak import (
    CheckLine,
    Engine,
    FailedPrecondition,
    InvalidArgument,
    ManualClock,
    OutOfRetention,
    ReserveLine,
    Unavailable,
)
from bespeak._core import journal_restore, journal_verify, journal_verify_backup
from tests.spec.conftest import DAY_MS, stock_shop

NOON = 1_800_000_000_000


def filled(path, clock):
    """An engine with 20 teas, of which a hold has 5."""
    engine = stock_shop(Engine(path, clock=clock, actor="test"))
    engine.set_on_hand("tea", "ams1", 20)
    held = engine.reserve([ReserveLine("tea", "ams1", 5)], expires_in_ms=60_000)
    return engine, held


def test_what_was_answered_is_there_again(tmp_path):
    clock = ManualClock(NOON)
    engine, held = filled(tmp_path / "journal", clock)
    digest = engine.stats(with_digest=True).digest
    engine.close()
    with Engine(tmp_path / "journal", clock=clock) as again:
        assert again.stats(with_digest=True).digest == digest
        assert again.get_reservation(held.reservation_id).state == "HELD"
        assert again.stats().mode == "group"
        clock.advance_ms(60_000)
        assert again.get_position("tea", "ams1").held == 0
    with Engine(tmp_path / "journal", clock=ManualClock(NOON)) as later:
        assert later.check("tea", "ams1").available == 20
        assert later.stats().engine_time_ms >= NOON + 60_000


def test_a_snapshot_shortens_the_next_start_and_changes_nothing(tmp_path):
    clock = ManualClock(NOON)
    engine, _ = filled(tmp_path / "journal", clock)
    made = engine.snapshot()
    assert made.size_bytes > 0
    engine.set_on_hand("rice", "ams1", 7)
    digest = engine.stats(with_digest=True).digest
    engine.close()
    assert journal_verify(tmp_path / "journal")["snapshots"] == [made.revision]
    with Engine(tmp_path / "journal", clock=clock) as again:
        assert again.stats(with_digest=True).digest == digest


def test_as_of_answers_from_the_past(tmp_path):
    clock = ManualClock(NOON)
    engine, held = filled(tmp_path / "journal", clock)
    clock.advance_ms(DAY_MS)
    engine.set_on_hand("tea", "ams1", 2)
    line = [CheckLine("tea", "ams1")]
    assert engine.check_many(line)[0].available == 2
    assert engine.as_of(line, revision=held.revision)[0].available == 15
    assert engine.as_of(line, revision=held.revision - 1)[0].available == 20
    assert engine.as_of(line, time_ms=NOON)[0].available == 15
    with pytest.raises(OutOfRetention):
        engine.as_of(line, revision=10_000)
    with pytest.raises(InvalidArgument):
        engine.as_of(line)
    engine.close()


def test_a_backup_can_be_restored_to_its_end_and_to_an_earlier_moment(tmp_path):
    clock = ManualClock(NOON)
    engine, held = filled(tmp_path / "journal", clock)
    clock.advance_ms(1_000)
    engine.set_on_hand("tea", "ams1", 9)
    made = engine.backup(tmp_path / "backup")
    engine.set_on_hand("tea", "ams1", 1)
    engine.close()
    assert journal_verify_backup(tmp_path / "backup")["revision"] == made.revision
    journal_restore(tmp_path / "backup", tmp_path / "end")
    told = journal_restore(tmp_path / "backup", tmp_path / "earlier", time_ms=NOON)
    assert (told["revision"], told["left_out"] > 0) == (held.revision, True)
    for name, units in (("end", 9), ("earlier", 20)):
        with Engine(tmp_path / name, clock=clock) as restored:
            assert restored.get_position("tea", "ams1").unrestricted == units
    with pytest.raises(InvalidArgument, match="empty"):
        stock_shop(Engine(tmp_path / "other")).backup(tmp_path / "backup")
    with pytest.raises(FailedPrecondition):
        Engine(":memory:").backup(tmp_path / "nothing")


def test_a_journal_is_open_once(tmp_path):
    with Engine(tmp_path / "journal"), pytest.raises(Unavailable, match="open in another process"):
        Engine(tmp_path / "journal")


def test_a_closed_engine_answers_no_more(tmp_path):
    for engine in (Engine(":memory:"), Engine(tmp_path / "journal")):
        stock_shop(engine)
        engine.close()
        engine.close()
        with pytest.raises(Unavailable):
            engine.check("tea", "ams1")
        with pytest.raises(Unavailable):
            engine.set_on_hand("tea", "ams1", 1)


def test_a_hold_expires_at_its_millisecond(tmp_path):
    clock = ManualClock(NOON)
    engine, held = filled(":memory:", clock)
    assert held.expires_at_ms == NOON + 60_000
    clock.set_ms(held.expires_at_ms - 1)
    assert engine.check("tea", "ams1").available == 15
    clock.set_ms(held.expires_at_ms)
    assert engine.check("tea", "ams1").available == 20
    clock.set_ms(NOON)
    assert engine.check("tea", "ams1").engine_time_ms == held.expires_at_ms
    assert engine.confirm(held.reservation_id).reacquired


def test_a_simulated_year_is_no_jump_of_the_clock():
    clock = ManualClock(NOON)
    engine = stock_shop(Engine(":memory:", clock=clock))
    for _ in range(12):
        clock.advance_ms(30 * DAY_MS)
        assert engine.set_on_hand("tea", "ams1", 1).refusal is None
    assert not engine.stats().clock_suspect


def test_limits_of_an_engine_are_its_own():
    engine = stock_shop(Engine(":memory:", default_hold_ms=5_000, max_held_units_per_customer=10))
    engine.set_on_hand("tea", "ams1", 100)
    held = engine.reserve([ReserveLine("tea", "ams1", 10)], customer="ann")
    assert held.expires_at_ms - held.engine_time_ms == 5_000
    refused = engine.reserve([ReserveLine("tea", "ams1", 1)], customer="ann")
    assert refused.lines[0].refusal == "CUSTOMER_LIMIT"
    assert engine.reserve([ReserveLine("tea", "ams1", 1)], customer="bob").outcome == "FULL"


def test_threads_share_an_engine_and_nothing_is_oversold(tmp_path):
    """Each thread waits for the disk without the interpreter, so that their waits are one wait."""
    with Engine(tmp_path / "journal") as engine:
        stock_shop(engine).set_on_hand("tea", "ams1", 100)
        taken: list[int] = []
        gate = threading.Barrier(8)

        def buy():
            gate.wait(30)
            for _ in range(20):
                held = engine.reserve([ReserveLine("tea", "ams1", 1)], confirm=True)
                taken.append(held.lines[0].held_quantity)

        threads = [threading.Thread(target=buy) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(taken), sum(taken)) == (160, 100)
        assert engine.reconcile().oversold_units == 0
