"""Every alert has its runbook, and every runbook its alert; a page names only what there is."""

import re

import pytest

from bespeak import Client
from tests.conftest import REPO
from tests.ops.promql import selectors

PLACE = REPO / "docs/operate/runbooks"
PAGES = sorted(set(PLACE.glob("*.md")) - {PLACE / "README.md"})
RULES = "\n".join(file.read_text() for file in sorted((REPO / "ops/prometheus/rules").glob("*.yml")))
METRICS = (REPO / "docs/reference/metrics.md").read_text()


def test_every_alert_has_its_page_and_every_page_its_alert():
    alerts = set(re.findall(r"alert: (\w+)", RULES))
    assert {page.stem for page in PAGES} == alerts
    assert set(re.findall(r"runbook_url: (\S+)", RULES)) == {f"docs/operate/runbooks/{name}.md" for name in alerts}


def test_the_index_lists_each_with_its_severities():
    severities: dict[str, set[str]] = {}
    for name, severity in re.findall(r'alert: (\w+)\n.*?"severity": "(\w+)"', RULES, re.DOTALL):
        severities.setdefault(name, set()).add(severity)
    rows = re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| (.*) \|$", (PLACE / "README.md").read_text(), re.MULTILINE)
    assert {name: set(told.split(", ")) for name, told in rows} == severities
    assert len(rows) == len(severities)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_what_callers_see_where_to_look_and_what_to_do(page):
    text = page.read_text()
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert heads == [page.stem, "What callers see", "Look", "Do"]
    sections = re.split(r"^#+ .*\n", text, flags=re.MULTILINE)[1:]
    assert all(section.strip() for section in sections)
    assert "```sh\n" in sections[2]
    assert sections[3].strip().startswith("- ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_metrics_methods_and_settings_that_there_are(page):
    text = page.read_text()
    for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        for found in selectors(block):
            bare = re.sub(r"_(bucket|count|sum|total)$", "", found.name.removeprefix("bespeak_"))
            assert f"`{bare}`" in METRICS, found.name
    for name in re.findall(r"`[Cc]lient\.(\w+)", text):
        assert callable(getattr(Client, name)), name
    settings = "\n".join(page.read_text() for page in (REPO / "docs/operate").glob("*.md"))
    for section, name in re.findall(r"`(journal|limits|forecasts|compute|worker)\.(\w+)`", text):
        assert re.search(rf"`({section}\.)?{name}`|{section}\.{name}", settings), f"{section}.{name}"
