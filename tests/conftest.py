"""What every suite shares: the tree, Hypothesis profiles, and a watch on left-over processes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import serving  # noqa: F401 - it sets up gRPC, which tests may import before it

# Of what the command line writes in this process: read when it is imported.
os.environ["COLUMNS"] = "160"
REPO = Path(__file__).resolve().parent.parent

# A seed that fails must fail for everyone: CI draws the same examples each run, and the long
# profile (HYPOTHESIS_PROFILE=long) looks further. Deadlines measure the machine, not the code.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, print_blob=True, **_COMMON)
settings.register_profile("long", max_examples=2_000, print_blob=True, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# What this machine cannot test, and why: it does without, and is told. CI can test all of it.
_UNTESTED = {}
# A disk that is really full is a small file system of the tests' own.
if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
    _UNTESTED["serving/test_full_disk.py"] = "a full disk is not tested: only root may mount a small file system"
if not shutil.which("promtool"):
    _UNTESTED["ops/test_rules.py"] = "alert rules are not tested: promtool is in the package prometheus"
collect_ignore = list(_UNTESTED)


def pytest_report_header() -> list[str]:
    """Says what is not tested here."""
    return list(_UNTESTED.values())


# The files that take longest, the longest first. They are begun with, so that of several processes that run tests none
# is left with one of them at the end.
LONGEST = (
    "serving/test_rollout_ray.py",
    "loadtests/test_slo_run.py",
    "loadtests/test_chaos_run.py",
    "serving/test_public_compute.py",
    "serving/test_demo_run.py",
    "serving/test_refresh.py",
    "serving/test_cli_import.py",
    "serving/test_cli_journal.py",
    "serving/test_rollout_commands.py",
    "serving/test_worker_ray.py",
    "serving/test_worker_modes.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the longest files to the front."""
    rank = {REPO / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


_running: set[str] = set()


def pytest_runtest_logstart(nodeid: str) -> None:
    """A test begins, here or in one of the processes that run them for us."""
    _running.add(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """A test has ended."""
    _running.discard(nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that hang, when the run was ended from outside, and those that took their process with them."""
    for nodeid in sorted(_running):
        terminalreporter.write_line(f"NEVER ENDED {nodeid}")


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the tree."""
    return REPO


def _children() -> dict[int, str]:
    """Returns the command line of each live child process, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # Python's own resource tracker lives as long as the interpreter.
        if int(parent) == os.getpid() and state != "Z" and "resource_tracker" not in command:
            found[int(entry.name)] = command
    return found


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_running():
    """Fails the run when a test leaves a process behind, such as a server nobody stopped."""
    before = _children()
    yield
    left = {pid: command for pid, command in _children().items() if pid not in before}
    assert not left, f"processes left running: {left}"
