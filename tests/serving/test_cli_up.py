"""`up` keeps a server and a worker running, and leaves nothing behind."""

import os
import select
import signal
import socket
from pathlib import Path

import pytest

from bespeak import Client, Item, Tls
from tests.serving.cli_process import process, run
from tests.spec.test_client_tls import Authority

# A supervisor whose server never says that it serves.
SLOW = """
import sys
from serving import logs, supervisor
from serving.config_sections import LogSection
logs.set_up(LogSection(), "supervisor")
server = [sys.executable, "-c", "import signal; signal.pause()"]
plan = supervisor.Plan(server, None, "127.0.0.1:7171", say_after_s=0.1)
sys.exit(supervisor.run(plan, lambda: None))
"""


@pytest.fixture
def place(tmp_path):
    """A configuration whose worker starts fast."""
    sockets = tmp_path / "worker.sock"
    (tmp_path / "bespeak.toml").write_text(
        f"""
        [server]
        listen = "127.0.0.1:{free_port()}"
        [worker]
        address = "unix:{sockets}"
        models = ["climatology"]
        """
    )
    return tmp_path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def address_of(place: Path) -> str:
    return next(line.split('"')[1] for line in (place / "bespeak.toml").read_text().splitlines() if "listen" in line)


def is_running(pid: int) -> bool:
    """A process that ended but was not yet waited for has no memory any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    """Blocks until a process that is no child of ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        readable, _, _ = select.select([descriptor], [], [], 30)
    finally:
        os.close(descriptor)
    assert readable, f"process {pid} is still running"


def test_a_killed_worker_is_started_again_and_a_stop_ends_all(place):
    with process("up", "--memory", cwd=place) as up:
        server = up.line("server started")["pid"]
        worker = up.line("worker started")["pid"]
        with Client(address_of(place)) as client:
            client.put_item(Item("tea"))
        os.kill(worker, signal.SIGKILL)
        ended = up.line("worker ended, starting it again")
        assert ended["status"] == -signal.SIGKILL
        again = up.line("worker started")["pid"]
        assert again != worker
        up.line("serving", process="worker")
        with Client(address_of(place)) as client:
            assert client.get_item("tea").item == "tea"
        assert up.stop() == 0
        assert not any(map(is_running, (server, worker, again)))


def test_the_end_of_the_server_ends_all_and_is_told(place):
    with process("up", "--memory", cwd=place) as up:
        server = up.line("server started")["pid"]
        worker = up.line("worker started")["pid"]
        os.kill(server, signal.SIGKILL)
        assert up.line("the server ended, so everything ends")["status"] == -signal.SIGKILL
        assert up.ended() not in (0, None)
        assert not is_running(worker)


def test_nothing_outlives_a_killed_supervisor(place):
    with process("up", "--memory", cwd=place) as up:
        server = up.line("server started")["pid"]
        worker = up.line("worker started")["pid"]
        up.line("serving", process="worker")
        up.process.kill()
        wait_until_gone(server)
        wait_until_gone(worker)


def test_a_free_port_cannot_be_found_by_others(place):
    refused = run("up", "--listen", "127.0.0.1:0", cwd=place)
    assert refused.returncode == 2
    assert "server.listen has port 0" in refused.stderr


def test_a_server_that_lets_in_only_whom_it_knows_gets_its_worker(place):
    authority = Authority(place, "authority")
    certificate, key = authority.issue("server")
    with (place / "bespeak.toml").open("a") as file:
        file.write(
            f"""
            [server.tls]
            certificate = "{certificate}"
            key = "{key}"
            client_authority = "{authority.certificate}"
            """
        )
    with process("up", "--memory", cwd=place) as up:
        up.line("worker started")
        up.line("serving", process="worker")
        with Client(address_of(place), tls=Tls(authority.certificate, *authority.issue("caller"))) as client:
            client.put_item(Item("tea"))
            assert client.get_item("tea").item == "tea"
        assert up.stop() == 0


def test_a_server_that_does_not_serve_is_told_and_can_be_stopped(place):
    with process(cwd=place, program=("-c", SLOW)) as up:
        first = up.line("the server is not serving yet")
        assert first["address"] == "127.0.0.1:7171"
        assert up.line("the server is not serving yet")["after_s"] > first["after_s"]
        assert up.stop() == 0
