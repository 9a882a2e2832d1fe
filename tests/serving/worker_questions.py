"""The same questions to a local worker and to one on Ray, through real gRPC: the classes that collect them bring the worker."""

import os
import signal

import grpc
import numpy as np
import pyarrow as pa
import pytest

from bespeak.v1 import allocation_pb2
from bespeak.v1 import compute_pb2 as pb
from models import Climatology
from models.catalogue import open_model
from serving.allocation import ColumnGeneration, MinCostFlow, Terms
from serving.worker_ipc import read_table
from tests.serving.worker_process import as_ipc, batch_of_orders, forecast_table, history, orders_with_packages

SOURCES = {"local": pb.COMPUTE_SOURCE_LOCAL, "ray": pb.COMPUTE_SOURCE_RAY}


class Questions:
    """What a worker answers, wherever it computes. Its fixture `asked` is the worker; `asked.mode` says where."""

    def test_climatology_equals_the_class(self, asked):
        context = history(40)
        answer = asked.forecast(context, 14, model="climatology", quantiles=[0.1, 0.5, 0.95])
        assert forecast_table(answer).equals(Climatology().predict(context, None, 14, (0.1, 0.5, 0.95)))
        assert answer.series == 40

    def test_the_transformer_equals_the_class(self, asked):
        context = history(40)
        table = forecast_table(asked.forecast(context, 14))
        expected = open_model("patch-nano").predict(context, None, 14)
        assert table.schema == expected.schema
        for name in table.column_names[2:]:
            # Another process may sum in another order.
            np.testing.assert_allclose(table[name], expected[name], rtol=1e-4, atol=1e-5)

    def test_a_large_table_is_the_same_as_a_small_one(self, asked):
        # 3,000 series are above the size from which tables go by reference.
        context = history(3000)
        table = forecast_table(asked.forecast(context, 7, model="climatology"))
        assert table.equals(Climatology().predict(context, None, 7))

    def test_the_plan_equals_the_class(self, asked):
        tables = batch_of_orders(200)
        answer = asked.allocate(*tables, solver="min-cost-flow")
        expected = MinCostFlow().allocate(dict(zip(("orders", "options", "stock"), tables, strict=True)))
        assert read_table(answer.plan, "plan").equals(expected.table)
        assert answer.objective_minor == answer.bound_minor == expected.objective_minor
        assert (answer.units_served, answer.units_unfilled) == (expected.units_served, expected.units_unfilled)
        assert answer.units_unfilled > 0

    def test_every_answer_names_who_made_it(self, asked):
        forecast = asked.forecast(history(2), 7).origin
        plan = asked.allocate(*batch_of_orders(3), solver="min-cost-flow").origin
        assert (forecast.name, forecast.version) == ("patch-nano", open_model("patch-nano").version)
        assert (plan.name, plan.version) == (MinCostFlow.name, MinCostFlow.version)
        for origin in (forecast, plan):
            assert origin.source == SOURCES[asked.mode]
            assert origin.elapsed_us > 0
            computed_here = origin.replica == f"pid:{asked.process.pid}"
            assert computed_here == (asked.mode == "local")

    def test_status_lists_what_it_offers(self, asked):
        status = asked.compute.Status(pb.ComputeServiceStatusRequest(), timeout=10)
        assert status.ready
        assert status.source == SOURCES[asked.mode]
        assert [(m.name, m.is_default) for m in status.models] == [
            (name, not number) for number, name in enumerate(asked.models)
        ]
        assert [m.name for m in status.solvers] == ["auto", "search", "column-generation", "min-cost-flow"]

    def test_a_killed_replica_costs_no_answer(self, asked):
        context = history(20)
        computed_by = int(asked.forecast(context, 7, model="climatology").origin.replica.rpartition(":")[2])
        if computed_by != asked.process.pid:
            os.kill(computed_by, signal.SIGKILL)
            # The next call finds the replica dead or dying, and waits for another.
            answer = asked.forecast(context, 7, model="climatology", timeout=120)
            assert forecast_table(answer).equals(Climatology().predict(context, None, 7))
            assert not answer.origin.replica.endswith(f":{computed_by}")

    def test_a_refusal_reads_the_same(self, asked):
        with pytest.raises(grpc.RpcError) as refused:
            asked.forecast(history(2).drop_columns(["target"]), 7)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "context has no column 'target'" in refused.value.details()

    def test_whole_orders_share_packages(self, asked):
        tables = orders_with_packages()
        capacity = tables.pop("capacity")
        answer = asked.allocate(**tables, network={"capacity": capacity}, solver="column-generation", budget_ms=2000)
        expected = ColumnGeneration().allocate({**tables, "capacity": capacity}, Terms(budget_ms=2000))
        # Solved to the end, both bounds are the value of the same relaxation; plans differ by what time allowed.
        assert answer.bound_minor == expected.bound_minor
        assert answer.bound_minor <= answer.objective_minor <= 1.01 * expected.objective_minor
        assert (answer.origin.name, answer.origin.version) == (ColumnGeneration.name, ColumnGeneration.version)
        plan, prices = read_table(answer.plan, "plan"), read_table(answer.prices, "prices")
        assert (plan.schema, prices.schema) == (expected.table.schema, expected.prices.schema)
        assert min(prices["price_minor"].to_pylist()) > 0

    def test_policies_and_floors_reach_the_search(self, asked):
        orders, options, stock = batch_of_orders(60)
        orders = orders.append_column("tier", pa.array([number % 2 for number in range(60)]))
        plain = asked.allocate(orders, options, stock, budget_ms=200)
        tiers = asked.allocate(orders, options, stock, budget_ms=200, shortage=allocation_pb2.SHORTAGE_POLICY_TIERS)
        floor = allocation_pb2.TierFloor(tier=0, fill_ppm=1_000_000)
        floored = asked.allocate(orders, options, stock, budget_ms=200, floors=[floor])

        def filled(answer):
            served = set(read_table(answer.plan, "plan")["order_id"].to_pylist())
            return sum(f"o{number:03d}" in served for number in range(0, 60, 2))

        assert filled(tiers) >= filled(plain)
        assert filled(floored) >= filled(plain)
        assert (tiers.origin.name, floored.origin.name) == ("search", "search")

    def test_a_deadline_is_the_budget_where_it_is_shorter(self, asked):
        answer = asked.allocate(*batch_of_orders(60), solver="search", budget_ms=60_000, timeout=5)
        assert answer.objective_minor > 0
        assert answer.origin.elapsed_us < 5_000_000

    def test_a_cancelled_solve_frees_its_thread(self, asked):
        orders, options, stock = (as_ipc(table) for table in batch_of_orders(60))
        request = pb.ComputeServiceAllocateRequest(
            orders=orders, options=options, stock=stock, solver="search", budget_ms=120_000
        )
        for _ in range(4):
            call = asked.compute.Allocate.future(request, timeout=120)
            while asked.compute.Status(pb.ComputeServiceStatusRequest(), timeout=10).calls_in_flight == 0:
                assert not call.done()
            call.cancel()
        # As many as there are threads, and more: the next one would wait for minutes.
        request.budget_ms = 100
        assert asked.compute.Allocate(request, timeout=30).objective_minor > 0
