"""Every code that a caller can be given has a page in docs/errors, and every page its code."""

import re

CODE = re.compile(r"fn code\(&self\) -> &'static str \{(.*?)\n    \}", re.DOTALL)
REFUSALS = re.compile(r"enum Refusal \{(.*?)\n\}", re.DOTALL)


def codes_of_errors(repo) -> set[str]:
    """Returns the codes in every `fn code` of the Rust crates: what ErrorInfo carries."""
    found = set()
    for source in repo.glob("rust_core/*/src/**/*.rs"):
        for body in CODE.findall(source.read_text()):
            found.update(re.findall(r'"([A-Z][A-Z0-9_]+)"', body))
    return found


def codes_of_refusals(repo) -> set[str]:
    """Returns the refusals of the protocol, without their prefix."""
    (body,) = REFUSALS.findall((repo / "proto/bespeak/v1/common.proto").read_text())
    return set(re.findall(r"REFUSAL_(\w+) = [1-9]", body))


def test_codes_are_found(repo):
    assert "UNKNOWN_ITEM" in codes_of_errors(repo)
    assert "INSUFFICIENT_STOCK" in codes_of_refusals(repo)


def test_every_code_has_its_page_and_every_page_its_code(repo):
    pages = {page.stem for page in (repo / "docs/errors").glob("*.md")} - {"README"}
    assert pages == codes_of_errors(repo) | codes_of_refusals(repo)


def test_every_page_says_what_to_do(repo):
    for page in set((repo / "docs/errors").glob("*.md")) - {repo / "docs/errors/README.md"}:
        text = page.read_text()
        assert text.startswith(f"# {page.stem}\n"), page.name
        _, _, suggestions = text.partition("## Suggestions\n\n- ")
        assert suggestions.strip(), page.name
