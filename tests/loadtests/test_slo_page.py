"""The page of a run: whole in itself, with a chart for each scenario, and nothing drawn outside its chart."""

import itertools
import json
import re
import xml.etree.ElementTree as ET

import pytest

from loadtests.slo.charts import Axis, Series, chart, duration, linear_axis, time_axis
from loadtests.slo.cli import main
from loadtests.slo.memory import happened
from loadtests.slo.page import page
from loadtests.slo.pictures import height

MACHINE = {
    "kind": "machine",
    "cpu": "Some <CPU>",
    "cores": 2,
    "memory_mib": 24_105,
    "kernel": "6.1",
    "server_cores": [0],
    "client_core": 1,
    "version": "0.1.0",
}
SERVER = {"kind": "server", "positions": 1_000, "receipts": 4, "tls": True, "command": "server --memory"}


def latency(p50):
    return {"p50_us": p50, "p99_us": p50 * 8, "p999_us": p50 * 20, "max_us": p50 * 40}


def step(name, target="server", p50=300.0, rate=1_000.0, refused=None, **more):
    curve = [[q, p50 / (1 - q) ** 0.5] for q in (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)] + [[1.0, p50 * 200]]
    summary = {"calls": 10_000, "latency": None if refused else latency(p50), "curve": [] if refused else curve}
    moment = {"calls": 100, "p50_us": p50, "p99_us": 8 * p50, "max_us": 40 * p50}
    return {
        "kind": "step",
        "name": name,
        "target": target,
        "rate": rate,
        "measure_s": 2.0,
        "refused": refused,
        "lines": 1,
        "server_cpu_us": p50 / 30,
        "methods": {"check": summary, "reserve": summary, "all": summary},
        "timeline": [{"at_s": 0.25 * n, **moment} for n in range(8)],
        **more,
    }


def verdict(scenario, met, bound=2_000.0):
    value = {True: bound / 2, False: bound * 2, None: None}[met]
    return {
        "kind": "verdict",
        "scenario": scenario,
        "method": "check",
        "metric": "p99_us",
        "bound": bound,
        "median": value,
        "min": value,
        "max": value,
        "met": met,
        "why": "generator late",
    }


PROOF = [
    MACHINE,
    SERVER,
    step("shop", pause={"at_s": 0.5, "for_s": 0.5}),
    step("shop", "echo", 100.0),
    step("late", refused="generator started operations 900 us late"),
    verdict("shop", True),
    verdict("shop", False, 1_000.0),
    verdict("late", None),
]
SEARCH = [
    MACHINE,
    SERVER,
    *(step("reserve", rate=rate, p50=rate / 3) for rate in (100.0, 400.0, 200.0, 200.0)),
    {"kind": "found", "search": "reserve", "variant": "lines 3", "rate": 200.0, "limited_by": "p99 > 2 ms"},
    {"kind": "skipped", "variant": "positions 10M", "why": "it needs 22 GiB"},
]


def search(variant, p50, rate=200.0):
    return [
        step("reserve", p50=p50, rate=rate),
        {"kind": "found", "search": "reserve", "variant": variant, "rate": rate, "limited_by": ""},
    ]


GROWTH = [
    MACHINE,
    SERVER,
    step("other", p50=9e9),
    SERVER,
    *search("as the file says", 300.0),
    *search("lines 20", 1_200.0),
    *search("lines 5", 600.0),
    # Nothing held: there is no cost to tell.
    *search("lines 256", 9_000.0, 0.0),
    SERVER,
    *search("positions 1M", 330.0),
    *search("keys zipf", 300.0),
]


def charts_of(text):
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_a_proof_shows_verdicts_percentiles_and_what_happened():
    text = page(PROOF)
    assert "1 of 3 objectives met" in text
    assert [text.count(f">{word}</td>") for word in ("met", "missed", "not proven")] == [1, 1, 1]
    assert "no latency of late, server: generator started" in text
    assert "Some &lt;CPU&gt;" in text
    assert "TLS, in memory" in text
    assert "server stopped" in text
    assert "bare gRPC" in text
    assert "check p99 ≤ 2 ms" in text
    assert len(charts_of(text)) == 2, "percentiles and timeline of shop; late tells none"


def test_a_bound_of_growth_shows_memory_over_time():
    samples = [{"at_s": 0.25 * n, "resident_bytes": (500 + n) << 20, "table_bytes": n << 20} for n in range(8)]
    soak = step("soak", memory=samples)
    bound = verdict("soak", True, 0.02) | {"method": "all", "metric": "growth"}
    assert "memory of the server" not in page([MACHINE, SERVER, soak, verdict("soak", True)]), "nobody asked"
    assert "memory of the server" not in page([MACHINE, SERVER, step("soak"), bound]), "lines of an earlier version"
    charts = {chart.get("aria-label"): chart for chart in charts_of(page([MACHINE, SERVER, soak, bound]))}
    resident, beside = [
        [float(place.split(",")[1]) for place in line.get("points").split()]
        for line in charts["soak: memory of the server"].iter()
        if line.tag == "polyline"
    ]
    assert resident == sorted(resident, reverse=True)
    assert resident[0] > resident[-1], "what is resident grew"
    assert len(set(beside)) == 1, "all of it by the tables"


def test_a_timeline_shows_what_the_journal_did():
    told = [(1, 9), (1, 9), (2, 9), (2, 4), (3, 3), (3, 4), (3, 4), (3, 4)]
    samples = [
        {
            "at_s": 0.25 * n,
            "resident_bytes": 1,
            "table_bytes": 0,
            "snapshot_revision": made,
            "journal_segments": segments,
        }
        for n, (made, segments) in enumerate(told)
    ]
    spans = happened(step("soak", memory=samples))
    # The second and the third are too near to the first to be named as well.
    assert spans == [(0.25, 0.5, "snapshot"), (0.5, 0.75, ""), (0.75, 1.0, "")]
    samples[3:] = [{**sample, "at_s": sample["at_s"] + 9} for sample in samples[3:]]
    assert [name for *_, name in happened(step("soak", memory=samples, measure_s=12.0))] == [
        "snapshot",
        "",
        "snapshot, 1 segments removed",
    ]
    assert "snapshot</text>" in page([MACHINE, SERVER, step("soak", memory=samples), verdict("soak", True)])
    assert happened(step("soak")) == [], "lines of an earlier version"


def test_what_a_server_is_filled_with_is_told():
    light = {**SERVER, "positions": 10_000_000, "receipts": 1, "commitments": 2}
    text = page([MACHINE, SERVER, light, *PROOF[2:]])
    assert "1,000 positions, 4 receipts and 8 commitments each, TLS" in text, "lines of an earlier version, all with 8"
    assert "10,000,000 positions, 1 receipts and 2 commitments each" in text


def test_every_machine_is_named():
    other = {**MACHINE, "cpu": "Other"}
    text = page([MACHINE, other, MACHINE, *PROOF[1:]])
    assert text.count("Some &lt;CPU&gt;") == text.count("Other") == 1


def test_a_search_shows_throughput_against_latency():
    text = page(SEARCH)
    assert "lines 3" in text
    assert "skipped: positions 10M it needs 22 GiB" in text
    (found,) = charts_of(text)
    lines = [element for element in found.iter() if element.tag == "polyline"]
    assert [len(line.get("points").split()) for line in lines] == [3, 3, 3], "a point a rate, rates in order"
    across = [float(place.split(",")[0]) for place in lines[0].get("points").split()]
    assert across == sorted(across)


def test_what_was_varied_shows_how_the_cost_grows():
    text = page(GROWTH)
    charts = {chart.get("aria-label"): chart for chart in charts_of(text)}
    assert charts.keys() >= {"by lines", "by positions"}
    assert "by keys" not in charts, "one value alone has nothing to be compared with"
    (line,) = [element for element in charts["by lines"].iter() if element.tag == "polyline"]
    points = [tuple(map(float, place.split(","))) for place in line.get("points").split()]
    assert len(points) == 3, "1 as the file says, 5 and 20"
    assert points == sorted(points)
    heights = [y for _, y in points]
    assert heights == sorted(heights, reverse=True), "it costs more"
    words = [element.text for element in charts["by positions"].iter() if element.tag == "text"]
    assert {"1k", "1M"} <= set(words)


@pytest.mark.parametrize("lines", [PROOF, SEARCH, GROWTH], ids=["proof", "search", "growth"])
def test_a_page_needs_nothing_from_elsewhere_and_draws_within_its_charts(lines):
    text = page(lines)
    assert not re.search(r"(src|href)=|@import|url\(", text)
    for found in charts_of(text):
        _, _, width, height = map(float, found.get("viewBox").split())
        for element in found.iter():
            for place in (element.get("points") or "").split():
                x, y = map(float, place.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height
            if element.tag == "text":
                assert 0 <= float(element.get("x")) <= width
                assert 0 <= float(element.get("y")) <= height


def test_names_of_lines_that_end_together_do_not_lie_on_one_another():
    lines = [Series(f"line {n}", [(0, 5), (10, 5 + n / 100)], "#000") for n in range(6)]
    lines.append(Series("low", [(0, 5), (10, 0)], "#000"))
    drawn = chart("t", linear_axis("x", 0, 10), linear_axis("y", 0, 10), lines)
    places = sorted(float(y) for y in re.findall(r'y="([\d.]+)" fill="#000" class="name"', drawn))
    assert len(places) == 7
    assert all(after - before >= 12.9 for before, after in itertools.pairwise(places))


def test_axes_keep_the_order_and_ends_of_their_values():
    for axis in (linear_axis("x", 3, 17), time_axis("y", [3, 170_000]), time_axis("y", [100, 130])):
        shares = [axis.share(value) for value, _ in axis.ticks]
        assert shares == sorted(shares)
        assert axis.ticks
        assert (axis.share(axis.least), axis.share(axis.most)) == (0, 1)
    assert Axis("z", 0, 0, ()).share(0) == 0


@pytest.mark.parametrize(("us", "text"), [(0.5, "0.5 µs"), (999, "999 µs"), (1_500, "1.5 ms"), (2e6, "2 s")])
def test_durations_are_told_as_one_reads_them(us, text):
    assert duration(us) == text


def test_a_page_is_made_of_stored_lines(tmp_path, monkeypatch):
    # Without a browser there is no picture, and the page all the same.
    monkeypatch.setenv("PATH", str(tmp_path))
    stored = tmp_path / "lines.jsonl"
    stored.write_text("".join(json.dumps(line) + "\n" for line in PROOF))
    assert main(["--slo", "none.toml", "--from", str(stored), "--report", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page/report.html").read_text() == page(PROOF)
    assert not (tmp_path / "page/report.png").exists()


def test_a_picture_is_as_high_as_the_sections_below_one_another():
    one = '<svg width="560" height="320"></svg>'
    beside, below = (height(html) for html in (f"<h2>a</h2>{one}{one}", f"<h2>a</h2>{one}<h2>b</h2>{one}"))
    assert below >= beside + 320
