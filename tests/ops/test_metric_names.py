"""Every metric, label and value that rules, dashboards and runbooks name is on the page of a running server or worker."""

import json
import re
import urllib.request
from dataclasses import replace

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from bespeak import Client, Item, Location, NotFound, ReserveLine
from bespeak.v1 import allocation_pb2, allocation_pb2_grpc, forecast_pb2, forecast_pb2_grpc
from ops.objectives import LATENCY_BOUNDS_MS, read
from ops.rules import SERVER_ERRORS
from tests.conftest import REPO
from tests.ops.promql import groupings, plain, selectors
from tests.serving.cli_process import process
from tests.serving.worker_process import as_ipc, batch_of_orders, history, worker

BY_PROMETHEUS = {"job", "instance"}
"""Labels that every scraped series has."""
FOREIGN: dict[str, set[str]] = {"up": set()}
"""Metrics that are not ours, and their labels: of Prometheus."""
CODES = {"".join(word.capitalize() for word in code.name.split("_")) for code in grpc.StatusCode}
METHODS = {
    f"{service}/{name}"
    for _, service, body in re.findall(
        r'^    (\w+) "([\w.]+)" \{(.*?)^    \}',
        (REPO / "rust_core/server/src/method.rs").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    for name in re.findall(r'"(\w+)"', body)
}
BOARDS = sorted((REPO / "ops/grafana").glob("*.json"))
RULES = sorted((REPO / "ops/prometheus/rules").glob("*.yml"))
RUNBOOKS = sorted((REPO / "docs/operate/runbooks").glob("*.md"))


def queries(file):
    """PromQL of a file, and the legends that go with it."""
    text = file.read_text()
    if file.suffix == ".json":
        for panel in json.loads(text)["panels"]:
            for target in panel.get("targets", []):
                yield plain(target["expr"]), target["legendFormat"]
    elif file.suffix == ".yml":
        for block in re.findall(r"expr: \|-\n((?:          .*\n)+)", text):
            yield block, ""
    else:
        for block in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
            yield from ((line, "") for line in block.splitlines())


USED = [
    pytest.param(expr, legend, id=f"{file.stem}-{number}")
    for file in [*BOARDS, *RULES, *RUNBOOKS]
    for number, (expr, legend) in enumerate(queries(file))
]
RECORDED = {
    name: set(json.loads(labels))
    for file in RULES
    for name, labels in re.findall(r"record: (\S+)\n.*?labels: (\{.*?\})", file.read_text(), re.DOTALL)
}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """Label values of each sample name on both pages, after calls of each kind; and the names of the families."""
    place = tmp_path_factory.mktemp("pages")
    address = f"unix:{place}/compute.sock"
    settings = {"address": address, "models": ("climatology",), "metrics_address": "127.0.0.1:0"}
    arguments = [
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "127.0.0.1:0",
        "--data",
        place / "journal",
        "--worker",
        address,
    ]
    with worker(place, **settings) as computing, process("server", *arguments, cwd=place) as running:
        told = running.line("listening")
        running.line("serving")
        computing.await_serving(seconds=60)
        with Client(told["address"]) as client:
            client.put_item(Item("tea"))
            client.put_location(Location("ams1"))
            client.set_on_hand("tea", "ams1", 20)
            held = client.reserve([ReserveLine("tea", "ams1", 5)])
            client.confirm(held.reservation_id)
            client.check("tea", "ams1")
            with pytest.raises(NotFound):
                client.check("coffee", "ams1")
        with grpc.insecure_channel(told["address"]) as channel:
            request = forecast_pb2.ForecastRequest(context=as_ipc(history(2)), horizon=7, quantiles=[0.5])
            answer = forecast_pb2_grpc.ForecastServiceStub(channel).Forecast(request, timeout=60)
            assert not answer.fallback
            orders, options, stock = map(as_ipc, batch_of_orders(5))
            asked = {
                "orders": orders,
                "options": options,
                "stock": stock,
                "solver": "column-generation",
                "budget_ms": 1_000,
            }
            allocate = allocation_pb2_grpc.AllocationServiceStub(channel).Allocate
            assert not allocate(allocation_pb2.AllocateRequest(**asked), timeout=60).fallback
        families = [*openmetrics(page(told["metrics"])), *prometheus(page(computing.metrics))]
        assert running.stop() == 0
    labels: dict[str, dict[str, set[str]]] = {}
    for family in families:
        for sample in family.samples:
            seen = labels.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                seen.setdefault(label, set()).add(value)
    return labels, {family.name.removeprefix("bespeak_") for family in families}


def page(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        return answer.read().decode()


def documented():
    """Labels of each metric in the tables of the reference: what is on no page yet is known from there."""
    text = (REPO / "docs/reference/metrics.md").read_text()
    found: dict[str, set[str]] = {}
    for names, kind in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = set(re.findall(r"`(\w+)`", kind))
            if "candidate_" in name:
                found[name] |= {"route", "name", "version", "stage"}
    return found


def labels_of(name, scraped):
    """Labels of a metric, with the values that they had where it was scraped."""
    labels, families = scraped
    if name in FOREIGN or name in RECORDED:
        return {key: set() for key in FOREIGN.get(name, set()) | RECORDED.get(name, set())}
    if name in labels:
        return labels[name]
    bare = re.sub(r"_(total|bucket|count|sum)$", "", name.removeprefix("bespeak_"))
    assert bare in families, f"no page has {name}"
    return {key: set() for key in documented()[bare]}


@pytest.mark.parametrize(("expr", "legend"), USED)
def test_what_is_named_is_there(expr, legend, scraped):
    found = list(selectors(expr))
    assert found, expr
    for selector in found:
        there = labels_of(selector.name, scraped)
        for label, operator, value in selector.matchers:
            assert label in BY_PROMETHEUS | there.keys(), f"{selector.name} has no label {label}"
            if label not in BY_PROMETHEUS and selector.name not in FOREIGN:
                assert_values(selector.name, label, operator, value, there[label])
    every = BY_PROMETHEUS.union(*(labels_of(selector.name, scraped) for selector in found))
    assert groupings(expr) <= every, expr
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (groupings(expr) or every), f"{legend}: not a label of {expr}"


def assert_values(name, label, operator, value, seen):
    known = {"method": METHODS, "code": CODES}.get(label, seen) if name.startswith("bespeak_re") else seen
    if name in RECORDED:
        known = set(re.findall(r'"objective": "(\w+)"', "".join(file.read_text() for file in RULES)))
    if operator in {"=", "!="}:
        assert value in known, f"{name}: {label} is never {value}"
        return
    # A regular expression: each of its alternatives matches something.
    for one in alternatives(value):
        assert any(re.fullmatch(one, there) for there in known), f"{name}: {label} is never {one}"


def alternatives(pattern):
    """The alternatives of a regular expression, groups written out."""
    group = re.search(r"\(([^()]*)\)", pattern)
    if group:
        for one in group[1].split("|"):
            yield from alternatives(pattern[: group.start()] + one + pattern[group.end() :])
    elif "|" in pattern:
        yield from pattern.split("|")
    else:
        yield pattern


def test_every_metric_has_a_place_in_the_reference(scraped):
    _, families = scraped
    families = {name for name in families if name.removesuffix("_created") not in families - {name}}
    assert families - documented().keys() - gauges_in_prose() == set()
    assert documented().keys() - families == set()


def gauges_in_prose():
    text = (REPO / "docs/reference/metrics.md").read_text()
    _, _, section = text.partition("## The state\n")
    return set(re.findall(r"`(\w+)`", section.partition("\n## ")[0]))


def test_the_codes_and_methods_are_those_that_were_seen(scraped):
    labels, _ = scraped
    assert labels["bespeak_requests_total"]["code"] == {"Ok", "NotFound", *SERVER_ERRORS.split("|")}
    assert labels["bespeak_requests_total"]["method"] <= METHODS
    assert labels["bespeak_requests_total"]["code"] <= CODES


def test_the_bounds_are_written_as_the_server_writes_them(scraped):
    labels, _ = scraped
    one = read().objectives[0]
    written = {replace(one, latency_ms=bound).le for bound in LATENCY_BOUNDS_MS}
    assert written | {"+Inf"} == labels["bespeak_request_seconds_bucket"]["le"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("rate(bespeak_request_total[5m])", "no page has"),
        ('bespeak_requests_total{status="Ok"}', "no label status"),
        ('bespeak_requests_total{code="OK"}', "never OK"),
        ('bespeak_requests_total{method=~"bespeak.v1.PromiseService/(Check|Chek)"}', "Chek"),
        ('bespeak_request_seconds_bucket{le="0.02"}', "never 0.02"),
        ("sum by (customer) (bespeak_holds)", "customer"),
    ],
)
def test_what_is_not_there_is_found(wrong, told, scraped):
    with pytest.raises(AssertionError, match=told):
        test_what_is_named_is_there(wrong, "", scraped)
