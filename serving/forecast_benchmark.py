"""Forecasts through a worker against the bare passes of the same model: `python -m serving.forecast_benchmark`.

Both on all cores of this machine, in turns: the worker in a process of its
own, asked over gRPC with tables of daily rows, and the model's `predict_panel`
on arrays that lie ready. JSON lines on standard output. The time of the
processor is told beside that of the clock, as it says more on a machine that
others use too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bespeak.v1 import compute_pb2 as pb
from bespeak.v1 import compute_pb2_grpc
from models import PanelForecaster, panel_from_tables
from models.catalogue import open_model
from models.protocol import DEFAULT_QUANTILES
from serving.deployments.preparation import Settings, prepare
from serving.worker_config import WorkerConfig
from serving.worker_ipc import write_table

HORIZON = 28
#: Requests under way: while one is computed, the next is decoded.
IN_FLIGHT = 2
#: Of a round.
BARE_PASSES = 2
TARGET_SHARE = 0.85
TARGET_PER_S = {"float32": 800, "bfloat16": 1_500}
START_S = 300.0


def history(series: int, days: int) -> pa.Table:
    """Weekly demand, items dictionary-encoded."""
    rng = np.random.default_rng(1)
    day = np.arange(20_000 - days, 20_000)
    rate = rng.uniform(1.0, 20.0, series)[:, None] * (1.0 + 0.5 * np.sin(2.0 * np.pi * day / 7.0))
    codes = pa.array(np.repeat(np.arange(series, dtype=np.int32), days))
    names = pa.array([f"sku-{number:06}" for number in range(series)])
    return pa.table(
        {
            "item_id": pa.DictionaryArray.from_arrays(codes, names),
            "timestamp": np.tile(day.astype("datetime64[D]"), series),
            "target": rng.poisson(rate).astype(np.float32).ravel(),
        }
    )


def bare(config: WorkerConfig, context: pa.Table) -> Iterator[dict[str, float]]:
    """Rounds of `predict_panel` on arrays that lie ready, as many as are taken."""
    model = open_model(config.models[0])
    if not isinstance(model, PanelForecaster):
        raise SystemExit(f"model {model.name} takes no panels: there is no bare pass to measure")
    prepare(model, Settings(config.precision, config.compiled, config.device))
    panel = panel_from_tables(context, None, HORIZON, model.context_days, model.covariates)
    model.predict_panel(panel, HORIZON, DEFAULT_QUANTILES)
    while True:
        begun, used = time.monotonic(), time.process_time()
        for _ in range(BARE_PASSES):
            model.predict_panel(panel, HORIZON, DEFAULT_QUANTILES)
        yield {
            "per_s": BARE_PASSES * panel.items / (time.monotonic() - begun),
            "cpu_us": 1e6 * (time.process_time() - used) / (BARE_PASSES * panel.items),
        }


def run(config: WorkerConfig) -> None:
    """The worker's process."""
    from serving.worker import serve

    # What it logs is not what this program prints.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    asyncio.run(serve(config, asyncio.Event()))


def through_worker(config: WorkerConfig, context: pa.Table, series: int, seconds: float) -> Iterator[dict[str, float]]:
    """Rounds of requests to a worker."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(config,), daemon=True)
    process.start()
    try:
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(config.address, limits) as channel:
            await_serving(channel)
            ask = compute_pb2_grpc.ComputeServiceStub(channel).Forecast
            request = pb.ComputeServiceForecastRequest(context=write_table(context).to_pybytes(), horizon=HORIZON)
            ask(request, timeout=START_S)
            until = time.monotonic() + seconds
            with ThreadPoolExecutor(IN_FLIGHT) as pool:
                while time.monotonic() < until:
                    begun, used = time.monotonic(), cpu_seconds(process.pid)
                    answers = list(pool.map(lambda _: ask(request, timeout=START_S), range(2 * IN_FLIGHT)))
                    total = sum(answer.series for answer in answers)
                    if total != 2 * IN_FLIGHT * series:
                        raise SystemExit(f"{total} series came back of {2 * IN_FLIGHT * series}")
                    yield {
                        "per_s": total / (time.monotonic() - begun),
                        "cpu_us": 1e6 * (cpu_seconds(process.pid) - used) / total,
                    }
    finally:
        process.kill()
        process.join()


def await_serving(channel: grpc.Channel) -> None:
    """Returns once the worker serves."""
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types leave Watch out
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=START_S, wait_for_ready=True)
    for seen in watch:
        if seen.status == health_pb2.HealthCheckResponse.SERVING:
            return


def cpu_seconds(pid: int | None) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(config: WorkerConfig, series: int, days: int, seconds: float) -> dict[str, object]:
    """One precision: both figures and their ratio, medians over pairs of rounds."""
    context = history(series, days)
    alone = bare(config, context)
    next(alone)  # it is ready before the time begins
    pairs = list(zip(through_worker(config, context, series, seconds), alone, strict=False))

    def median(number: Callable[[dict[str, float], dict[str, float]], float]) -> float:
        return statistics.median(number(*pair) for pair in pairs)

    return {
        "bench": f"forecast_speed_{config.precision}",
        "model": config.models[0],
        "series": series,
        "context_days": days,
        "horizon_days": HORIZON,
        "cores": os.cpu_count(),
        "pairs": len(pairs),
        "series_per_s": round(median(lambda worker, _: worker["per_s"])),
        "bare_series_per_s": round(median(lambda _, bare: bare["per_s"])),
        "share": round(median(lambda worker, bare: worker["per_s"] / bare["per_s"]), 3),
        "cpu_us_per_series": round(median(lambda worker, _: worker["cpu_us"])),
        "bare_cpu_us_per_series": round(median(lambda _, bare: bare["cpu_us"])),
        "cpu_share": round(median(lambda worker, bare: bare["cpu_us"] / worker["cpu_us"]), 3),
        "target_series_per_s": TARGET_PER_S[config.precision],
        "target_share": TARGET_SHARE,
    }


def main() -> None:
    """Measures the precisions that the model has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="patch-nano")
    parser.add_argument("--series", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=60.0, help="of both, beyond their start")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        common = WorkerConfig(
            address=f"unix:{place}/worker.sock", models=(options.model,), batch_items_max=options.series
        )
        for precision in options.precision or ["float32", "bfloat16"]:
            if precision == "bfloat16" and not hasattr(open_model(options.model), "prepare"):
                continue  # the model computes in float32 only
            config = replace(common, precision=precision)
            line = measured(config, options.series, options.days, options.seconds)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
