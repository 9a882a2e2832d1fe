"""The server's own history, climatology and nowcast against their definitions in Python."""

import json
from datetime import date, timedelta

import grpc
import numpy as np
import pyarrow as pa
import pytest

from bespeak import Client, Engine, InvalidArgument, Item, Location, NotFound, ReserveLine
from bespeak._core import ManualClock, Server
from bespeak.v1 import forecast_pb2, forecast_pb2_grpc
from models import Climatology
from models.nowcast import Profile, dispersion_of, pooled_dispersion, rest_of_day
from tests.models.tables import table

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
FIRST_DAY = 20_700  # 2026-09-04
LEVELS = (0.05, 0.1, 0.5, 0.9, 0.995)


@pytest.fixture(scope="module")
def server():
    started = Server(json.dumps({"listen": "127.0.0.1:0"}))
    started.wait_ready(30_000)
    yield started
    started.drain()
    started.wait()


def as_ipc(context):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, context.schema) as writer:
        writer.write_table(context)
    return sink.getvalue().to_pybytes()


def random_panel(rng):
    """Series with holes, stock-outs and every length; some sell nothing, some are never in stock."""
    items, stock = {}, []
    for index in range(12):
        days = int(rng.integers(1, 100))
        values = rng.negative_binomial(1, 0.3, days).astype(float) * rng.choice([0, 1, 1, 1000])
        values[rng.random(days) < rng.choice([0, 0.3, 0.95])] = np.nan
        items[f"i{index:02}"] = [None if np.isnan(value) else value for value in values]
        stock.append(np.where(rng.random(days) < rng.choice([0, 0.4, 1]), rng.random(days), 0.0))
    return table(items, stockout=pa.array(np.concatenate(stock)))


@pytest.mark.parametrize("seed", range(10))
def test_the_servers_climatology_is_that_of_models(server, seed):
    context = random_panel(np.random.default_rng(seed))
    with grpc.insecure_channel(server.address) as channel:
        request = forecast_pb2.ForecastRequest(context=as_ipc(context), horizon=10, quantiles=LEVELS)
        answer = forecast_pb2_grpc.ForecastServiceStub(channel).Forecast(request, timeout=60)
    assert (answer.made_by, answer.fallback) == ("climatology@1", True)
    got = pa.ipc.open_stream(answer.forecast).read_all()
    wanted = Climatology().predict(context, None, 10, LEVELS)
    assert got.column_names == wanted.column_names
    assert got["item_id"].to_pylist() == wanted["item_id"].to_pylist()
    assert got["timestamp"].to_pylist() == wanted["timestamp"].to_pylist()
    for name in got.column_names[2:]:
        assert got[name].null_count == wanted[name].null_count, name
        np.testing.assert_allclose(got[name].to_numpy(), wanted[name].to_numpy(), rtol=1e-12, err_msg=name)


class Shop:
    """A few weeks of random sales, told to an engine by the hour, and what they were."""

    def __init__(self, seed, days):
        rng = np.random.default_rng(seed)
        self.items, self.places = 5, 3
        self.item, self.place = (grid.ravel() for grid in np.indices((self.items, self.places)))
        hours = rng.dirichlet(np.full(24, 2.0), self.items)[self.item]
        size = rng.gamma(2.0, 6.0, len(self.item))
        pace = rng.gamma(8.0, 1 / 8, (days, self.items))[:, self.item]
        self.sales = rng.poisson(size[:, None] * hours * pace[:, :, None]).transpose(1, 0, 2)
        # Hours without stock come now and then, and sell nothing.
        self.out = rng.random(self.sales.shape[:2]) < 0.1
        self.out_hours = np.zeros(self.sales.shape, bool)
        self.out_hours[:, :, 8:11] = self.out[:, :, None]
        self.sales[self.out_hours] = 0

    def names(self, position):
        return f"i{self.item[position]}", f"l{self.place[position]}"

    def open(self, service, clock):
        for item in range(self.items):
            service.put_item(Item(f"i{item}"))
        for place in range(self.places):
            service.put_location(Location(f"l{place}"))
        for position in range(len(self.item)):
            service.set_on_hand(*self.names(position), 1_000_000)
        clock.set_ms(FIRST_DAY * DAY_MS)

    def live(self, service, clock, days, until_hour):
        """Tells every hour up to the last day's `until_hour`, each sale half way through its hour."""
        for day in range(days):
            for hour in range(24 if day < days - 1 else until_hour):
                start = (FIRST_DAY + day) * DAY_MS + hour * HOUR_MS
                clock.set_ms(start)
                for position in np.flatnonzero(self.out[:, day]):
                    if hour in (8, 11):
                        service.set_on_hand(*self.names(position), 0 if hour == 8 else 1_000_000)
                clock.set_ms(start + HOUR_MS // 2)
                for position in np.flatnonzero(self.sales[:, day, hour]):
                    service.adjust_on_hand(*self.names(position), -int(self.sales[position, day, hour]), "SALE")
        clock.set_ms((FIRST_DAY + days - 1) * DAY_MS + until_hour * HOUR_MS)


def by_position(shop, found, column):
    """Values of a nowcast in the order of the shop's positions."""
    values = dict(zip(found["item_id"].to_pylist(), found[column].to_pylist(), strict=True))
    return np.array([values["{}@{}".format(*shop.names(n))] for n in range(len(shop.item))], float)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_nowcast_is_that_of_models(seed):
    days, hour = 12, 12
    shop = Shop(seed, days)
    clock = ManualClock((FIRST_DAY - 1) * DAY_MS + 12 * HOUR_MS)
    with Engine(":memory:", clock=clock) as engine:
        shop.open(engine, clock)
        shop.live(engine, clock, days, hour)
        found = engine.nowcast(quantiles=(0.1, 0.5, 0.9))
        history = engine.demand_history()

    told = {(row["item_id"], row["timestamp"]): row for row in history.to_pylist()}
    for position in range(len(shop.item)):
        for day in range(days - 1):
            key = "{}@{}".format(*shop.names(position)), date(1970, 1, 1) + timedelta(FIRST_DAY + day)
            assert told[key]["target"] == shop.sales[position, day].sum()
            assert told[key]["stockout"] == pytest.approx(shop.out_hours[position, day].mean(), abs=1e-3)

    today = days - 1
    whole = ~shop.out[:, :today]
    totals = np.where(whole, shop.sales[:, :today].sum(axis=2), np.nan)
    totals = np.concatenate([np.zeros((len(totals), 1)), totals], axis=1)  # the day of the first count
    weekday = totals[:, [d for d in range(days) if (days - d) % 7 == 0]]
    assert weekday.shape[1] < 3, "all samples are pooled in so short a history"
    mean = np.nanmean(totals, axis=1)
    np.testing.assert_allclose(by_position(shop, found, "day_ahead"), mean, rtol=1e-9)
    dispersion = dispersion_of(totals, days)
    np.testing.assert_allclose(by_position(shop, found, "dispersion"), dispersion, rtol=1e-9)

    profile = Profile(shop.items, shop.places)
    nothing = np.zeros((1, 24))
    # Yesterday is not over everywhere on Earth before noon.
    for day in range(-2, today - 1):
        if day < 0:
            profile.learn(FIRST_DAY + day, shop.item[:1], shop.place[:1], nothing)
        else:
            seen = whole[:, day]
            profile.learn(FIRST_DAY + day, shop.item[seen], shop.place[seen], shop.sales[seen, day])
    shares = profile.shares(FIRST_DAY + today, shop.item, shop.place, pooled_dispersion(mean, dispersion))
    elapsed = (shares * ~shop.out_hours[:, today])[:, :hour].sum(axis=1)
    np.testing.assert_allclose(by_position(shop, found, "elapsed"), elapsed, rtol=1e-6)
    sold = shop.sales[:, today, :hour].sum(axis=1).astype(float)
    rest = rest_of_day(shop.item, shop.place, mean, dispersion, elapsed, shares[:, hour:].sum(axis=1), sold)
    np.testing.assert_allclose(by_position(shop, found, "sold"), sold)
    np.testing.assert_allclose(by_position(shop, found, "rest"), rest, rtol=1e-6)
    np.testing.assert_allclose(by_position(shop, found, "total"), sold + rest, rtol=1e-6)
    low, middle, high = (by_position(shop, found, level) for level in ("0.1", "0.5", "0.9"))
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (high > rest).all()
    assert set(found["made_by"].to_pylist()) == {"climatology@1"}


def test_demand_is_what_was_confirmed_and_what_was_refused(tmp_path):
    clock = ManualClock(FIRST_DAY * DAY_MS)
    journal = tmp_path / "journal"
    with Engine(journal, clock=clock) as engine:
        engine.put_item(Item("tea"))
        engine.put_location(Location("ams1"))
        engine.set_on_hand("tea", "ams1", 10)
        line = ReserveLine("tea", "ams1", 4)
        kept = engine.reserve([line], confirm=True)
        engine.reserve([line], expires_in_ms=1_000)  # runs out: no demand
        clock.advance_ms(2_000)
        cancelled = engine.reserve([line], confirm=True)
        engine.reserve([line], order_ref="o1")
        engine.reserve([line], order_ref="o1")  # a retry
        clock.advance_ms(DAY_MS)
        engine.release(cancelled.reservation_id)  # taken back from yesterday
        engine.reserve([ReserveLine("tea", "ams1", 6)], confirm=True)  # nothing is left
        clock.advance_ms(DAY_MS)
        engine.fulfil(kept.reservation_id)
        clock.advance_ms(DAY_MS // 4)
        wanted = [(4, 4, 0.0), (6, 0, pytest.approx(1 - 2 / 86_400, abs=1e-3))]
        assert [said(row) for row in engine.demand_history().to_pylist()] == wanted
    with Engine(journal, clock=clock) as engine:
        rows = engine.demand_history(items=["tea"], locations=["ams1"])
        assert [said(row) for row in rows.to_pylist()] == wanted
        assert rows.schema.field("timestamp").type == pa.date32()
        first = engine.demand_history(last_day=date(1970, 1, 1) + timedelta(FIRST_DAY))
        assert first.num_rows == 1
        # The context of the forecasters, as it is.
        assert Climatology().predict(rows, None, 3)["mean"].to_pylist() == [4.0] * 3


def said(row):
    return row["target"], row["unmet"], row["stockout"]


def test_a_client_reads_the_same_tables_and_is_told_what_is_wrong(server):
    with Client(server.address) as client:
        client.put_item(Item("rice"))
        client.put_location(Location("rtm1", time_zone="Europe/Amsterdam"))
        client.set_on_hand("rice", "rtm1", 3)
        client.reserve([ReserveLine("rice", "rtm1", 2)], confirm=True)
        today = client.nowcast(items=["rice"])
        assert (today["sold"].to_pylist(), today["rest"].to_pylist()) == ([2], [None])
        assert client.demand_history().num_rows == 0, "no day is over yet"
        with pytest.raises(NotFound):
            client.demand_history(items=["nope"])
        with pytest.raises(InvalidArgument, match="must not lie before"):
            client.demand_history(first_day=date(2026, 2, 1), last_day=date(2026, 1, 1))
        for levels in ((0.5, 0.5), (0.0,), (0.9, 0.1)):
            with pytest.raises(InvalidArgument, match="quantiles"):
                client.nowcast(quantiles=levels)
        with pytest.raises(InvalidArgument, match="65536"):
            client.demand_history(items=["x" * 100] * 1_000)
    with grpc.insecure_channel(server.address) as channel:
        forecast = forecast_pb2_grpc.ForecastServiceStub(channel).Forecast
        with pytest.raises(grpc.RpcError, match="until the stored history has a day that is over"):
            forecast(forecast_pb2.ForecastRequest(horizon=3), timeout=60)


def test_whole_days_in_stock_are_a_context_of_plain_sales():
    clock = ManualClock(FIRST_DAY * DAY_MS)
    with Engine(":memory:", clock=clock) as engine:
        engine.put_item(Item("tea"))
        engine.put_location(Location("ams1"))
        engine.set_on_hand("tea", "ams1", 1_000)
        for day in range(5):
            engine.adjust_on_hand("tea", "ams1", -(day + 1), "SALE")
            clock.advance_ms(DAY_MS)
        history = engine.demand_history()
    assert history["target"].to_pylist() == [1, 2, 3, 4, 5]
    assert history["stockout"].to_pylist() == [0.0] * 5
    assert Climatology().predict(history, None, 1, (0.5,))["0.5"].to_pylist() == [3.0]
