"""How a server ends: well when it is told to, and at once when its disk fails; no acknowledged answer is lost."""

import os
import shlex
import signal
import socket
import subprocess
import sysconfig
import threading
import uuid
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bespeak import Client, DeadlineExceeded, Item, Location, ReserveLine, Unavailable
from bespeak.v1 import forecast_pb2, forecast_pb2_grpc
from tests.serving.cli_process import server
from tests.serving.worker_process import as_ipc, history

LIFE_MS = 6 * 24 * 3_600_000
STOCK = 100_000
STATUS = health_pb2.HealthCheckResponse


class Shopper(threading.Thread):
    """Reserves one unit after the other until the server is gone."""

    def __init__(self, address, started):
        super().__init__()
        self.client = Client(address, timeout_ms=20_000)
        self.started = started
        self.acknowledged = {}
        self.unanswered = None

    def run(self):
        while True:
            request_id = uuid.uuid4()
            try:
                answer = self.reserve(self.client, request_id)
            except (Unavailable, DeadlineExceeded):
                self.unanswered = request_id
                return
            assert answer.outcome == "FULL"
            self.acknowledged[answer.reservation_id] = request_id
            self.started.release()

    @staticmethod
    def reserve(client, request_id):
        return client.reserve([ReserveLine("tea", "ams1", 1)], expires_in_ms=LIFE_MS, request_id=request_id)


def shop(address, shoppers, answers):
    """Shoppers at work, once they have these many answers together."""
    with Client(address) as client:
        client.put_item(Item("tea"))
        client.put_location(Location("ams1"))
        client.set_on_hand("tea", "ams1", STOCK)
    started = threading.Semaphore(0)
    threads = [Shopper(address, started) for _ in range(shoppers)]
    for thread in threads:
        thread.start()
    for _ in range(answers):
        assert started.acquire(timeout=30)
    return threads


def gone(threads):
    """Waits until every shopper has seen the end."""
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a call neither ended nor failed"
        thread.client.close()


def assert_kept(directory, threads):
    """A restarted server has all that was acknowledged, and answers what was not."""
    with server("--data", directory, cwd=directory.parent) as (_, address), Client(address) as client:
        for thread in threads:
            for reservation_id, request_id in thread.acknowledged.items():
                assert client.get_reservation(reservation_id).state == "HELD"
                again = thread.reserve(client, request_id)
                assert (again.reservation_id, again.replayed) == (reservation_id, True)
            assert thread.reserve(client, thread.unanswered).outcome == "FULL"
        held = sum(len(thread.acknowledged) + 1 for thread in threads)
        position = client.get_position("tea", "ams1")
        assert (position.unrestricted, position.held) == (STOCK, held)
        proof = client.reconcile()
        assert (proof.oversold_units, proof.discrepancies) == (0, ())


def test_sigterm_lets_calls_finish_and_keeps_what_was_answered(tmp_path):
    # A worker that takes the call and says nothing keeps a forecast in flight for as long as the server is patient.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "bespeak.toml").write_text(
            f"""
            [server.compute]
            address = "http://127.0.0.1:{silent.getsockname()[1]}"
            timeout_ms = 1500
            """
        )
        with (
            server("--data", tmp_path / "journal", cwd=tmp_path) as (running, address),
            grpc.insecure_channel(address) as channel,
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(watch).status == STATUS.SERVING
            threads = shop(address, shoppers=4, answers=50)
            request = forecast_pb2.ForecastRequest(context=as_ipc(history(2)), horizon=7)
            call = forecast_pb2_grpc.ForecastServiceStub(channel).Forecast.future(request, timeout=60)
            taken, _ = silent.accept()
            assert not call.done()
            running.process.send_signal(signal.SIGTERM)
            assert next(watch).status == STATUS.NOT_SERVING
            answer = call.result()
            assert (answer.fallback, answer.made_by) == (True, "climatology@1")
            assert running.ended() == 0
            taken.close()
    gone(threads)
    assert sum(len(thread.acknowledged) for thread in threads) >= 50
    assert_kept(tmp_path / "journal", threads)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that makes a disk fail, compiled."""
    built = tmp_path_factory.mktemp("shim") / "failing_disk.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    source = Path(__file__).with_name("failing_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", built, source], check=True)
    return built


@pytest.mark.parametrize(("fault", "said"), [("sync", "Input/output error"), ("write", "No space left on device")])
def test_a_failing_disk_ends_the_server_with_its_name_and_no_answer(tmp_path, shim, fault, said):
    trigger = tmp_path / "fails"
    env = {"LD_PRELOAD": str(shim), "DISK_FAILS": str(trigger)}
    with server("--data", tmp_path / "journal", cwd=tmp_path, env=env) as (running, address):
        threads = shop(address, shoppers=4, answers=50)
        (tmp_path / "new").write_text(fault)
        (tmp_path / "new").rename(trigger)
        gone(threads)
        assert running.ended() == 1
        told = "".join(running.said)
    assert "the journal stopped" in told
    assert said in told
    assert "look at the disk" in told
    assert "Traceback" not in told
    assert_kept(tmp_path / "journal", threads)


@pytest.mark.parametrize("fault", ["sync", "write"])
def test_what_the_disk_did_not_take_is_never_acknowledged(tmp_path, shim, fault):
    trigger = tmp_path / "fails"
    env = {"LD_PRELOAD": str(shim), "DISK_FAILS": str(trigger)}
    with server("--data", tmp_path / "journal", cwd=tmp_path, env=env) as (running, address), Client(address) as client:
        client.put_item(Item("tea"))
        client.put_location(Location("ams1"))
        client.set_on_hand("tea", "ams1", STOCK)
        (tmp_path / "new").write_text(fault)
        (tmp_path / "new").rename(trigger)
        with pytest.raises(Unavailable):
            Shopper.reserve(client, uuid.uuid4())
        assert running.ended() == 1
        with pytest.raises(Unavailable):
            client.check("tea", "ams1")
