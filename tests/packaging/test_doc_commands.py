"""Every command line in the documentation can be typed: commands, arguments and options are those that there are."""

import re
import shlex

import pytest
import typer

from loadtests import measure
from loadtests.chaos import cli as chaos
from loadtests.peers import cli as peers
from loadtests.slo import cli as slo
from models.__main__ import app as models
from serving.cli.app import app
from serving.demo.__main__ import main as demo
from tests.conftest import REPO

PAGES = [REPO / name for name in ("README.md", "CONTRIBUTING.md", "loadtests/README.md", "ops/README.md")]
PAGES += sorted([*(REPO / "docs").rglob("*.md"), *(REPO / "models/cards").glob("*.md")])
OURS = ("python", "-m", "serving")
MODELS = ("python", "-m", "models")
OF_THE_SYSTEM = {"curl", "df", "promtool"}
"""What runbooks look with; the files and options that they are given are not looked at."""
WRONG = typer.BadParameter.__base__
"""What is raised of a line that cannot be read: typer does not name it."""


def examples(text):
    """Yields the lines of each example with its language; lines that go on in the next are one."""
    language, lines = None, []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.startswith("```"):
            lines.append(line)
            continue
        if language is not None:
            yield language, lines
        language, lines = (line[3:], []) if language is None else (None, [])


def commands(page):
    """The lines of the page's shell examples, as words, what a script would not see left out; and our own commands in those
    without a language, which show answers as well.
    """
    found = []
    for language, lines in examples(page.read_text(encoding="utf-8")):
        if language == "sh":
            found += [shlex.split(line, comments=True) for line in lines]
        elif not language:
            found += [shlex.split(line, comments=True) for line in lines if line.startswith("python -m ")]
    return [line for line in found if line]


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


def of_models(arguments):
    try:
        parse(typer.main.get_command(models), "models", arguments)
    except WRONG as wrong:
        # Files of the reader's are not here; options are read before that is seen.
        if not str(wrong).endswith("does not exist."):
            raise


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
    elif tuple(line[:3]) == MODELS:
        of_models(line[3:])
    elif line[:2] == ["python", "-m"] and line[2].startswith("loadtests."):
        assert (REPO / line[2].replace(".", "/")).with_suffix(".py").is_file()
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


@pytest.mark.parametrize(
    ("program", "wrong"),
    [
        (app, "chek tea ams1"),
        (app, "check tea ams1 --stairs"),
        (app, "journal mend"),
        (app, "check tea"),
        (models, "evaluate sales.parquet --modell climatology"),
        (models, "promot demand@1"),
    ],
)
def test_what_cannot_be_typed_is_found(program, wrong):
    with pytest.raises(WRONG):
        parse(typer.main.get_command(program), "program", wrong.split())


def test_commands_are_found_in_examples_of_both_kinds():
    pages = {str(page) for page, line in LINES if tuple(line[:3]) == MODELS}
    assert {"README.md", "docs/guides/roll-out-a-model.md", "models/cards/patch-nano.md"} <= pages


def test_the_reference_lists_every_command():
    there = set()
    for name, command in typer.main.get_command(app).commands.items():
        there |= {f"{name} {sub}" for sub in command.commands} if isinstance(command, typer.core.TyperGroup) else {name}
    page = (REPO / "docs/reference/cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+) ?([a-z\\|]*).*?` \|", page, re.MULTILINE)
    listed = {f"{name} {sub}".strip() for name, subs in rows for sub in subs.split("\\|")}
    assert there <= listed, there - listed
