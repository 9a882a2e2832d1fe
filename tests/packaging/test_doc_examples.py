"""Every Python example in the README and the documentation runs, and prints what the page says it prints."""

import itertools
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPO

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
WITH_EXAMPLES = [page for page in PAGES if "```python\n" in page.read_text(encoding="utf-8")]


def script(page):
    """The page's examples as one program, and what the text blocks right after them say that it prints."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    code = [text for kind, text in blocks if kind == "python"]
    followed = itertools.pairwise(blocks)
    printed = [after for (kind, _), (next_kind, after) in followed if (kind, next_kind) == ("python", "text")]
    return "\n".join(code), "".join(printed)


def test_the_readme_has_an_example():
    assert WITH_EXAMPLES[0].name == "README.md"


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(REPO)))
def test_examples_run(page, tmp_path):
    code, expected = script(page)
    # From the tree, as the pages say, but not in it: what an example writes goes with the test.
    environment = os.environ | {"PYTHONPATH": f"{REPO}{os.pathsep}{REPO / 'rust_core/python'}"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if expected:
        assert done.stdout == expected
