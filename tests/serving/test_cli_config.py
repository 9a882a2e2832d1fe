"""Configuration: where values come from, and how mistakes are told."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from serving.config import ConfigError, load
from serving.config_keys import leaves
from serving.config_sections import ServerSection
from serving.worker_config import WorkerConfig


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    """No file and no environment of whoever runs the tests."""
    import os

    for name in [name for name in os.environ if name.startswith("BESPEAK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "given.toml"
    file.write_text(text)
    return file


def test_what_is_set_later_wins(tmp_path, monkeypatch):
    file = written(
        tmp_path,
        """
        [server]
        listen = "127.0.0.1:1"
        drain_ms = 1
        [server.limits]
        in_flight = 11
        open_streams = 12
        """,
    )
    monkeypatch.setenv("BESPEAK_SERVER__LIMITS__IN_FLIGHT", "21")
    monkeypatch.setenv("BESPEAK_SERVER__DRAIN_MS", "22")
    loaded = load(file, {"server.drain_ms": 32, "server.metrics_listen": None})
    server = loaded.config.server
    assert (server.listen, server.limits.in_flight, server.limits.open_streams) == ("127.0.0.1:1", 21, 12)
    assert (server.drain_ms, server.limits.connections) == (32, 4_096)
    assert loaded.origins == {
        "server.listen": f"the file {file}",
        "server.limits.open_streams": f"the file {file}",
        "server.limits.in_flight": "the environment",
        "server.drain_ms": "an option",
    }


def test_a_file_is_found_by_name_and_by_environment(tmp_path, monkeypatch):
    Path("bespeak.toml").write_text('[log]\nlevel = "debug"\n')
    assert load().config.log.level == "debug"
    monkeypatch.setenv("BESPEAK_CONFIG", str(written(tmp_path, '[log]\nlevel = "warn"\n')))
    assert load().config.log.level == "warn"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nlisen = 1", "unknown key server.lisen: did you mean server.listen?"),
        ("[sever]", "unknown key sever: did you mean server?"),
        ("[server]\nin_flight = 1", "unknown key server.in_flight: did you mean server.limits.in_flight?"),
        ("[worker]\ncall_max = 1", "unknown key worker.call_max: did you mean worker.calls_max?"),
        ("[log]\nzzz = 1", "unknown key log.zzz: use one of log.level, log.format"),
        ("[server]\ndrain_ms = 'soon'", "server.drain_ms is 'soon': input should be a valid integer"),
        ("[server.compute]\ntimeout_ms = 1", "server.compute.address is missing"),
        ("[server.journal]\nmode = 'fast'", "server.journal.mode is 'fast': input should be 'memory' or 'group'"),
        (
            "[server.limits]\nin_flight = 0",
            "server.limits.in_flight is 0: input should be greater than or equal to 1",
        ),
        (
            "[server.engine]\ndefault_hold_ms = -1",
            "server.engine.default_hold_ms is -1: input should be greater than or equal to 0",
        ),
        (
            "[server.compute]\naddress = '127.0.0.1:7430'",
            "server.compute.address is '127.0.0.1:7430': give http://host:port or unix:/path",
        ),
        (
            "[server.compute]\naddress = 'https://127.0.0.1:7430'",
            "server.compute.address is 'https://127.0.0.1:7430': give http://host:port or unix:/path",
        ),
        ("[worker]\naddress = '10.0.0.1:1'", "worker: address '10.0.0.1:1' can be reached from other machines"),
        ("[server", "is not TOML"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, said):
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)


def test_every_mistake_is_named_at_once(tmp_path):
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, "[server]\nlisen = 1\n[worker]\ncall_max = 1\n"))
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BESPEAK_SERVER__LISEN", "1", "unknown key BESPEAK_SERVER__LISEN: did you mean BESPEAK_SERVER__LISTEN?"),
        ("BESPEAK_LISTEN", "1", "unknown key BESPEAK_LISTEN: did you mean BESPEAK_SERVER__LISTEN?"),
        ("BESPEAK_SERVER__DRAIN_MS", "soon", "server.drain_ms is 'soon': input should be a valid integer"),
        ("BESPEAK_WORKER__MODELS", "climatology", "the environment cannot be read"),
    ],
)
def test_mistakes_in_the_environment_are_named(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        load()
    assert said in str(raised.value)
    assert "environment" in str(raised.value)


def test_what_model_commands_take_from_the_environment_sets_nothing_here(monkeypatch):
    monkeypatch.setenv("BESPEAK_WORKER", "127.0.0.1:7430")
    monkeypatch.setenv("BESPEAK_MODEL_REGISTRY", "registry/")
    monkeypatch.setenv("BESPEAK_WORKER__MODELS", '["climatology"]')
    loaded = load()
    assert loaded.origins == {"worker.models": "the environment"}
    assert loaded.config.worker.models == ("climatology",)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*gone\.toml"):
        load(tmp_path / "gone.toml")


def test_the_worker_gets_its_own_configuration():
    assert isinstance(load().config.worker, WorkerConfig)
    assert load(options={"worker.models": ["climatology"]}).config.worker.models == ("climatology",)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_config_prints_a_file_that_gives_the_same_again(tmp_path, repo, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(repo))
    file = written(tmp_path, '[server]\nlisten = "127.0.0.1:1"\n[server.limits]\nin_flight = 3\n')
    printed = run("--config", str(file), "config")
    assert printed.returncode == 0, printed.stderr
    assert f'listen = "127.0.0.1:1"  # from the file {file}' in printed.stdout
    again = tmp_path / "again.toml"
    again.write_text(printed.stdout)
    assert load(again).config == load(file).config
    changed = run("--config", str(file), "config", "--changed")
    assert tomllib.loads(changed.stdout) == {"server": {"listen": "127.0.0.1:1", "limits": {"in_flight": 3}}}
    as_json = json.loads(run("--config", str(file), "config", "--json").stdout)
    assert as_json["server"]["limits"]["in_flight"] == 3


def test_a_wrong_configuration_ends_a_command_with_status_2(tmp_path, repo, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(repo))
    ended = run("--config", str(written(tmp_path, "[sever]")), "server")
    assert ended.returncode == 2
    assert "error: unknown key sever: did you mean server?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_key_of_the_server_is_one_that_the_server_knows():
    """The server reads its table as JSON and refuses keys that it does not know."""
    from bespeak import FailedPrecondition
    from bespeak._core import Server

    everything = ServerSection.model_validate(
        {
            "listen": "127.0.0.1:0",
            "journal": {"mode": "memory", "path": None},
            "compute": {"address": "http://127.0.0.1:1"},
            "traces": None,
            "tls": {"certificate": "none.pem", "key": "none.pem", "client_authority": "none.pem"},
        }
    )
    with pytest.raises(FailedPrecondition, match=r"cannot use none\.pem"):
        Server(everything.model_dump_json())
    assert {"limits.in_flight", "engine.default_hold_ms", "tls.key"} <= set(leaves(ServerSection))
