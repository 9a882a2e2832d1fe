"""Every link in the documentation leads somewhere, and every error code to its page."""

import re
from pathlib import Path

import pytest

from tests.packaging.test_tidy import REPO, tracked

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """Returns the anchor that a Markdown renderer gives a heading."""
    plain = re.sub(r"`|\*|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))


def anchors(page: Path) -> set[str]:
    """Returns the anchors of all headings of a page."""
    prose = FENCE.sub("", page.read_text())
    return {slug(text) for text in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def broken(page: Path) -> list[str]:
    """Returns the links of a page that lead outside the tree, to no file or to no heading."""
    wrong = []
    for groups in LINK.findall(FENCE.sub("", page.read_text())):
        link = groups[0] or groups[1]
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        inside = target.is_relative_to(REPO) and target.exists()
        if not inside or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("name", [name for name in tracked() if name.endswith(".md")])
def test_links_resolve(name):
    assert broken(REPO / name) == []


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[gone](nowhere.md) [site](https://www.apache.org) [out](../../x) [head](#none)")
    assert broken(page) == ["nowhere.md", "../../x", "#none"]


def test_decision_records_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted((REPO / "docs/decisions").glob("*.md"))]
    assert numbers == list(range(len(numbers)))
