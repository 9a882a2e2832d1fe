"""The metrics page of a server with a journal: what it counts, and that the documentation knows every name."""

import re
import shutil
import time
import urllib.request
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from bespeak import (
    AllocationLine,
    AllocationOrder,
    AllocationTerms,
    Client,
    Item,
    Location,
    Network,
    NotFound,
    ReserveLine,
)
from tests.serving.cli_process import process

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"
SERVICE = "bespeak.v1.PromiseService"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Metric families by name without prefix, after one order of each kind of outcome."""
    place = tmp_path_factory.mktemp("metrics")
    arguments = ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--data", place / "journal"]
    with process("server", *arguments, cwd=place) as running:
        told = running.line("listening")
        running.line("serving")
        with Client(told["address"]) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("ams1"))
            client.put_location(Location("rtm1"))
            client.set_on_hand("tea", "ams1", 20)
            client.set_on_hand("tea", "rtm1", 1)
            for quantity in (5, 7, 100):
                client.reserve([ReserveLine("tea", "ams1", quantity)], confirm=quantity == 7)
            with pytest.raises(NotFound):
                client.check("coffee", "ams1")
            lines = tuple(AllocationLine(n, item, 1, 90) for n, item in enumerate(("tea", "tea", "coffee")))
            rates = pa.table({"location": ["ams1"], "zone": ["x"], "package_minor": [100]})
            client.allocate(AllocationOrder("a", lines, zone="x"), AllocationTerms(network=Network(rates)))
            # A count that breaks a promise, and one that mends it.
            client.set_on_hand("tea", "ams1", 3)
            client.set_on_hand("tea", "ams1", 20)
            stats = client.stats()
        with urllib.request.urlopen(f"http://{told['metrics']}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert running.stop() == 0
    families = {family.name.removeprefix("bespeak_"): family for family in text_string_to_metric_families(text)}
    return families, stats, place


def value(families, name, suffix="", **labels):
    found = [
        sample.value
        for sample in families[name].samples
        if sample.name == f"bespeak_{name}{suffix}" and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, f"{name}{suffix} {labels}: {families[name].samples}"
    return found[0]


@pytest.mark.parametrize(
    ("name", "suffix", "labels", "expected"),
    [
        ("request_seconds", "_count", {"method": f"{SERVICE}/Reserve"}, 3),
        ("request_seconds", "_bucket", {"method": f"{SERVICE}/Reserve", "le": "+Inf"}, 3),
        ("requests", "_total", {"method": f"{SERVICE}/Reserve", "code": "Ok"}, 3),
        ("requests", "_total", {"method": f"{SERVICE}/Check", "code": "NotFound"}, 1),
        ("refusals", "_total", {"refusal": "INSUFFICIENT_STOCK"}, 1),
        ("refusals", "_total", {"refusal": "CUSTOMER_LIMIT"}, 0),
        ("requests_in_flight", "", {}, 0),
        *(
            ("requests_shed", "_total", {"reason": reason}, 0)
            for reason in ("requests_in_flight", "streams", "plans", "buffered_bytes")
        ),
        *(("connections_refused", "_total", {"reason": reason}, 0) for reason in ("limit", "handshake", "timeout")),
        ("limit", "", {"of": "requests_in_flight"}, 4_096),
        ("limit", "", {"of": "streams"}, 1_024),
        ("limit", "", {"of": "connections"}, 4_096),
        ("limit", "", {"of": "journal_pending_records"}, 65_536),
        ("limit", "", {"of": "positions"}, 64_000_000),
        ("journal_writes_refused", "_total", {}, 0),
        ("journal_rolls", "_total", {}, 0),
        ("supply_shocks", "_total", {}, 1),
        ("items", "", {}, 1),
        ("locations", "", {}, 2),
        ("positions", "", {}, 2),
        ("holds", "", {}, 1),
        ("confirmed_reservations", "", {}, 1),
        ("open_shocks", "", {}, 0),
        ("replay_lag_records", "", {}, 0),
        ("serving", "", {}, 1),
        ("clock_suspect", "", {}, 0),
        ("plans", "_total", {"solver": "search", "outcome": "planned"}, 1),
        ("plans", "_total", {"solver": "search", "outcome": "fallback"}, 0),
        ("plans", "_total", {"solver": "column-generation", "outcome": "planned"}, 0),
        ("plan_seconds", "_count", {}, 1),
        ("plan_gap_ratio", "_count", {}, 1),
        ("plan_orders", "_total", {}, 1),
        ("plan_lines", "_total", {}, 3),
        ("plan_lines_filled", "_total", {}, 2),
        ("plan_packages", "_total", {}, 1),
        ("plan_holds", "_total", {}, 0),
    ],
)
def test_what_happened_is_counted(page, name, suffix, labels, expected):
    families, *_ = page
    assert value(families, name, suffix, **labels) == expected


def test_every_record_is_in_a_synced_batch(page):
    families, stats, _ = page
    records = value(families, "journal_records", "_total")
    assert records == stats.revision == value(families, "durable_revision")
    assert value(families, "journal_batch_records", "_sum") == records
    syncs = value(families, "journal_sync_seconds", "_count")
    assert 0 < syncs == value(families, "journal_batch_records", "_count") <= records
    assert 0 < value(families, "journal_sync_seconds", "_sum") < 60
    assert value(families, "journal_pending_records") == 0


@pytest.mark.parametrize("name", ["request_seconds", "journal_sync_seconds", "journal_batch_records"])
def test_buckets_rise_to_the_count(page, name):
    families, *_ = page
    by_series: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for sample in families[name].samples:
        if sample.name.endswith("_bucket"):
            series = tuple(pair for pair in sample.labels.items() if pair[0] != "le")
            by_series.setdefault(series, []).append(sample.value)
    for series, buckets in by_series.items():
        assert buckets == sorted(buckets)
        assert buckets[-1] == value(families, name, "_count", **dict(series))


def test_the_space_left_for_the_journal_is_that_of_its_disk(page):
    families, _, place = page
    size, free = (value(families, f"journal_disk_{name}_bytes") for name in ("size", "free"))
    there = shutil.disk_usage(place)
    assert size == there.total
    # Others write to the disk as well.
    assert 0 < free < size
    assert abs(free - there.free) < 0.2 * size


def test_the_process_is_told_as_prometheus_expects_it(page):
    families, *_ = page
    told = {name: family.samples[0].value for name, family in families.items() if name.startswith("process_")}
    assert 0 < time.time() - told["process_start_time_seconds"] < 3_600
    assert 0 < told["process_cpu_seconds"] < 3_600
    assert told["process_resident_memory_bytes"] > 10 << 20
    assert 3 < told["process_open_fds"] < told["process_max_fds"]


def test_the_documentation_names_what_is_there(page):
    families, *_ = page
    of_the_server = DOCUMENT.read_text().partition("\n## The worker\n")[0]
    known = set(re.findall(r"`([a-z_]+)`", of_the_server))
    assert set(families) - known == set(), "not documented"
    tables = re.findall(r"^\| (`[^|]+`) \|", of_the_server, re.MULTILINE)
    documented = {name for row in tables for name in re.findall(r"`([a-z_]+)`", row)}
    assert documented - set(families) == set(), "documented and not there"
