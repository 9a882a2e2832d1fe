"""History to refresh to buffers to promises, through a live server and a live worker."""

import re
import signal
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from bespeak import BufferPolicy, BufferSource, Client, Engine, InvalidArgument, Item, Location, Unavailable
from bespeak._core import ManualClock
from bespeak.v1 import forecast_pb2, forecast_pb2_grpc
from models.totals import CORRELATION, approximate_totals
from serving.refresh.compute import Compute
from serving.refresh.dirty import Kept, Why, dirty
from serving.refresh.job import Plan, refresh
from serving.worker_ipc import read_table
from tests.serving.cli_process import REPO, process, run, server
from tests.serving.rollout_worker import running_worker
from tests.serving.worker_process import as_ipc

FOLLOW = BufferPolicy(BufferSource.FORECAST, level_ppm=900_000, lead_time_days=2, review_days=1)
DAY_MS = 86_400_000
PLACES = [("tea", "ams1"), ("rum", "ams1"), ("tea", "rtm1")]


def sales(places, days=70, seed=3):
    """Poisson sales of some positions, the last of them two days ago."""
    rng = np.random.default_rng(seed)
    last = int(np.datetime64("today").astype(int)) - 1
    names = [place for place in places for _ in range(days)]
    return pa.table(
        {
            "item": [item for item, _ in names],
            "location": [location for _, location in names],
            "timestamp": np.tile(np.arange(last - days, last).astype("datetime64[D]"), len(places)),
            "target": rng.poisson(9.0, len(names)).astype(float),
            "price": rng.uniform(1, 2, len(names)),
        }
    )


@contextmanager
def worker(place):
    with process("worker", "--address", f"unix:{place}/worker.sock", "--model", "climatology", cwd=place) as started:
        started.line("serving")
        yield started
        assert started.stop() == 0


def stock(client):
    for location in ("ams1", "rtm1"):
        client.put_location(Location(location))
    for item in ("tea", "rum"):
        client.put_item(Item(item))
    for item, location in PLACES:
        client.set_on_hand(item, location, 100)


def available(client, item="tea", location="ams1"):
    return client.check(item, location).available


def test_history_becomes_forecasts_and_buffers_and_survives_a_restart(tmp_path):
    pq.write_table(sales([*PLACES, ("gin", "ams1")]), tmp_path / "sales.parquet")
    refresh = ["refresh", "--once", "--history", "sales.parquet", "--worker", f"unix:{tmp_path}/worker.sock"]
    with worker(tmp_path), server("--data", "journal", cwd=tmp_path) as (running, address):
        with Client(address) as client:
            stock(client)
            client.put_buffer("rum", "ams1", 7)
            client.put_buffer_policy(FOLLOW, "ams1")
            told = run(*refresh, "--address", address, cwd=tmp_path)
            assert told.returncode == 0, told.stderr
            said = " ".join(told.stdout.split())
            assert "3 of 4 positions by climatology@1 (3 without a forecast)" in said
            assert "84 days and 18 totals pushed, 1 buffers moved" in said
            assert "totals made of the forecasts by day" in said
            assert "1 positions unknown to the engine left out" in said
            # Three days of Poisson 9 deviate by about 5: a buffer for nine cycles of ten is near 1.28 times that.
            kept_back = 100 - available(client)
            assert 2 <= kept_back <= 20
            assert available(client, "rum") == 93
            assert available(client, "tea", "rtm1") == 100
            seen = client.get_position("tea", "ams1")
            assert seen.buffer == kept_back
            assert seen.buffer_follows_forecast
            assert seen.buffer_forecast is not None
            assert seen.buffer_forecast.model == "climatology@1"
            assert not seen.buffer_forecast.stale
            assert client.get_position("rum", "ams1").buffer_forecast is None
            totals = client.forecast_totals()
            assert sorted(set(totals["horizon_days"].to_pylist())) == [1, 2, 3, 7, 14, 28]
            assert client.get_location("ams1").buffer_policy == FOLLOW
            again = run(*refresh, "--address", address, cwd=tmp_path)
            assert "0 of 4 positions" in " ".join(again.stdout.split())
            assert again.returncode == 0
            before = client.positions_table().drop_columns(["revision"])
        running.stop()
        with server("--data", "journal", cwd=tmp_path) as (_, restarted), Client(restarted) as client:
            assert client.positions_table().drop_columns(["revision"]) == before
            origin = client.get_position("tea", "ams1").buffer_forecast
            assert origin is not None
            assert (origin.model, origin.computed_at_ms) == ("climatology@1", seen.buffer_forecast.computed_at_ms)
            kept = client.stats().forecasts
            assert (kept.positions, kept.position_days) == (3, 84)
            assert available(client) == 100 - kept_back
            assert client.forecast_totals().num_rows == totals.num_rows
            pq.write_table(sales([("tea", "ams1")], seed=4), tmp_path / "sales.parquet")
            older = run(*refresh, "--address", restarted, "--older-than", "0s", cwd=tmp_path)
            assert "(1 too old)" in " ".join(older.stdout.split()), older.stdout + older.stderr


def test_what_the_server_has_seen_becomes_its_forecasts_and_corrects_them(tmp_path):
    today = int(np.datetime64("today").astype(int))
    clock = ManualClock((today - 60) * DAY_MS)
    rng = np.random.default_rng(5)
    with Engine(tmp_path / "journal", clock=clock) as engine:
        stock(engine)
        engine.set_on_hand("tea", "ams1", 100_000)
        for _ in range(60):
            clock.advance_ms(DAY_MS // 2)
            engine.adjust_on_hand("tea", "ams1", -int(rng.poisson(9.0)), "SALE")
            clock.advance_ms(DAY_MS // 2)
    with worker(tmp_path), server("--data", "journal", cwd=tmp_path) as (_, address), Client(address) as client:
        assert set(client.nowcast()["made_by"].to_pylist()) == {"climatology@1"}
        told = run("refresh", "--once", "--worker", f"unix:{tmp_path}/worker.sock", "--address", address, cwd=tmp_path)
        said = " ".join(told.stdout.split())
        assert "3 of 3 positions by climatology@1 (3 without a forecast)" in said, said + told.stderr
        kept = client.forecasts()
        first = {row["item"] + "@" + row["location"]: row["mean"] for row in kept.to_pylist()[::-1]}
        assert 6 < first["tea@ams1"] < 12
        assert first["rum@ams1"] == 0
        now = {row["item_id"]: row for row in client.nowcast().to_pylist()}
        assert {row["made_by"] for row in now.values()} == {"forecast"}
        assert 6 < now["tea@ams1"]["day_ahead"] < 12
        service = forecast_pb2_grpc.ForecastServiceStub(client._channel)
        scored = service.Accuracy(forecast_pb2.ForecastServiceAccuracyRequest(), timeout=30)
        assert (scored.to_day - scored.from_day, len(scored.rows)) == (27, 0), "no day of a forecast is over"


def test_a_refresh_that_repeats_ends_cleanly(tmp_path):
    pq.write_table(sales(PLACES), tmp_path / "sales.parquet")
    with worker(tmp_path), server("--memory", cwd=tmp_path) as (_, address), Client(address) as client:
        stock(client)
        arguments = ["--history", "sales.parquet", "--worker", f"unix:{tmp_path}/worker.sock", "--address", address]
        with process("refresh", "--every", "10m", *arguments, cwd=tmp_path) as repeating:
            watch = forecast_pb2_grpc.ForecastServiceStub(client._channel)
            asked = forecast_pb2.ForecastRequest(positions=[forecast_pb2.ForecastPosition(item="tea", location="ams1")])
            while not read_table(watch.Forecast(asked, timeout=30).forecast, "forecast").num_rows:
                assert repeating.process.poll() is None
            assert repeating.stop(signal.SIGTERM) == 0


def test_without_a_worker_or_a_history_it_says_what_to_do(tmp_path):
    pq.write_table(sales(PLACES).drop_columns(["target"]), tmp_path / "sales.parquet")
    with server("--memory", cwd=tmp_path) as (_, address):
        arguments = ["refresh", "--once", "--worker", f"unix:{tmp_path}/none.sock", "--address", address]
        wrong = run(*arguments, "--history", "sales.parquet", cwd=tmp_path)
        assert wrong.returncode == 1
        assert "has no column target" in wrong.stderr
        pq.write_table(sales(PLACES), tmp_path / "sales.parquet")
        away = run(*arguments, "--history", "sales.parquet", cwd=tmp_path)
        assert away.returncode == 1
        assert "does not forecast" in " ".join(away.stderr.split())


def test_a_hostile_table_is_refused_with_its_row(tmp_path):
    with server("--memory", cwd=tmp_path) as (_, address), Client(address) as client:
        stock(client)
        good = {"item": ["tea"], "location": ["ams1"], "horizon_days": [3], "mean": [5.0], "0.9": [9.0]}
        client.put_buffer_policy(FOLLOW, "ams1")
        assert client.push_forecast_totals(pa.table(good), "m@1").buffers_changed == 1
        assert available(client) == 96
        for column, value in [("mean", float("nan")), ("0.9", -1.0), ("horizon_days", 400), ("item", "gin")]:
            two = {name: [*values, value if name == column else values[0]] for name, values in good.items()}
            two["horizon_days"][0] = 4
            with pytest.raises(InvalidArgument, match=rf"rows\[1\]\.{column}"):
                client.push_forecast_totals(pa.table(two), "m@2")
        assert client.forecast_totals()["model"].to_pylist() == ["m@1"]
        assert available(client) == 96


def test_what_is_due_says_why():
    day = np.datetime64("2026-03-01").astype(object)
    hour = 3_600_000
    last = {("a", "x"): day, ("b", "x"): day, ("c", "x"): day, ("d", "x"): day, ("e", "x"): day}
    next_day = np.datetime64("2026-03-02").astype(object)
    kept = {
        ("b", "x"): Kept("m@1", 0, day),
        ("c", "x"): Kept("m@0", 99 * hour, next_day),
        ("d", "x"): Kept("m@1", 0, next_day),
        ("e", "x"): Kept("m@1", 99 * hour, next_day),
    }
    found = dirty(last, kept, ("m@1", "m@2"), 100 * hour, 24 * hour)
    assert found == {("a", "x"): Why.NEW, ("b", "x"): Why.DAYS, ("c", "x"): Why.MODEL, ("d", "x"): Why.AGE}


def test_versions_behind_a_route_are_named_and_not_asked_again(tmp_path):
    places = [(f"sku-{number}", "ams1") for number in range(20)]
    history = sales(places)
    with (
        running_worker(tmp_path, "local") as running,
        server("--memory", cwd=tmp_path) as (_, address),
        Client(address) as client,
    ):
        client.put_location(Location("ams1"))
        for item, location in places:
            client.put_item(Item(item))
            client.set_on_hand(item, location, 100)
        compute = Compute(running.worker.address)

        def due(**plan):
            return dict(refresh(client, compute, history, Plan(model="scaled", **plan)).due)

        def makers():
            return Counter(client.forecasts().group_by(["item", "model"]).aggregate([])["model"].to_pylist())

        assert (due(), makers()) == ({Why.NEW: 20}, {"scaled@1": 20})
        assert due() == {}
        running.deploy("2", canary=0.5)
        assert due() == {}, "what the active version made stays"
        assert due(age_ms=-1) == {Why.AGE: 20}
        made = makers()
        assert set(made) == {"scaled@1", "scaled@2"}
        assert (due(), makers()) == ({}, made)
        means = dict(client.forecasts().group_by("model").aggregate([("mean", "mean")]).sort_by("model").to_pydict())
        assert means["mean_mean"][1] > 1.5 * means["mean_mean"][0], "each has its own rows"
        running.promote("2")
        assert (due(), makers()) == ({Why.MODEL: made["scaled@1"]}, {"scaled@2": 20})


class GoneAt(Client):
    """A connection whose server is gone when the push of this number begins; it keeps what was pushed before."""

    def __init__(self, address, number):
        super().__init__(address)
        self.number = number
        self.pushed = []

    def begin(self, what, table):
        if len(self.pushed) == self.number:
            raise Unavailable("UNAVAILABLE", "the server is gone: send it again")
        positions = len(set(zip(table["item"].to_pylist(), table["location"].to_pylist(), strict=True)))
        self.pushed.append((what, positions, table.num_rows))

    def push_forecasts(self, table, model, computed_at_ms=0):
        self.begin("days", table)
        return super().push_forecasts(table, model, computed_at_ms)

    def push_forecast_totals(self, table, model, computed_at_ms=0):
        self.begin("totals", table)
        return super().push_forecast_totals(table, model, computed_at_ms)


def test_a_round_is_pushed_in_parts_and_what_one_left_is_done_by_the_next(tmp_path):
    history = sales(PLACES)
    last = pc.max(history["timestamp"]).as_py()
    # Of two positions and one, each its totals and then its days.
    plan = Plan(push_rows=60)
    parts = [("totals", 2, 12), ("days", 2, 56), ("totals", 1, 6), ("days", 1, 28)]

    def made_at(table):
        return {(row["item"], row["location"]): row["computed_at_ms"] for row in table.to_pylist()}

    with worker(tmp_path), server("--memory", cwd=tmp_path) as (_, address), Client(address) as client:
        stock(client)
        compute = Compute(f"unix:{tmp_path}/worker.sock")
        for number, left in enumerate((3, 3, 1, 1)):
            # A day more each time, so that every position is due.
            known = history.filter(pc.less_equal(history["timestamp"], last - timedelta(days=4 - number)))
            with GoneAt(address, number) as breaking, pytest.raises(Unavailable, match="the server is gone"):
                refresh(breaking, compute, known, plan)
            assert breaking.pushed == parts[:number]
            assert refresh(client, compute, known, plan).due.total() == left, f"gone at push {number}"
            made = made_at(client.forecasts())
            assert set(made) == set(PLACES)
            assert made_at(client.forecast_totals()) == made
        with GoneAt(address, None) as watched:
            report = refresh(watched, compute, history, plan)
        assert watched.pushed == parts
        assert (report.pushed, report.days, report.totals) == (3, 84, 18)
        unknown = history.set_column(3, "target", pa.nulls(history.num_rows, pa.float64()))
        report = refresh(client, compute, unknown, Plan(age_ms=-1))
        assert (report.silent, report.pushed) == (3, 0)
        assert made_at(client.forecasts()) == made_at(client.forecast_totals())
        compute.close()


def test_a_part_is_no_more_than_the_server_takes():
    source = (REPO / "rust_core/demand/src/forecasts/mod.rs").read_text()
    (most,) = re.findall(r"pub const ROWS_MAX: usize = ([\d_]+);", source)
    assert Plan().push_rows <= int(most)


def test_totals_of_days_lie_between_independent_days_and_days_that_move_as_one():
    days = 7
    forecast = pa.table({"item_id": ["a"] * days, "mean": [4.0] * days, "0.5": [4.0] * days, "0.9": [7.0] * days})
    totals = approximate_totals(forecast, [1, 7], [0.5, 0.9])
    assert totals["horizon_days"].to_pylist() == [1, 7]
    assert totals["mean"].to_pylist() == [4.0, 28.0]
    first, week = totals["0.9"].to_pylist()
    assert first == pytest.approx(7.0)
    assert 28 + 3 * np.sqrt(days) < week < 28 + 3 * days
    assert week == pytest.approx(28 + 3 * np.sqrt((1 - CORRELATION) * days + CORRELATION * days**2))


def test_the_drivers_of_a_forecast_are_named(tmp_path):
    (tmp_path / "bespeak.toml").write_text(f'[server.compute]\naddress = "unix:{tmp_path}/worker.sock"\n')
    context = sales([("tea", "ams1")]).rename_columns({"item": "item_id"}).drop_columns(["location"])
    with server("--memory", cwd=tmp_path) as (_, address):
        channel = grpc.insecure_channel(address)
        service = forecast_pb2_grpc.ForecastServiceStub(channel)
        asked = forecast_pb2.ForecastServiceExplainRequest(context=as_ipc(context), horizon=7)
        away = service.Explain(asked, timeout=60)
        assert away.fallback
        assert read_table(away.drivers, "drivers").num_rows == 0
        with worker(tmp_path):
            told = forecast_pb2.ForecastServiceExplainResponse(fallback=True)
            while told.fallback:  # the circuit closes again by itself
                told = service.Explain(asked, timeout=60)
            drivers = {row["driver"]: row for row in read_table(told.drivers, "drivers").to_pylist()}
            assert set(drivers) == {"price", "history"}
            assert told.made_by == "climatology@1"
            assert told.source == forecast_pb2.FORECAST_SOURCE_WORKER
            # Climatology looks at no price, and is its own history.
            for row in drivers.values():
                assert row["effect"] == pytest.approx(0.0, abs=1e-9)
                assert 30 < row["mean"] < 100
            asked.covariates.append("weather")
            with pytest.raises(grpc.RpcError) as refused:
                service.Explain(asked, timeout=60)
            assert "the covariates of the tables are price" in refused.value.details()
        channel.close()
