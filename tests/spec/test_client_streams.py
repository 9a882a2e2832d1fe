"""Sessions and watches of the client, against a real server."""

import os
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from bespeak import (
    AvailabilityChange,
    BespeakError,
    Client,
    FulfilLine,
    InvalidArgument,
    NotFound,
    PromiseLine,
    ReleaseLine,
    ReserveLine,
    Unavailable,
)
from tests.serving.cli_process import process
from tests.spec.conftest import stock_shop
from tests.spec.test_engine_and_client import told


def day_of_orders(caller, day):
    """One of each step, refusals and errors included."""

    def ask(method, *arguments, **options):
        try:
            return told(getattr(caller, method)(*arguments, **options))
        except BespeakError as error:
            return told(error)

    twice = uuid.UUID(int=7 << 100)
    yield ask("check", "tea", "ams1", 3, ship_time_ms=day, with_staircase=True)
    yield ask("check_many", ())
    yield ask("check", "coffee", "ams1")
    yield ask(
        "reserve", [ReserveLine("tea", "ams1", 4, ship_time_ms=day)], request_id=twice, order_ref="a", confirm=True
    )
    yield ask(
        "reserve", [ReserveLine("tea", "ams1", 4, ship_time_ms=day)], request_id=twice, order_ref="a", confirm=True
    )
    yield ask("reserve", [ReserveLine("tea", "ams1", 5)], request_id=twice)
    yield ask("reserve", [ReserveLine("tea", "ams1", 400, ship_time_ms=day)])
    yield ask("promise", [PromiseLine("tea", 6, ship_time_ms=day)], locations=["ams2", "ams1"])
    yield ask("confirm", 2)
    yield ask("confirm", 99)
    yield ask("fulfil", 1, [FulfilLine(0, 3)])
    yield ask("release", 1, [ReleaseLine(0, 1)])
    yield ask("release", 2)


def stocked(client):
    stock_shop(client).set_on_hand("tea", "ams1", 20)
    return client


def test_a_session_answers_as_single_calls_do(client, tmp_path, day):
    arguments = ["--listen", "127.0.0.1:0", "--data", tmp_path / "other"]
    with process("server", *arguments, cwd=tmp_path) as other:
        address = other.line("listening")["address"]
        other.line("serving")
        with Client(address, actor="test") as second, stocked(client).session() as session:
            assert list(day_of_orders(session, day)) == list(day_of_orders(stocked(second), day))
        assert other.stop() == 0


def test_threads_that_share_a_session_get_each_their_own_answers(client):
    stocked(client)
    with client.session() as session, ThreadPoolExecutor(8) as pool:
        held = list(
            pool.map(lambda n: (n, session.reserve([ReserveLine("tea", "ams1", 1)], order_ref=str(n))), range(30))
        )
        found = [n for n, each in held if each.reservation_id]
        assert len(found) == 20
        for n, each in held:
            if each.reservation_id:
                assert client.get_reservation(each.reservation_id).order_ref == str(n)


def test_a_closed_session_says_so_and_leaves_the_client_working(client):
    stocked(client)
    with client.session() as session:
        assert session.check("tea", "ams1").available == 20
    with pytest.raises(Unavailable, match="the session is closed"):
        session.check("tea", "ams1")
    assert client.check("tea", "ams1").available == 20


def test_a_server_that_is_killed_is_told_to_every_thread_that_waits(tmp_path):
    arguments = ["--listen", "127.0.0.1:0", "--data", tmp_path / "journal"]
    with process("server", *arguments, cwd=tmp_path) as running:
        address = running.line("listening")["address"]
        running.line("serving")
        with Client(address) as client, stocked(client).session() as session, ThreadPoolExecutor(4) as pool:
            begun = threading.Barrier(5)

            def until_it_ends(_):
                session.check("tea", "ams1")
                begun.wait()
                try:
                    while True:
                        session.check("tea", "ams1")
                except Unavailable as ended:
                    return ended.code

            ends = [pool.submit(until_it_ends, n) for n in range(4)]
            begun.wait()
            os.kill(running.process.pid, signal.SIGKILL)
            assert {each.result() for each in ends} == {"UNAVAILABLE"}
            running.process.wait(30)


def test_a_watch_tells_what_changes_as_it_does(client):
    stocked(client)
    with client.watch_availability(items=["tea"]) as changes:
        client.reserve([ReserveLine("tea", "ams1", 5)])
        first = next(changes)
        client.set_on_hand("rice", "ams1", 7)
        answer = client.set_on_hand("tea", "rtm1", 3)
        assert next(change for change in changes if change.location == "rtm1") == AvailabilityChange(
            "tea", "rtm1", 3, answer.revision, resync=False
        )
    assert (first.item, first.location, first.available, first.resync) == ("tea", "ams1", 15, False)
    assert list(changes) == []


@pytest.mark.parametrize(
    ("narrowed", "error"), [({"items": ["coffee"]}, NotFound), ({"items": [""]}, (NotFound, InvalidArgument))]
)
def test_a_watch_of_what_is_not_known_is_refused(client, narrowed, error):
    with client.watch_availability(**narrowed) as changes, pytest.raises(error):
        next(changes)
