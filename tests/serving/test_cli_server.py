"""`server`, `check` and `reserve` as an operator runs them."""

import json
import signal

import pytest

from bespeak import Client, Item, Location
from tests.serving.cli_process import call, process, run, server


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def address(place):
    """A server with 20 teas at ams1."""
    with server("--memory", cwd=place) as (_, address):
        with Client(address) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("ams1"))
            client.set_on_hand("tea", "ams1", 20)
        yield address


def test_check_says_what_can_be_had(place, address):
    asked = run("check", "tea", "ams1", "--address", address, cwd=place)
    assert asked.returncode == 0, asked.stderr
    assert "tea at ams1: 20 available" in asked.stdout
    assert "yes: 5 of tea at ams1" in call("check", "tea", "ams1", 5, "-a", address, cwd=place).stdout
    short = call("check", "tea", "ams1", 50, "-t", "+1d", "-a", address, cwd=place).stdout
    assert "no: tea at ams1: 20 of 50 available" in short
    assert "never within the horizon" in short


def test_check_prints_json(place, address):
    asked = call("check", "tea", "ams1", 5, "--staircase", "--json", "-a", address, cwd=place)
    answer = json.loads(asked.stdout)
    assert (answer["available"], answer["in_full"], answer["refusal"]) == (20, True, None)
    assert answer["staircase"][0]["available"] == 20


def test_reserve_holds_and_a_refusal_has_status_1(place, address):
    held = run("reserve", "tea", "ams1", 5, "--confirm", "--order-ref", "o-1", "-a", address, "--json", cwd=place)
    answer = json.loads(held.stdout)
    assert (held.returncode, answer["outcome"], answer["state"]) == (0, "FULL", "CONFIRMED")
    with Client(address) as client:
        assert client.get_reservation(answer["reservation_id"]).order_ref == "o-1"
        client.release(answer["reservation_id"])
    refused = call("reserve", "tea", "ams1", 500, "-a", address, cwd=place)
    assert refused.returncode == 1
    assert "500 of tea: INSUFFICIENT_STOCK, 20 available" in refused.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "coffee", "ams1"), "item coffee is not known"),
        (("check", "tea", "ams1", "-t", "tomorrow"), "tomorrow is no time"),
        (("reserve", "tea", "ams1", "1", "--request-id", "x"), "request_id is 'x'"),
    ],
)
def test_errors_are_one_line(place, address, arguments, said):
    failed = call(*arguments, "--address", address, cwd=place)
    assert failed.returncode != 0
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_no_server_is_said_in_one_line(place):
    failed = call("check", "tea", "ams1", "--address", "127.0.0.1:1", cwd=place)
    assert failed.returncode == 1
    assert "[UNAVAILABLE]" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_well(tmp_path, number):
    with server("--memory", cwd=tmp_path) as (running, _):
        assert running.stop(number) == 0
        assert any('"stopped"' in line for line in running.said)


def test_an_address_in_use_is_said(tmp_path, address):
    with process("server", "--memory", "--listen", address, cwd=tmp_path) as second:
        assert second.ended() == 1
        assert f"cannot listen on {address}" in "".join(second.said)
