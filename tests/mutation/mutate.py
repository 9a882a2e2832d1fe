"""Takes one safeguard of the engine or the journal away at a time, in a copy, and names the test that notices.

`python -m tests.mutation.mutate short|long`. Exits with 1 when a safeguard is missed by every test.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
JOURNAL, ENGINE = "rust_core/journal", "rust_core/engine"
# The files behind the storage trait are the disk itself: tests bring their own.
PATIENCE_S = 1_800
SYNC = re.compile(r"[\w.()]+\s*\.sync_(data|dir)\(\)(?=\s*\.doing)")
CHECKSUMS = {
    "format/record.rs": "record_crc(salt, data, payload_bytes) != get_u32(data, 4)",
    "format/frame.rs": "crc32c::crc32c_append(tie.salt, &data[8..FRAME_HEADER_LEN]) != get_u32(data, 4)",
    "format/header.rs": "crc != get_u32(data, 8)",
    "scan.rs": "chain_after(&cursor.chain, &bytes[..body_end]) != frame.chain",
    "snapshot/mod.rs": "crc32c::crc32c(&data[12..HEADER_LEN]) != get_u32(data, 8)",
    "snapshot/reader.rs": "get_u32(&self.chunk, 4) != crc",
    "snapshot/reader.rs content": "*self.hasher.finalize().as_bytes() != self.info.content_hash",
    "index/sidecar.rs header": "get_u32(&header, 8) != crc32c::crc32c(&header[12..])",
    "index/sidecar.rs sections": "crc != crc32c::crc32c(&data)",
    "index/sidecar.rs pages": "page_crc(number, &page) != get_u32(&page, PAGE_CRC_AT)",
    "backup/manifest.rs": "hash != Some(*blake3::hash(body.as_bytes()).as_bytes())",
    "backup/restore.rs": "copied.hash != file.hash",
    "backup/verify.rs": "*hasher.finalize().as_bytes() != file.hash",
}
# Each makes an answer once: the answer that fell out of memory is looked for again.
ANSWERS = {
    "an answer forgotten while the disk was asked": (
        "partition/mod.rs",
        "!core.state.forgot_since(request_id, forgotten)",
        "true",
    ),
    "an answer forgotten before it was durable": ("partition/mod.rs", "self.durable_revision() < forgotten", "false"),
    "an answer that is lost without a journal": (
        "partition/mod.rs",
        "lost_answer(&core.state, request_id)?;",
        "lost_answer(&core.state, 0)?;",
    ),
    "a retention shorter than the answers": (
        "partition/maintain.rs",
        "inner.config.retention_ms.max(REQUEST_WINDOW_MS as u64)",
        "inner.config.retention_ms.min(REQUEST_WINDOW_MS as u64)",
    ),
    "a clock far ahead at the start": ("partition/clock.rs", "ahead > config.downtime_ms", "false"),
}
EXPIRY = {
    "at <= now, in the order of time": ("step.rs", "*at <= now", "*at < now"),
    "an expired hold lets go of its stock": ("apply.rs", "self.unbind(*id)?;", ""),
    "an overdue receipt no longer counts": ("apply.rs", "EntryKey::receipt(*no), 0)", "EntryKey::receipt(*no), 1)"),
}


@dataclass(frozen=True)
class Mutant:
    """One safeguard taken away: `text` replaces the whole file."""

    kind: str
    what: str
    crate: str
    file: Path
    text: str


def syncs() -> Iterator[Mutant]:
    """Each fdatasync, and each sync of a directory."""
    for path in sorted((REPO / JOURNAL / "src").rglob("*.rs")):
        if "storage" in path.parts:
            continue
        source = path.read_text(encoding="utf-8")
        for found in SYNC.finditer(source):
            line = source.count("\n", 0, found.start()) + 1
            text = source[: found.start()] + "std::io::Result::Ok(())" + source[found.end() :]
            relative = path.relative_to(REPO)
            yield Mutant("sync", f"{relative}:{line} {found[0].split('.')[-1]}", JOURNAL, relative, text)


def checksums() -> Iterator[Mutant]:
    """Each test of a checksum or of the hash chain."""
    for name, condition in CHECKSUMS.items():
        relative = Path(JOURNAL, "src", name.split()[0])
        source = (REPO / relative).read_text(encoding="utf-8")
        assert source.count(condition) == 1, f"{relative} has changed: find its checksum test again"
        text = source.replace(condition, f"(false && {condition})")
        yield Mutant("checksum", f"{relative} {condition}", JOURNAL, relative, text)


def replaced(kind: str, crate: str, table: dict[str, tuple[str, str, str]]) -> Iterator[Mutant]:
    """One mutant for each row of a table: what it is, the file, and one text instead of another."""
    for what, (name, old, new) in table.items():
        relative = Path(crate, "src", name)
        source = (REPO / relative).read_text(encoding="utf-8")
        flat = re.compile(r"\s*".join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", old)))
        assert len(flat.findall(source)) == 1, f"{relative} has changed: find {old!r} again"
        yield Mutant(kind, f"{relative} {what}", crate, relative, flat.sub(new.replace("\\", r"\\"), source))


def expiries() -> Iterator[Mutant]:
    """Each rule of what time brings."""
    return replaced("expiry", ENGINE, EXPIRY)


def answers() -> Iterator[Mutant]:
    """Each look for an answer that was given before, and for a time that may be wrong."""
    return replaced("answer", JOURNAL, ANSWERS)


def suffix_minima() -> Iterator[Mutant]:
    """Each update of the running sums and suffix minima after a timeline changed."""
    for name in ("chunk.rs", "large.rs"):
        relative = Path(ENGINE, "src/timeline", name)
        source = (REPO / relative).read_text(encoding="utf-8")
        for found in re.finditer(r"\b(self|later|large)\.(refresh|shift)\([^;]*\);", source):
            line = source.count("\n", 0, found.start()) + 1
            text = source[: found.start()] + source[found.end() :]
            yield Mutant("suffix minimum", f"{relative}:{line}", ENGINE, relative, text)


def run(command: list[str], where: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Runs a command to its end and returns its status, output and errors; one that hangs ends with all it started."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=where, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as started:
        try:
            output, errors = started.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            raise
    return started.returncode, output, errors


def noticed_by(copy: Path, mutant: Mutant) -> str | None:
    """The first test that fails, or None."""
    original = (copy / mutant.file).read_text(encoding="utf-8")
    (copy / mutant.file).write_text(mutant.text, encoding="utf-8")
    package = "bespeak-" + Path(mutant.crate).name
    command = ["cargo", "test", "--quiet", "--profile", "ci", "--locked", "--no-fail-fast", "--package", package]
    # A mutant may not build for a warning's sake; a target folder of its own keeps the tree's builds fresh.
    environment = os.environ | {"CARGO_TARGET_DIR": str(REPO / "target/mutation"), "RUSTFLAGS": "--cap-lints warn"}
    try:
        returned, output, errors = run(command, copy, environment)
    except subprocess.TimeoutExpired:
        # Without the safeguard something waits for ever: whoever runs the tests sees that.
        return f"it hangs for {PATIENCE_S} s"
    finally:
        (copy / mutant.file).write_text(original, encoding="utf-8")
    if returned == 0:
        return None
    failed = re.findall(r"^test (\S+) ... FAILED|^    (\S+)$", output, re.MULTILINE)
    names = sorted({name for pair in failed for name in pair if name})
    assert names, f"{mutant.what} does not build:\n{errors[-2_000:]}"
    return ", ".join(names[:3])


def main() -> int:
    every = sys.argv[1:] == ["long"]
    missed = []
    with tempfile.TemporaryDirectory(prefix="bespeak-mutation-") as directory:
        copy = Path(directory, "tree")
        ignored = shutil.ignore_patterns("target", ".git", ".venv", "__pycache__", "*.so", ".cache")
        shutil.copytree(REPO, copy, ignore=ignored)
        for kind in (syncs, checksums, expiries, answers, suffix_minima):
            mutants = list(kind())
            assert mutants, f"nothing to take away for {kind.__name__}"
            for mutant in mutants if every else mutants[-1:]:
                test = noticed_by(copy, mutant)
                print(f"{'noticed' if test else 'MISSED '}  {mutant.kind}: {mutant.what}  {test or ''}", flush=True)
                if test is None:
                    missed.append(mutant.what)
    if missed:
        print(f"{len(missed)} safeguards can go without a test noticing")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
