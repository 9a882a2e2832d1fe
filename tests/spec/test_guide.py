"""The examples of the Python guide run, one after another, as a reader would type them."""

import re

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_guide_run(repo):
    page = (repo / "docs/guides/python.md").read_text()
    blocks = BLOCK.findall(page)
    assert len(blocks) >= 6
    names: dict[str, object] = {}
    for block in blocks:
        line = page[: page.index(block)].count("\n")
        exec(compile("\n" * line + block, "docs/guides/python.md", "exec"), names)
