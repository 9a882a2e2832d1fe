"""Every command line in the documentation can be typed: commands, arguments and options are those that there are."""

import re
import shlex

import pytest
import typer

from loadtests import measure
from loadtests.chaos import cli as chaos
from loadtests.peers import cli as peers
from loadtests.slo import cli as slo
from serving.cli.app import app
from serving.demo.__main__ import main as demo
from tests.conftest import REPO

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "loadtests/README.md", "ops/README.md")]
PAGES += sorted((REPO / "docs").rglob("*.md"))
OURS = ("python", "-m", "serving")
OF_THE_SYSTEM = {"curl", "df", "promtool"}
"""What runbooks look with; the files and options that they are given are not looked at."""
WRONG = typer.BadParameter.__base__
"""What is raised of a line that cannot be read: typer does not name it."""


def commands(page):
    """The lines of the page's shell examples, as words, what a script would not see left out."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    words = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in words if line]


LINES = [(page.relative_to(REPO), line) for page in PAGES for line in commands(page)]


def parse(command, name, arguments):
    """Reads the arguments as the command line would, and does nothing.

    Raises:
        WRONG: there is no such command, argument or option.
    """
    context = command.make_context(name, list(arguments))
    if isinstance(command, typer.core.TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        return parse(found, name, rest)
    return context


def bench(arguments):
    if chaos.wanted(arguments):
        return chaos.parsed(arguments)
    if "--peers" in arguments:
        return peers.parsed(arguments)
    return slo.parsed(arguments) if slo.wanted(arguments) else measure.parsed(arguments)


def as_command(main):
    made = typer.Typer(add_completion=False)
    made.command()(main)
    return typer.main.get_command(made)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}-{' '.join(line)}" for page, line in LINES])
def test_it_can_be_typed(page, line):
    if tuple(line[:3]) == OURS:
        context = parse(typer.main.get_command(app), "serving", line[3:])
        if context.command.name == "bench" and "--help" not in line:
            bench(line[4:])
        if context.command.name == "demo":
            parse(as_command(demo), "demo", line[4:])
    elif tuple(line[:3]) == ("python", "-m", "serving.demo"):
        parse(as_command(demo), "demo", line[3:])
    elif tuple(line[:3]) == ("python", "-m", "ops"):
        assert line[3:] in ([], ["--check"])
    elif line[0] == "make":
        makefile = (REPO / "Makefile").read_text(encoding="utf-8")
        targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
        settings = re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)
        for word in line[1:]:
            name, given, value = word.partition("=")
            assert name in (settings if given else targets), word
            if name == "ARGS" and "bench" in line:
                bench(shlex.split(value))
    else:
        known = line[0] in OF_THE_SYSTEM or (REPO / line[0]).exists()
        assert known, "a program of the tree, or one of the above"


@pytest.mark.parametrize("wrong", ["chek tea ams1", "check tea ams1 --stairs", "journal mend", "check tea"])
def test_what_cannot_be_typed_is_found(wrong):
    with pytest.raises(WRONG):
        parse(typer.main.get_command(app), "serving", wrong.split())


def test_the_reference_lists_every_command():
    there = set()
    for name, command in typer.main.get_command(app).commands.items():
        there |= {f"{name} {sub}" for sub in command.commands} if isinstance(command, typer.core.TyperGroup) else {name}
    page = (REPO / "docs/reference/cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+) ?([a-z\\|]*).*?` \|", page, re.MULTILINE)
    listed = {f"{name} {sub}".strip() for name, subs in rows for sub in subs.split("\\|")}
    assert there <= listed, there - listed
