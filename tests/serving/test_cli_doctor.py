"""`doctor` sees what would keep a server from working."""

import json
import socket

import pytest

from serving.config import load
from serving.doctor import Level, examine, file_system
from tests.serving.cli_process import run


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def found(**options):
    keys = {name.replace("__", "."): value for name, value in options.items()}
    ports = {"server.listen": "127.0.0.1:0", "worker.address": "127.0.0.1:0"}
    return {finding.check: finding for finding in examine(load(options=ports | keys).config)}


def test_a_fit_machine_has_no_failure(tmp_path):
    findings = found(server__journal__path=str(tmp_path / "not" / "yet"))
    assert [finding for finding in findings.values() if finding.level is Level.FAIL] == []
    assert "a durable write takes" in findings["disk sync"].message
    assert {"python", "bespeak", "grpcio", "pyarrow", "clock", "disk space"} <= findings.keys()
    assert list(tmp_path.iterdir()) == []


def test_memory_is_told():
    assert found(server__journal__mode="memory")["data"].level is Level.WARN


def test_a_taken_port_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finding = found(server__listen=address)["server.listen"]
    assert finding.level is Level.FAIL
    assert address in finding.message


def test_a_file_in_the_place_of_the_journal_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert found(server__journal__path=str(tmp_path / "file"))["data"].level is Level.FAIL


def test_file_systems_are_told_apart(tmp_path):
    assert file_system(tmp_path) != "unknown"
    assert file_system(tmp_path / "x") == file_system(tmp_path)
    assert file_system(tmp_path.__class__("/proc/self")) == "proc"


def test_the_command_leaves_with_its_verdict(tmp_path):
    (tmp_path / "bespeak.toml").write_text('[server]\nlisten = "127.0.0.1:0"\n[worker]\naddress = "127.0.0.1:0"\n')
    ran = run("doctor", "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout
    levels = {finding["check"]: finding["level"] for finding in json.loads(ran.stdout)}
    assert levels["python"] == "ok"
    (tmp_path / "bespeak-data").write_text("")
    assert run("doctor", cwd=tmp_path).returncode == 1
