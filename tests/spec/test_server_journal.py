"""What only a server with a journal can answer: earlier states, snapshots, backups, proofs. As tables."""

import json
from contextlib import contextmanager

import pytest

from bespeak import (
    CheckLine,
    Client,
    Engine,
    FailedPrecondition,
    FulfilLine,
    InvalidArgument,
    NotFound,
    OutOfRetention,
    ReserveLine,
)
from bespeak._core import Server, journal_restore, journal_verify, journal_verify_backup
from tests.spec.conftest import DAY_MS, stock_shop

TEA = [CheckLine("tea", "ams1")]


@contextmanager
def served(journal, **settings):
    """A client of a real server on loopback with these journal settings; the server ends with the block."""
    server = Server(json.dumps({"listen": "127.0.0.1:0", "journal": journal, **settings}))
    try:
        server.wait_ready(30_000)
        with Client(server.address, actor="test", timeout_ms=30_000) as client:
            yield client
    finally:
        server.drain()
        server.wait()


@pytest.fixture
def journal(tmp_path):
    return {"path": str(tmp_path / "journal")}


@pytest.fixture
def client(tmp_path, journal):
    with served(journal, backup_root=str(tmp_path / "backups")) as opened:
        yield stock_shop(opened)


def everything(client):
    """The state but for its own time, which goes on: a digest would have that too."""
    tables = client.positions_table(), client.reservations_table(), client.unmet_table()
    return [table.drop_columns(["revision"]).to_pylist() for table in tables]


@pytest.mark.parametrize(
    ("path", "mode", "kept"),
    [
        (None, None, "memory"),
        (None, "memory", "memory"),
        ("journal", None, "group"),
        ("journal", "group", "group"),
        ("journal", "memory", "memory"),
    ],
)
def test_a_path_keeps_a_journal_unless_memory_is_asked_for(tmp_path, path, mode, kept):
    given = {"path": str(tmp_path / path) if path else None, "mode": mode}
    settings = {name: value for name, value in given.items() if value is not None}
    with served(settings) as client:
        stock_shop(client).set_on_hand("tea", "ams1", 20)
        assert client.stats().mode == kept
    with served(settings) as again:
        survived = [item.item for item in again.list_items()]
        assert survived == (["tea", "rice"] if kept == "group" else [])


def test_a_journal_needs_a_path():
    with pytest.raises(FailedPrecondition, match=r"journal\.path is missing"):
        Server(json.dumps({"journal": {"mode": "group"}}))


# Each step: what is done, units of tea that can be promised after it.
STEPS = [
    (lambda shop, _: shop.set_on_hand("tea", "ams1", 20), 20),
    (lambda shop, _: shop.reserve([ReserveLine("tea", "ams1", 5)], confirm=True), 15),
    (lambda shop, seen: shop.fulfil(seen[1].reservation_id, [FulfilLine(0, 2)]), 15),
    (lambda shop, _: shop.adjust_on_hand("tea", "ams1", -4, "SALE"), 11),
    (lambda shop, seen: shop.release(seen[1].reservation_id), 14),
    (lambda shop, _: shop.put_buffer("tea", "ams1", 10), 4),
]


def test_as_of_answers_what_every_revision_saw(client, journal):
    seen = []
    for act, available in STEPS:
        seen.append(act(client, seen))
        assert client.check_many(TEA)[0].available == available
    for answer, (_, available) in zip(seen, STEPS, strict=True):
        (then,) = client.as_of(TEA, revision=answer.revision)
        assert (then.available, then.revision) == (available, answer.revision)
        assert then.engine_time_ms <= client.stats().engine_time_ms
    now = client.stats()
    assert client.as_of(TEA, time_ms=now.engine_time_ms)[0].available == STEPS[-1][1]
    # A snapshot and a restart change nothing of the past.
    client.snapshot()
    assert client.as_of(TEA, revision=seen[1].revision)[0].available == 15


@pytest.mark.parametrize(
    ("asked", "lines", "error"),
    [
        ({}, TEA, InvalidArgument),
        ({"revision": 1, "time_ms": 1}, TEA, InvalidArgument),
        ({"revision": 10_000}, TEA, OutOfRetention),
        ({"time_ms": 4_000_000_000_000}, TEA, OutOfRetention),
        ({"revision": 0}, TEA, NotFound),
        ({"revision": 3}, [CheckLine("coffee", "ams1")], NotFound),
        ({"revision": 3}, [], InvalidArgument),
    ],
)
def test_as_of_refuses_what_it_cannot_know(client, asked, lines, error):
    with pytest.raises(error):
        client.as_of(lines, **asked)
    assert client.check("tea", "ams1").refusal is None


def test_a_snapshot_holds_the_present_and_the_next_start_reads_it(client, tmp_path, journal, day):
    client.set_on_hand("tea", "ams1", 20)
    client.schedule_receipt("po-1", "tea", "ams1", 5, due_time_ms=day)
    made = client.snapshot()
    assert made.revision == client.stats().last_snapshot_revision
    assert made.size_bytes > 0
    held = client.reserve([ReserveLine("tea", "ams1", 8)])
    assert held.revision > made.revision, "promises go on after it"
    before = everything(client)
    copy = tmp_path / "copy"
    client.backup("copy")
    journal_restore(tmp_path / "backups/copy", copy)
    assert made.revision in journal_verify(copy)["snapshots"]
    with served({"path": str(copy)}) as again:
        assert everything(again) == before
        assert again.get_reservation(held.reservation_id).state == "HELD"


@pytest.mark.parametrize(
    ("restored_to", "on_hand"), [({}, 9), ({"revision": "counted"}, 20), ({"time_ms": "first"}, 20)]
)
def test_a_backup_of_a_running_server_is_brought_back(client, tmp_path, restored_to, on_hand):
    counted = client.set_on_hand("tea", "ams1", 20)
    first = client.stats().engine_time_ms
    while client.stats().engine_time_ms <= first:
        client.check("tea", "ams1")
    client.set_on_hand("tea", "ams1", 9)
    made = client.backup("monday/full")
    client.set_on_hand("tea", "ams1", 1)
    backup = tmp_path / "backups/monday/full"
    assert journal_verify_backup(backup)["revision"] == made.revision
    known = {"counted": counted.revision, "first": first}
    moment = {name: known[value] for name, value in restored_to.items()}
    journal_restore(backup, tmp_path / "restored", **moment)
    with Engine(tmp_path / "restored") as engine:
        assert engine.get_position("tea", "ams1").unrestricted == on_hand


@pytest.mark.parametrize("directory", ["", "/tmp/elsewhere", "../up", "a/../../up", ".", "taken"])
def test_a_backup_goes_to_a_new_directory_below_its_root_only(client, tmp_path, directory):
    (tmp_path / "backups/taken").mkdir(parents=True)
    (tmp_path / "backups/taken/file").write_text("mine")
    with pytest.raises(InvalidArgument, match="directory"):
        client.backup(directory)
    assert [path.name for path in (tmp_path / "backups").iterdir()] == ["taken"]
    assert (tmp_path / "backups/taken/file").read_text() == "mine"


@pytest.mark.parametrize(
    ("journal_settings", "root", "act"),
    [
        ("memory", True, lambda client: client.backup("b")),
        ("memory", True, lambda client: client.snapshot()),
        ("memory", True, lambda client: client.as_of(TEA, revision=1)),
        ("group", False, lambda client: client.backup("b")),
    ],
)
def test_what_is_not_set_up_says_so(tmp_path, journal_settings, root, act):
    settings = {"path": str(tmp_path / "journal"), "mode": journal_settings}
    roots = {"backup_root": str(tmp_path / "backups")} if root else {}
    with served(settings, **roots) as client:
        stock_shop(client)
        with pytest.raises(FailedPrecondition):
            act(client)
        assert client.stats().mode == journal_settings


def test_reconcile_proves_the_journal_against_the_positions(client, day):
    client.set_on_hand("tea", "ams1", 20)
    client.set_on_hand("rice", "ams2", 500)
    client.schedule_receipt("po-1", "tea", "ams1", 10, due_time_ms=day)
    now = client.reserve([ReserveLine("tea", "ams1", 8)], confirm=True)
    later = client.reserve([ReserveLine("tea", "ams1", 10, ship_time_ms=day)])
    client.fulfil(now.reservation_id, [FulfilLine(0, 3)])
    client.transfer("rice", "ams2", "rtm1", 200, "t-1", due_time_ms=day + DAY_MS)
    client.snapshot()
    client.release(later.reservation_id)
    proof = client.reconcile()
    assert (proof.oversold_units, proof.discrepancies) == (0, ())
    # tea and rice where they lie, and rice where it is going.
    assert proof.positions_checked == 3
    assert proof.records_checked == proof.revision == client.stats().revision


def test_a_fact_that_breaks_a_promise_is_a_shock_and_no_oversell(client, day):
    client.set_on_hand("tea", "ams1", 20)
    held = client.reserve([ReserveLine("tea", "ams1", 15, ship_time_ms=day)], confirm=True)
    told = client.set_on_hand("tea", "ams1", 12).shock
    assert (told.shortfall, told.at_risk[0].reservation_id) == (3, held.reservation_id)
    assert [(shock.shock_id, shock.shortfall) for shock in client.list_shocks("ams1")] == [(told.shock_id, 3)]
    assert client.list_shocks("ams1", after_shock_id=told.shock_id) == ()
    assert client.list_shocks("rtm1") == ()
    with pytest.raises(NotFound):
        client.list_shocks("lhr9")
    assert client.reconcile().discrepancies == ()
    client.adjust_on_hand("tea", "ams1", 3, "FOUND")
    assert client.list_shocks() == ()
