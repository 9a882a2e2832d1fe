"""The registry: versions never change, aliases move, damage is seen, strangers fit in."""

import json
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from models import Climatology, InputError
from models.__main__ import app
from models.registry import Registry, RegistryError
from tests.models.tables import table

STRANGER = """
    import json
    import pyarrow as pa
    from models import forecast_schema

    class Constant:
        def __init__(self, name, version, value):
            self.name, self.version, self.value = name, version, value

        @classmethod
        def load(cls, directory, name, version):
            return cls(name, version, json.loads((directory / "value.json").read_text()))

        def predict(self, context, future, horizon, quantiles):
            rows = horizon * len(context["item_id"].unique())
            schema = forecast_schema(quantiles)
            days = pa.array(range(rows), pa.int32()).cast(pa.date32())
            items = pa.array(["a"] * rows)
            return pa.Table.from_arrays([items, days] + [pa.array([self.value] * rows, pa.float64())] * (len(schema) - 2), schema=schema)
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A package outside the tree, and the directory of its model."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/stranger_model.py").write_text(textwrap.dedent(STRANGER))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    files = tmp_path / "constant"
    files.mkdir()
    (files / "value.json").write_text("4.5")
    return files


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


LOADER = "stranger_model:Constant"


def test_a_strangers_model_is_stored_and_runs(registry, stranger):
    stored = registry.push(stranger, loader=LOADER)
    registry.promote(stored.reference)
    model = registry.open("constant")
    assert (model.name, model.version) == ("constant", stored.version)
    assert model.predict(table({"a": [1.0]}), None, 3, (0.5,))["0.5"].to_pylist() == [4.5] * 3


def test_other_content_is_another_version_and_the_same_is_the_same(registry, stranger):
    first = registry.push(stranger, loader=LOADER)
    assert registry.push(stranger, loader=LOADER) == first
    (stranger / "value.json").write_text("5.5")
    second = registry.push(stranger, loader=LOADER)
    assert first.version != second.version
    assert [found.reference for found in registry.versions()] == sorted([first.reference, second.reference])


def test_a_version_never_changes(registry, stranger):
    (stranger / "manifest.json").write_text(json.dumps({"version": "7"}))
    registry.push(stranger, loader=LOADER)
    (stranger / "value.json").write_text("5.5")
    with pytest.raises(RegistryError, match="constant@7 is stored with other files"):
        registry.push(stranger, loader=LOADER)


def test_aliases_move_and_go_back(registry, stranger):
    first = registry.push(stranger, loader=LOADER)
    (stranger / "value.json").write_text("5.5")
    second = registry.push(stranger, loader=LOADER)
    assert registry.promote(first.reference).aliases == ("production",)
    registry.promote(second.reference, "canary")
    registry.promote(second.reference)
    assert registry.show("constant").aliases == ("canary", "production")
    assert registry.rollback("constant").reference == first.reference
    assert registry.show("constant@production").version == first.version
    assert registry.show("constant@canary").version == second.version
    with pytest.raises(RegistryError, match="nothing to go back to"):
        registry.rollback("constant")


def test_promoting_twice_is_promoting_once(registry, stranger):
    first = registry.push(stranger, loader=LOADER)
    (stranger / "value.json").write_text("5.5")
    second = registry.push(stranger, loader=LOADER)
    for version in (first, second, second, second):
        assert registry.promote(version.reference).aliases == ("production",)
    assert registry.rollback("constant").reference == first.reference


def test_a_version_takes_no_name_of_an_alias(registry, stranger):
    registry.promote(registry.push(stranger, loader=LOADER).reference, "beta")
    (stranger / "value.json").write_text("5.5")
    (stranger / "manifest.json").write_text(json.dumps({"version": "beta"}))
    with pytest.raises(RegistryError, match="constant has an alias beta: give the version another name"):
        registry.push(stranger, loader=LOADER)


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_damage_is_seen_before_loading(registry, stranger, damage):
    stored = registry.push(stranger, loader=LOADER)
    if damage == "changed":
        (stored.directory / "value.json").write_text("4.6")
    elif damage == "missing":
        (stored.directory / "value.json").unlink()
    else:
        (stored.directory / "more.json").write_text("1")
    with pytest.raises(RegistryError, match=r"(value|more)\.json"):
        registry.open(stored.reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing@1", "nothing of that name is stored"),
        ("constant@9", "no constant@9"),
        ("../etc@1", "name '../etc' is not allowed"),
        ("constant@../../x", "version '../../x' is not allowed"),
        ("constant", "no constant in"),
    ],
)
def test_a_reference_to_nothing_says_what_there_is(registry, stranger, reference, message):
    registry.push(stranger, loader=LOADER)
    with pytest.raises(RegistryError, match=message):
        registry.open(reference)


@pytest.mark.parametrize(
    ("loader", "message"),
    [("no_such_module:Model", "cannot import"), ("json:Nothing", "cannot import"), ("json:JSONDecoder", "has no load")],
)
def test_a_class_that_is_no_loader_is_refused_on_push(registry, stranger, loader, message):
    with pytest.raises(InputError, match=message):
        registry.push(stranger, loader=loader)


def test_an_empty_directory_is_refused(registry, tmp_path):
    with pytest.raises(RegistryError, match="holds no model files"):
        registry.push(tmp_path / "nowhere")


def test_the_commands_do_the_same(registry, stranger, monkeypatch):
    monkeypatch.setenv("BESPEAK_MODEL_REGISTRY", str(registry.root))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    stored = run("push", str(stranger), "--loader", LOADER)
    version = registry.versions()[0].version
    assert stored == f"stored constant@{version}\n"
    assert "alias production" in run("promote", f"constant@{version}")
    listed = run("list")
    assert version in listed
    assert Climatology.name in listed
    assert json.loads(run("show", "constant"))["aliases"] == ["production"]
    command = [sys.executable, "-m", "models", "rollback", "constant"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "nothing to go back to" in refused.stdout
