"""A server in a process of its own, asked through the client, against the same oracle in real time.

Times lie hours ahead, so that none comes while the test runs.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bespeak import Client
from tests.conftest import REPO
from tests.property.machine import PromiseMachine
from tests.property.pair import Pair
from tests.property.seeds import run

START_S_MAX = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_serving(address, process, log):
    deadline = time.monotonic() + START_S_MAX
    with grpc.insecure_channel(address) as channel:
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            # The stream tells how things stand, and then every change.
            watch = health_pb2_grpc.HealthStub(channel).Watch(
                health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=1
            )
            try:
                if any(answer.status == health_pb2.HealthCheckResponse.SERVING for answer in watch):
                    return
            except grpc.RpcError as error:
                assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}, error
    raise AssertionError(f"not serving after {START_S_MAX} s: {log.read_text()}")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    directory = tmp_path_factory.mktemp("property-server")
    (directory / "server.toml").write_text("")
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "serving", "--config", str(directory / "server.toml"), "server"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--listen", listen, "--data", str(directory / "journal")],
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": str(REPO)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_serving(listen, process, directory / "log")
        yield listen
        with Client(listen) as client:
            report = client.reconcile()
        assert (report.oversold_units, report.discrepancies) == (0, ())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.timeout(600)
def test_a_server_answers_as_the_oracle(address):
    client = Client(address)

    class ServerMachine(PromiseMachine):
        SERVER = True

        def open(self):
            return Pair(client, lambda: time.time_ns() // 1_000_000, exact=False)

    with client:
        run(ServerMachine, examples=12, steps=30)
