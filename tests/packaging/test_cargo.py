"""The Rust workspace builds its dependency tree once, and its layers point one way."""

import json
import subprocess

import pytest

# Each crate of ours, and those of ours that it may name. Cargo forbids cycles, not short cuts.
LAYERS = {
    "bespeak-allocation": set(),
    "bespeak-aside": set(),
    "bespeak-engine": set(),
    "bespeak-features": set(),
    "bespeak-memory": set(),
    "bespeak-proto": set(),
    "bespeak-journal": {"engine", "aside"},
    "bespeak-demand": {"aside", "engine"},
    "bespeak-server": {"journal", "memory", "aside", "allocation", "demand", "engine", "proto"},
    "bespeak-sim": {"journal", "engine"},
    "bespeak-fuzz": {"server", "journal", "engine", "proto"},
    "bespeak-bindings": {"server", "allocation", "demand", "journal", "memory", "engine", "proto"},
    "bespeak-bench": {"memory", "proto", "server", "journal", "engine"},
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
                if dep["name"].startswith("bespeak-") and dep["name"] != "bespeak-features" and dep["kind"] is None
            }
            - LAYERS[package["name"]]
        )
    }
    assert wrong == {}


@pytest.mark.parametrize("program", ["bindings", "bench", "sim", "fuzz"])
def test_every_build_has_one_feature_set(repo, program):
    """What a program takes of a package, the tests take too, or it is compiled twice.

    A row found here goes into rust_core/features/Cargo.toml.
    """

    def rows(*selection: str) -> set[str]:
        """Returns `package|features`, one for the host and one for the target where they differ."""
        # Without a target, what a package takes for the host is hidden by what it takes for the target.
        options = ["--target=host-tuple", "--prefix=none", "--format={p}|{f}"]
        listed = cargo(repo, "tree", *options, *selection).splitlines()
        return {line.removesuffix(" (*)") for line in listed if "bespeak-" not in line}

    alone = rows(f"--package=bespeak-{program}", "--edges=normal,build")
    assert sorted(alone - rows("--workspace")) == []
