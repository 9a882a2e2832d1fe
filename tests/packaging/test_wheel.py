"""The wheel: what is in it, what it asks for, and that it imports away from the tree."""

import email
import re
import subprocess
import sys
import zipfile

import pytest


@pytest.fixture(scope="module")
def wheel(repo, tmp_path_factory):
    """A wheel built as a release is, in the profile that the tests share."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        ["maturin", "build", "--profile", "ci", "--locked", "--out", str(out)],
        cwd=repo,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.timeout(600)  # builds the native module when it is stale
def test_one_wheel_serves_python_3_11_and_later(wheel):
    assert re.fullmatch(r"bespeak-\d+\.\d+\.\d+-cp311-abi3-\w+\.whl", wheel.name)


def test_wheel_carries_types_and_licence_and_nothing_of_the_service(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"bespeak/__init__.py", "bespeak/_core.pyi", "bespeak/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} <= {"bespeak", "bespeak.libs"}
    assert len([name for name in names if re.match(r"bespeak/_core.*\.so$", name)]) == 1


def test_wheel_asks_only_for_what_the_client_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
    asked = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    assert {re.split(r"[^a-z]", line)[0] for line in asked} == {"grpcio", "protobuf", "pyarrow"}


def test_wheel_works_away_from_the_tree(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = "import bespeak; engine = bespeak.Engine(':memory:'); print(bespeak.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(str(tmp_path / "site"))
