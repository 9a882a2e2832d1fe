"""An engine in this process and a client of a real server, for tests that must hold for both."""

import json
import time
from collections.abc import Iterator

import pytest

from bespeak import Client, Engine, Item, Location, Region, UnitOfMeasure
from bespeak._core import Server

DAY_MS = 86_400_000

Service = Engine | Client


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A real server in memory on a free port."""
    started = Server(json.dumps({"listen": "127.0.0.1:0"}))
    started.wait_ready(30_000)
    yield started
    started.drain()
    started.wait()


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(":memory:", actor="test") as opened:
        yield opened


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a server of its own: what one test wrote is not there in the next."""
    started = Server(json.dumps({"listen": "127.0.0.1:0"}))
    started.wait_ready(30_000)
    with Client(started.address, actor="test") as opened:
        yield opened
    started.drain()
    started.wait()


@pytest.fixture(params=["engine", "client"])
def service(request: pytest.FixtureRequest) -> Service:
    """Each of the two in turn."""
    chosen: Service = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(scope="session")
def day() -> int:
    """Noon UTC two days from now: day n of a test is `day + n * DAY_MS`."""
    return (int(time.time() * 1000) // DAY_MS + 2) * DAY_MS + DAY_MS // 2


@pytest.fixture
def shop(service: Service) -> Service:
    """A service that knows tea (single, and cases of 12), rice, and three locations."""
    return stock_shop(service)


def stock_shop(service: Service) -> Service:
    service.put_item(Item("tea", "each", (UnitOfMeasure("case", 12), UnitOfMeasure("half", 1, 2))))
    service.put_item(Item("rice", "gram"))
    for name in ("ams1", "ams2", "rtm1"):
        service.put_location(Location(name))
    service.put_region(Region("nl", ("ams1", "ams2", "rtm1")))
    return service
