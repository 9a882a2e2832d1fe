"""The search for the highest rate: that it is found, confirmed, and told honestly where the machine wavers."""

import random

import pytest

from loadtests.slo.search import Limits, Probe, search


def steady(limit):
    def probe(rate):
        return Probe(rate, rate <= limit, "" if rate <= limit else "p99 too long")

    return probe


@pytest.mark.parametrize("limit", [1.0, 3.0, 999.0, 1_000.0, 1_001.0, 54_321.0, 999_999.0])
@pytest.mark.parametrize("start", [1.0, 1_000.0, 300_000.0])
def test_the_limit_is_found_to_the_resolution_from_below(limit, start):
    found = search(steady(limit), start, Limits(resolution=0.05))
    assert limit / 1.05 <= found.rate <= limit
    assert found.limited_by == "p99 too long"
    again = [probe for probe in found.probes if probe.rate == found.rate]
    assert len(again) == 3, "found once, and confirmed twice"
    assert len(found.probes) < 50


def test_nothing_holds_nothing_is_told():
    found = search(steady(0.5), 64.0)
    assert found.rate == 0
    assert found.limited_by == "p99 too long"


def test_it_stops_at_the_highest_rate():
    found = search(steady(1e9), 100.0, Limits(highest=5_000))
    assert (found.rate, found.limited_by) == (5_000, "")


def test_a_rate_that_does_not_hold_again_is_not_told():
    seen: dict[float, int] = {}

    def once(rate):
        # Above 800 a rate holds the first time alone.
        seen[rate] = seen.get(rate, 0) + 1
        return Probe(rate, rate <= 800 or (rate <= 1_000 and seen[rate] == 1), "wavers")

    found = search(once, 500.0)
    assert 800 / 1.2 <= found.rate <= 800


@pytest.mark.parametrize("seed", range(20))
def test_on_a_machine_that_wavers_what_is_told_has_held_three_times(seed):
    print(f"seed {seed}")
    draw = random.Random(seed)

    def probe(rate):
        return Probe(rate, rate * draw.uniform(0.8, 1.25) <= 10_000, "slow")

    found = search(probe, 1_000.0)
    assert 0 < found.rate <= 12_500
    last = [one for one in found.probes if one.rate == found.rate]
    assert all(one.met for one in last)
    assert len(last) >= 3
    higher = [one.rate for one in found.probes if one.rate > found.rate and not one.met]
    assert higher
    assert len(found.probes) < 200
