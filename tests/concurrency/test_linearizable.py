"""Reserve, release and check on one hot position behave as if they came one at a time."""

import itertools
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bespeak import Client, Engine, Item, Location, ReserveLine
from bespeak._core import Server
from tests.concurrency.checker import Operation, is_linearizable

HISTORIES = 120
THREADS = 4
CALLS = 6
STOCK = 10


def op(kind, quantity, held, available, began, ended):
    return Operation(kind, quantity, held, available, began, ended)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([op("reserve", 6, True, None, 0, 9), op("check", 0, False, 10, 1, 2)], True),
        ([op("reserve", 6, True, None, 0, 9), op("check", 0, False, 4, 1, 2)], True),
        ([op("reserve", 6, True, None, 0, 1), op("check", 0, False, 10, 2, 3)], False),
        ([op("reserve", 6, True, None, 0, 9), op("reserve", 6, True, None, 0, 9)], False),
        (
            [op("reserve", 6, True, None, 0, 3), op("release", 6, False, None, 4, 5), op("check", 0, False, 4, 6, 7)],
            False,
        ),
        ([op("reserve", 11, False, 10, 0, 9), op("reserve", 3, True, None, 0, 9)], True),
        ([op("reserve", 5, False, 10, 0, 9)], False),
        ([op("reserve", 6, True, None, 0, 1), op("check", 0, False, 4, 2, 3), op("check", 0, False, 10, 4, 5)], False),
    ],
)
def test_the_checker_knows_right_from_wrong(history, verdict):
    assert is_linearizable(history, STOCK) is verdict


def record(api, item, dice):
    """One client's calls, as it saw them."""
    history, mine = [], []
    for _ in range(CALLS):
        choice = dice.random()
        if choice < 0.25:
            began = time.monotonic_ns()
            answer = api.check(item, "ams1")
            history.append(op("check", 0, False, answer.available, began, time.monotonic_ns()))
        elif choice < 0.5 and mine:
            reservation, quantity = mine.pop(dice.randrange(len(mine)))
            began = time.monotonic_ns()
            answer = api.release(reservation)
            ended = time.monotonic_ns()
            assert answer.refusal is None, answer
            history.append(op("release", quantity, False, None, began, ended))
        else:
            quantity = dice.randint(1, 6)
            began = time.monotonic_ns()
            answer = api.reserve([ReserveLine(item, "ams1", quantity)])
            ended = time.monotonic_ns()
            held = answer.reservation_id != 0
            available = None if held else answer.lines[0].available
            history.append(op("reserve", quantity, held, available, began, ended))
            if held:
                mine.append((answer.reservation_id, quantity))
    return history


def check_histories(apis, seed):
    print(f"seed {seed}")
    dice = random.Random(seed)
    apis[0].put_location(Location("ams1"))
    overlapping = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(HISTORIES):
            item = f"hot-{number}"
            apis[0].put_item(Item(item))
            apis[0].set_on_hand(item, "ams1", STOCK)
            together = threading.Barrier(THREADS)

            def client(api, seed, item=item, together=together):
                together.wait()
                return record(api, item, random.Random(seed))

            calls = [pool.submit(client, api, dice.random()) for api in apis]
            parts = [call.result() for call in calls]
            history = [operation for part in parts for operation in part]
            assert is_linearizable(history, STOCK), (number, history)
            spans = sorted((operation.began_ns, operation.ended_ns) for operation in history)
            overlapping += any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))
    # Histories without concurrency would prove nothing.
    assert overlapping > HISTORIES // 2, f"only {overlapping} of {HISTORIES} histories have calls at the same time"


def test_a_server_is_linearizable(tmp_path):
    settings = {
        "listen": "127.0.0.1:0",
        "metrics_listen": None,
        "journal": {"mode": "group", "path": str(tmp_path / "journal")},
    }
    server = Server(json.dumps(settings))
    clients = []
    try:
        server.wait_ready(30_000)
        clients = [Client(server.address) for _ in range(THREADS)]
        check_histories(clients, seed=20_261_122)
    finally:
        for client in clients:
            client.close()
        server.drain()
        server.wait()


def test_an_embedded_engine_is_linearizable(tmp_path):
    with Engine(tmp_path / "journal") as engine:
        check_histories([engine] * THREADS, seed=20_261_123)
