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


def statuses(repo) -> dict[str, str]:
    """Returns the gRPC status of each error code, read from the server's one table."""
    sources = [repo / "rust_core/server/src/error.rs", repo / "rust_core/engine/src/refusal.rs"]
    text = "\n".join(source.read_text() for source in sources)
    code_of = dict(re.findall(r"Self::(\w+)(?:\(_\)| \{ \.\. \})? => \"([A-Z_]+)\"", text))
    found = {}
    for arms, status in re.findall(r"((?:\|?\s*(?:Self|EngineError)::[^=>]+?)+) =>\s*\{?\s*Code::(\w+)", text):
        for variant in re.findall(r"(?:Self|EngineError)::(\w+)", arms):
            found[code_of[variant]] = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status).upper()
    return found


def test_pages_and_index_give_the_status_that_the_server_sends(repo):
    sent = statuses(repo)
    assert set(sent) == codes_of_errors(repo)
    index = (repo / "docs/errors/README.md").read_text()
    for code, status in sent.items():
        assert f"An RPC error, status {status}." in (repo / f"docs/errors/{code}.md").read_text(), code
        assert f"| [{code}]({code}.md) | {status} |" in index, code


def test_index_lists_the_refusals_in_their_precedence(repo):
    (body,) = REFUSALS.findall((repo / "proto/bespeak/v1/common.proto").read_text())
    precedence = re.findall(r"REFUSAL_(\w+) = [1-9]", body)
    index = (repo / "docs/errors/README.md").read_text()
    assert re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| [^|]+ \|$", index, re.MULTILINE) == precedence


def test_the_page_of_what_is_not_in_this_version_names_all_of_it(repo):
    marked = re.compile(r"// Later round.*\n(?:\s*//.*\n)*\s*(?:optional |repeated )?(?:rpc|\w+) (\w+)")
    found = {
        name for proto in (repo / "proto/bespeak/v1").glob("*.proto") for name in marked.findall(proto.read_text())
    }
    page = (repo / "docs/errors/NOT_IN_THIS_VERSION.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`(\w+)`", " ".join(table))) - {"Check", "Promise", "Reserve"}
    assert named == found
