"""The house rules that a machine can check, over every file that git tracks."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import LONGEST

REPO = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
CODE = {".py", ".pyi", ".rs", ".proto", ".sh", ".html", ".js", ".toml"}
GENERATED = ("rust_core/python/bespeak/v1/",)
LOCKS = ("Cargo.lock", "requirements/")

# Written in pieces, so that this file does not match itself.
REGISTRY_HOSTS = "|".join(["py" + "pi", "python" + "hosted", "crates", "npm" + "js", "golang", "maven", "debian"])
ADDRESS = re.compile(rf"(https?://|//)[a-z0-9.]*({REGISTRY_HOSTS})[a-z0-9.]*/")
MACHINE_PATH = re.compile(r"(^|[^\w.])/(" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me/[a-z]"]) + r")/")
UNFINISHED = re.compile(
    "|".join(
        [
            "todo" + r"!\(",
            "unimplemented" + r"!\(",
            "FIX" + "ME",
            "XX" + "X\\b",
            r"\bTO" + r"DO\b(?! ?\(#\d+\))",
            "#\\[ig" + "nore",
            r"pytest\.(skip|xfail)|pytest\.mark\.(skip|xfail)",
            "assert True" + "$",
        ]
    )
)


@cache
def tracked() -> tuple[str, ...]:
    """Returns what git tracks or would track, less what is deleted in the work tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(name for name in listed.split("\0") if name and (REPO / name).is_file())


def texts(*, generated: bool = False) -> Iterator[tuple[str, str]]:
    """Yields the path and text of each tracked text file, locks left out."""
    for name in tracked():
        if name.startswith(LOCKS) and not name.endswith(".in"):
            continue
        if not generated and name.startswith(GENERATED):
            continue
        try:
            yield name, (REPO / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # binary: an image, a stored journal


def hits(pattern: re.Pattern[str], sources: Iterator[tuple[str, str]]) -> list[str]:
    """Returns `path:line: text` for each line that matches."""
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in sources
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_files_stay_small():
    long = {
        name: lines
        for name, text in texts()
        if Path(name).suffix in CODE and (lines := text.count("\n")) > FILE_LINES_MAX
    }
    assert long == {}


def test_no_registry_address():
    assert hits(ADDRESS, texts(generated=True)) == []


def test_no_path_of_one_machine():
    assert hits(MACHINE_PATH, texts()) == []


def test_nothing_unfinished_or_switched_off():
    assert hits(UNFINISHED, ((n, t) for n, t in texts() if Path(n).suffix in CODE)) == []


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (ADDRESS, "see https://" + "py" + "pi.org/simple", "see https://www.apache.org/licenses/"),
        (MACHINE_PATH, "open('/" + "root/x')", "open('tests/root/x')"),
        (UNFINISHED, "# TO" + "DO: later", "# TO" + "DO (#12): later"),
        (UNFINISHED, "todo" + "!()", "the todo list"),
    ],
)
def test_the_patterns_find_what_they_forbid(pattern, bad, good):
    assert pattern.search(bad)
    assert not pattern.search(good)


def test_no_panic_reachable_from_network_or_disk():
    """`unwrap` and `panic!` stay out of the server and the journal, their test modules aside."""
    found = []
    for name, text in texts():
        if not re.match(r"rust_core/(server|journal)/src/.*\.rs$", name) or name.endswith("tests.rs"):
            continue
        shipped = text.split("#[cfg(test)]")[0]
        found += hits(re.compile(r"\.unwrap\(\)|panic!\("), iter([(name, shipped)]))
    assert found == []


def test_locks_pin_everything_and_name_no_address():
    for lock in sorted((REPO / "requirements").glob("*.txt")):
        lines = [ln for ln in lock.read_text().splitlines() if ln and not ln.lstrip().startswith("#")]
        assert not [ln for ln in lines if "://" in ln or "index-url" in ln or "find-links" in ln], lock.name
        pins = [ln for ln in lines if not ln.startswith(" ")]
        assert [ln for ln in pins if not re.match(r"[a-z0-9._-]+==[\w.+!-]+", ln)] == [], lock.name


def test_locks_agree_with_one_another():
    def pins(lock: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==[\w.+!-]+", lock.read_text(), re.MULTILINE))

    together = pins(REPO / "requirements/constraints.txt")
    for source in (REPO / "requirements").glob("*.in"):
        assert pins(source.with_suffix(".txt")) <= together, source.name


def test_crates_are_no_older_than_their_fixed_holes():
    """The least versions without known denial-of-service holes, and one arrow only."""
    least = {"h2": (0, 4, 16), "tonic": (0, 12, 3), "rustls": (0, 23, 18), "bytes": (1, 11, 1)}
    packages = tomllib.loads((REPO / "Cargo.lock").read_text())["package"]
    versions = {(p["name"], tuple(int(n) for n in re.split(r"[.+-]", p["version"])[:3])) for p in packages}
    old = [(name, version) for name, version in versions if version < least.get(name, ())]
    assert old == []
    assert len({version[0] for name, version in versions if name == "arrow-array"}) <= 1


def test_files_that_are_begun_with_are_there():
    assert [name for name in LONGEST if not (REPO / "tests" / name).exists()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_make_help_lists_every_public_target():
    shown = subprocess.run(["make", "help"], cwd=REPO, check=True, capture_output=True, text=True).stdout
    listed = re.findall(r"^  make (\w+) +\S", shown, re.MULTILINE)
    assert 1 <= len(listed) <= 12
    assert {"demo", "up", "test", "lint", "fmt", "bench", "proto", "ci", "help"} <= set(listed)
