"""slo.toml: what it may say, and what is refused because it could not be proven."""

from dataclasses import replace

import pytest

from loadtests.slo.file import MIXES, WrongSlo, read, seconds_needed
from loadtests.slo.varying import variants
from tests.conftest import REPO

TEXT = """
[server]
positions = 100
[generator]
measure_s = 10
[[scenario]]
name = "shop"
mix = "browse"
rate = 500
errors = 0.001
[[scenario.objective]]
method = "check"
p99_us = 2000
"""


def slo(tmp_path, text):
    path = tmp_path / "slo.toml"
    path.write_text(text)
    return read(path)


def test_the_documented_file_can_be_read_and_shows_every_default():
    found = read(REPO / "loadtests/slo.toml")
    assert set(MIXES) <= {scenario.name for scenario in found.scenarios}
    lines = (REPO / "loadtests/slo.toml").read_text().splitlines()
    for scenario in found.scenarios:
        for objective in scenario.objectives:
            assert lines[objective.line - 1].startswith(f"{objective.metric} = ")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('mix = "browse"', 'mix = "brows"', "there is no mix brows: choose from browse, checkout"),
        ('mix = "browse"', "mix = {chek = 1}", "mix is {'chek': 1}"),
        ("rate = 500", "", "rate is missing"),
        ("rate = 500", 'rate = "500"', "scenario shop: rate is '500': give a number"),
        ("rate = 500", "rate = inf", "scenario shop: rate is inf"),
        ("rate = 500", "rate = 500\nstreams = 500", "streams is 500: a connection takes 190"),
        ("rate = 500", "rate = 500\nlines = 1.5", "scenario shop: lines is 1.5: give a whole number"),
        ("rate = 500", "rate = 500\nkeys = 'zipff'", "keys is 'zipff': give uniform or zipf or one-hot"),
        ("rate = 500", "rate = 500\narrivals = 'often'", "arrivals is 'often'"),
        ("rate = 500", "rate = 500\ntransport = 3", "transport is 3"),
        ("rate = 500", "rate = 500\nrest = 1", "rest is 1: give true or false"),
        ("rate = 500", "rate = 500\npause = {at = 3}", "pause is {'at': 3}: give at_s and for_s"),
        ("rate = 500", "rate = 500\nmeasure_s = '60'", "scenario shop: measure_s is '60'"),
        ("rate = 500", "rate = 20\nrate_to = 40", "p99 of check needs 300 calls a round, 240 are expected"),
        ('mix = "browse"', 'mix = {check = "3"}', "mix of check is '3': give a whole number"),
        ('mix = "browse"', "mix = {check = 0}", "give one method a weight above 0"),
        ("[[scenario.objective]]", "[[scenario.objectives]]", "unknown objectives: write [[scenario.objective]]"),
        ("[[scenario.objective]]", "[scenario.objective]", "scenario.objective is one table: write [["),
        ("p99_us = 2000", "", "an objective of check asks for nothing"),
        (
            'errors = 0.001\n[[scenario.objective]]\nmethod = "check"\np99_us = 2000',
            "",
            "scenario shop asks for nothing",
        ),
        ("positions = 100", "positions = 1.5", "server: positions is 1.5: give a whole number above 0"),
        ("positions = 100", "cores = 0", "server: cores is 0: give a list"),
        ("positions = 100", "tls = 'no'", "server: tls is 'no': give true or false"),
        ("p99_us = 2000", "p99_us = nan", "p99_us is nan: give a number"),
        ("rate = 500", "rate = -1", "rate is -1"),
        ("p99_us = 2000", "p95_us = 2000", "line 13, scenario shop: there is no p95_us: choose from p50_us"),
        ("p99_us = 2000", 'p99_us = "2 ms"', "line 13, scenario shop: p99_us is '2 ms': give a number"),
        ("p99_us = 2000", "errors = 2", "line 13, scenario shop: errors is 2: it is a share"),
        ('method = "check"', 'method = "chekc"', "there is no method chekc"),
        ("rate = 500", "rate = 30", "p99 of check needs 300 calls a round, 240 are expected: raise measure_s or rate"),
        ("p99_us = 2000", "p999_us = 2000\n[[scenario.objective]]\nmethod = 'supply'\np99_us = 1", "line 16"),
        ("positions = 100", "position = 100", "server: unknown position"),
        ('mix = "browse"', 'mix = "forecast"', "scenario shop: its mix has no check"),
        (
            "p99_us = 2000",
            "p99_us = 2000\n[[scenario]]\nname = 'p'\nmix = 'allocation'\nrate = 99\n[[scenario.objective]]\np50_echo = 2",
            "the echo server knows no plans",
        ),
        ("positions = 100", 'durability = "disk"', "durability is 'disk'"),
        ("measure_s = 10", "measure_s = 0", "measure_s is 0"),
        ('name = "shop"', "", "scenario 1 has no name"),
        ("rate = 500", "rate = 500\ntransport = 'unary'\nburst = 3", "scenario shop: unknown burst"),
    ],
)
def test_what_cannot_be_proven_is_refused(right, wrong, told, tmp_path):
    assert right in TEXT
    with pytest.raises(WrongSlo) as refused:
        slo(tmp_path, TEXT.replace(right, wrong))
    assert told in str(refused.value)
    assert "slo.toml" in str(refused.value)


def test_a_slow_search_measures_until_there_are_calls_enough(tmp_path):
    (shop,) = slo(tmp_path, TEXT).scenarios
    # 80 % of 500 calls a second are checks, and a p99 needs 300 of them.
    assert seconds_needed(shop) == pytest.approx(300 / 400)
    assert seconds_needed(replace(shop, rate=1)) == pytest.approx(375)
    assert seconds_needed(replace(shop, objectives=shop.objectives[:1])) == 0, "a share of errors can always be told"


def test_flight_knows_no_echo(tmp_path):
    text = TEXT.replace('"browse"', '"bulk"').replace('method = "check"', "").replace("p99_us = 2000", "p99_echo = 3")
    with pytest.raises(WrongSlo, match="the echo server knows no Flight"):
        slo(tmp_path, text)


def test_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "slo.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(WrongSlo, match=r"slo\.toml: 'utf-8' codec"):
        read(path)


def test_a_step_is_what_the_generator_reads(tmp_path):
    found = slo(tmp_path, TEXT + '[[scenario]]\nname = "tables"\nmix = "bulk"\nrate = 9\nlines = 8000\nerrors = 0\n')
    shop, tables = found.scenarios
    step = found.step(shop, 7)
    assert (step["rate"], step["seed"], step["target"], step["measure_s"]) == (500, 7, "server", 10)
    assert step["mix"] == {"check": 80, "reserve": 10, "finish": 8, "supply": 2}
    assert found.step(shop, 7, echo=True)["target"] == "echo"
    assert (tables.transport, tables.connections, tables.lines) == ("flight", 2, 8000)


def test_searches_change_one_setting_at_a_time(tmp_path):
    found = slo(tmp_path, TEXT)
    made = list(
        variants(
            found,
            found.scenarios[0],
            ["positions=100k,1M", "lines=3", "durability=memory", "tls=true", "commitments=2"],
        )
    )
    assert [(one.name, one.value) for one in made] == [
        ("", ""),
        ("positions", "100k"),
        ("positions", "1M"),
        ("lines", "3"),
        ("durability", "memory"),
        ("tls", "true"),
        ("commitments", "2"),
    ]
    assert made[2].slo.server.positions == 1_000_000
    assert made[2].needs_bytes == 10 * made[1].needs_bytes
    assert (made[3].scenario.lines, made[3].slo.server.positions) == (3, 100)
    assert (made[4].slo.server.durability, made[5].slo.server.tls) == ("memory", True)
    assert made[6].slo.server.commitments == 2
    assert made[6].needs_bytes < made[0].needs_bytes, "6 commitments fewer"


@pytest.mark.parametrize("wrong", ["positions", "colour=1", "lines=many", "lines=0", "tls=yes", "durability=disk"])
def test_settings_that_there_are_not_are_named(wrong, tmp_path):
    found = slo(tmp_path, TEXT)
    with pytest.raises(WrongSlo, match="--vary "):
        list(variants(found, found.scenarios[0], [wrong]))
