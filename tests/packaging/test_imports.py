"""What is started often imports none of the heavy packages: to import pandas alone takes a third of a command's time."""

import json
import subprocess
import sys

import pytest

HEAVY = {"matplotlib", "ortools", "pandas", "polars", "ray", "scipy", "sklearn", "torch"}


@pytest.mark.parametrize("module", ["bespeak", "serving.cli", "serving.worker"])
def test_a_start_imports_nothing_heavy(repo, module):
    script = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=repo, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    assert module in modules
    assert modules & HEAVY == set()
