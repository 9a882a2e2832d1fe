"""`python -m models deploy|promote|rollback|retire|rollouts` on a live worker, and what a restart finds again."""

import json
import re
import textwrap
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.__main__ import app
from models.catalogue import CHECKPOINTS, open_model
from models.protocol import InputError
from models.registry import Registry
from tests.serving.outside_model import Versions, install
from tests.serving.worker_process import history, worker

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/models.md"
CONTEXT = history(40)


@pytest.fixture
def versions(tmp_path, monkeypatch):
    made = Versions(tmp_path, monkeypatch)
    made.push("1", 1.0)
    made.push("2", 2.0)
    made.registry.promote("scaled@1")
    return made


def serving(place, versions, **settings):
    return worker(place, **{"models": ("climatology", "scaled"), "registry": versions.registry.root, **settings})


def ran(*arguments, code=0):
    """Runs a command of `python -m models` in this process and returns what it printed.

    Starting an interpreter for each would take most of the tests' time.
    """
    done = CliRunner().invoke(app, [str(word) for word in arguments], env={"COLUMNS": "300"})
    wrong = isinstance(done.exception, InputError)  # `models.__main__` prints it and leaves with 2
    assert (2 if wrong else done.exit_code) == code, (done.output, done.exception)
    return " ".join((f"{done.output} {done.exception}" if wrong else done.output).split())


def test_every_step_says_what_is_true_now(tmp_path, versions):
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        here = ("--worker", one.address)
        said = ran("deploy", "scaled@2", "--shadow", "100%", *here)
        assert "verified: a forecast of scaled@2 names scaled@2" in said
        assert "scaled: scaled@2 repeats 1 of the items" in said
        said = ran("deploy", "scaled@2", "--canary", "10%", "--by", "item", "--abort-if", "p99_ms > 9e9", *here, code=2)
        assert "has 'e9' at 11" in said
        said = ran("deploy", "scaled@2", "--canary", "10%", "--by", "item", "--abort-if", "wql_ratio > 1.05", *here)
        assert "scaled@2 answers 0.1 of the items; it is aborted if wql_ratio > 1.05" in said
        listed = json.loads(ran("rollouts", "--json", *here))
        (found,) = [route for route in listed["rollouts"] if route["route"] == "scaled"]
        assert (found["active"], found["candidate"], found["stage"]) == ("scaled@1", "scaled@2", "ROLLOUT_STAGE_CANARY")
        assert "scaled@2" in ran("rollouts", *here)

        said = ran("promote", "scaled@2", *here)
        assert "verified: a forecast of scaled names scaled@2" in said
        assert "scaled@2 answers all of scaled, after scaled@1" in said
        assert versions.registry.show("scaled").version == "2"
        assert "scaled@2 is the active version" in ran("retire", "scaled@2", *here, code=1)
        assert "verified: a forecast of scaled names scaled@1" in ran("rollback", "scaled", *here)
        assert versions.registry.show("scaled").version == "1"
        assert ran("retire", "scaled@2", *here) == "retired scaled@2"
        assert "no scaled@2" in ran("deploy", "scaled@2", "--shadow", "100%", *here, code=1)
        assert "there is nothing to go back to" in ran("rollback", "scaled", *here, code=1)
    assert "no worker answers at" in ran("rollouts", *here, "--timeout", "5", code=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("deploy", "scaled@2", "--shadow", "100%"), "no worker is given"),
        (("promote", "scaled@2"), "neither a worker nor a registry is given"),
        (("deploy", "scaled@2", "--shadow", "0", "--worker", "127.0.0.1:1"), "share '0' is none"),
        (("deploy", "scaled@2", "--canary", "110%", "--worker", "127.0.0.1:1"), "share '110%' is none"),
        (("deploy", "a@2", "--canary", "1%", "--shadow", "1%", "--worker", "127.0.0.1:1"), "exclude each other"),
        (
            ("deploy", "a@2", "--canary", "1%", "--abort-if", "x > 1", "--worker", "127.0.0.1:1"),
            "must be one of p50_ms",
        ),
    ],
)
def test_a_wrong_command_says_what_to_change(arguments, said):
    assert said in ran(*arguments, code=2)


def test_a_restart_goes_on_where_it_was(tmp_path, versions):
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        ran("deploy", "scaled@2", "--canary", "40%", "--abort-if", "p99_ms > 60000", "--worker", one.address)
        before = one.forecast(CONTEXT, 7, model="scaled")
        one.process.kill()
        one.process.wait()
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        after = one.forecast(CONTEXT, 7, model="scaled")
        assert after.forecast == before.forecast
        assert after.shares[1].item_ids == before.shares[1].item_ids
        (found,) = [
            route
            for route in json.loads(ran("rollouts", "--json", "--worker", one.address))["rollouts"]
            if route["route"] == "scaled"
        ]
        assert (found["share"], found["abort_if"]) == (0.4, "p99_ms > 60000")
        ran("promote", "scaled@2", "--worker", one.address)
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        answer = one.forecast(CONTEXT, 7, model="scaled")
        assert (answer.origin.version, len(answer.shares)) == ("2", 0)


def test_a_candidate_that_is_gone_does_not_keep_a_worker_from_starting(tmp_path, versions):
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        ran("deploy", "scaled@2", "--canary", "40%", "--worker", one.address)
    (versions.registry.root / "scaled/versions/2/settings.json").write_text("{}")
    with serving(tmp_path, versions) as one:
        one.await_serving(seconds=110)
        assert one.forecast(CONTEXT, 7, model="scaled").origin.version == "1"
        assert "could not be loaded again: file settings.json of scaled@2" in ran("rollouts", "--worker", one.address)


def test_a_shipped_model_can_be_replaced_and_comes_back(tmp_path, versions):
    shipped = "patch-nano"
    before = open_model(shipped).version
    assert (CHECKPOINTS / shipped).is_dir()
    versions._files.mkdir(exist_ok=True)
    (versions._files / "settings.json").write_text('{"factor": 3}')
    (versions._files / "manifest.json").write_text('{"version": "mine"}')
    versions.registry.push(versions._files, shipped, "outside_package:Scaled")
    with serving(tmp_path, versions, models=(shipped,)) as one:
        one.await_serving(seconds=110)
        assert one.forecast(CONTEXT, 7).origin.version == before
        ran("promote", f"{shipped}@mine", "--worker", one.address)
        assert one.forecast(CONTEXT, 7).origin.version == "mine"
        ran("rollback", shipped, "--worker", one.address)
        assert one.forecast(CONTEXT, 7).origin.version == before


def test_the_metrics_tell_of_the_candidate(tmp_path, versions):
    with serving(tmp_path, versions, metrics_address="127.0.0.1:0") as one:
        one.await_serving(seconds=110)
        ran("deploy", "scaled@2", "--canary", "40%", "--worker", one.address)
        for _ in range(3):
            one.forecast(CONTEXT, 7, model="scaled")
        with urllib.request.urlopen(f"http://{one.metrics}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
    labels = 'name="scaled",route="scaled",stage="canary",version="2"'
    assert f"bespeak_compute_candidate_answers_total{{{labels}}} 3.0" in lines
    assert f"bespeak_compute_candidate_share{{{labels}}} 0.4" in lines
    assert 'bespeak_compute_replicas{name="scaled",version="2"} 1.0' in lines
    # One more for the candidate: the command asked it by name.
    for version, asked in (("1", 3), ("2", 4)):
        for stage in ("decode", "queue", "pass", "encode"):
            count = (
                f'bespeak_compute_stage_seconds_count{{name="scaled",stage="{stage}",version="{version}"}} {asked}.0'
            )
            # The active version also repeats, unseen, what the candidate answered: that is no answer.
            assert count in lines, [line for line in lines if "stage_seconds_count" in line]


def test_the_guide_puts_a_strangers_class_into_service_with_two_commands(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    site = install(tmp_path, "my_package", textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))
    (tmp_path / "last-week").mkdir()
    (tmp_path / "last-week/factor.json").write_text("2")
    registry = tmp_path / "registry"
    with worker(tmp_path, models=("climatology",), registry=registry) as one:
        one.await_serving(seconds=110)
        stored = ran("push", tmp_path / "last-week", "--loader", "my_package:LastWeek", "--registry", registry)
        reference = stored.split()[1]
        said = ran("deploy", reference, "--worker", one.address)
        assert f"verified: a forecast of {reference} names {reference}" in said
        answer = one.forecast(CONTEXT, 7, model="last-week")
        assert f"{answer.origin.name}@{answer.origin.version}" == reference
        assert one.forecast(CONTEXT, 7).origin.name == "climatology"
    assert Registry(registry).show("last-week").reference == reference
    with worker(tmp_path, models=("climatology",), registry=registry) as one:
        one.await_serving(seconds=110)
        assert one.forecast(CONTEXT, 7, model="last-week").origin.name == "last-week"


def test_a_model_that_is_not_itself_in_bfloat16_does_not_get_ready(tmp_path, versions):
    versions.push("near", 1.0, bfloat16=1.01)
    versions.push("off", 1.0, bfloat16=1.2)
    with serving(tmp_path, versions, precision="bfloat16", device="cpu") as one:
        one.await_serving(seconds=110)
        said = ran("deploy", "scaled@off", "--canary", "10%", "--worker", one.address, code=1)
        assert "scaled@off in bfloat16 on cpu differs by 0.2 from eager float32, at most 0.05 is allowed" in said
        ran("deploy", "scaled@near", "--canary", "10%", "--worker", one.address)
        assert "bfloat16 on cpu, 0.01 from eager float32" in ran("rollouts", "--worker", one.address)
    versions.registry.promote("scaled@off")
    with serving(tmp_path, versions, precision="bfloat16", device="cpu") as one:
        assert one.process.wait(timeout=110) != 0
    assert "scaled@off in bfloat16 on cpu differs by 0.2" in (tmp_path / "worker.log").read_text()
