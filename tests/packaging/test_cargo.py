"""The Rust workspace builds its dependency tree once, and its layers point one way."""

import json
import subprocess

# Each crate of ours, and those of ours that it may name. Cargo forbids cycles, not short cuts.
LAYERS = {
    "bespeak-engine": set(),
    "bespeak-proto": set(),
    "bespeak-journal": {"engine"},
    "bespeak-demand": {"journal", "engine"},
    "bespeak-server": {"journal", "demand", "engine", "proto"},
    "bespeak-sim": {"journal", "engine"},
    "bespeak-bindings": {"server", "demand", "journal", "engine", "proto"},
    "bespeak-bench": {"proto", "server", "journal", "engine"},
}


def cargo(repo, *arguments: str) -> str:
    return subprocess.run(
        ["cargo", *arguments, "--locked"], cwd=repo, check=True, capture_output=True, text=True
    ).stdout


def test_layers_point_one_way(repo):
    packages = json.loads(cargo(repo, "metadata", "--no-deps", "--format-version=1"))["packages"]
    wrong = {
        package["name"]: sorted(extra)
        for package in packages
        if (
            extra := {
                dep["name"].removeprefix("bespeak-")
                for dep in package["dependencies"]
                if dep["name"].startswith("bespeak-") and dep["kind"] is None
            }
            - LAYERS[package["name"]]
        )
    }
    assert wrong == {}


def test_tests_and_the_wheel_share_one_feature_set(repo):
    """Each package that both use must have the same features, or it is compiled twice."""

    def features(*selection: str) -> dict[str, str]:
        listed = cargo(repo, "tree", "--prefix=none", "--format={p}|{f}", *selection)
        rows = (line.removesuffix(" (*)").split("|") for line in listed.splitlines() if "|" in line)
        return {package: used for package, used in rows if "bespeak-" not in package}

    tests = features()
    wheel = features("--package=bespeak-bindings", "--edges=normal,build")
    assert {p: (tests[p], wheel[p]) for p in tests.keys() & wheel.keys() if tests[p] != wheel[p]} == {}
