"""ComputeService: limits, deadlines and errors around a backend."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc
import pyarrow as pa
import structlog

from bespeak.v1 import compute_pb2 as pb
from serving.deployments.allocate_request import allocate_job
from serving.deployments.jobs import AllocateAnswer, ForecastJob, Offered, Refusal, RefusalKind
from serving.rollout.control import Controller
from serving.rollout.service import RolloutHandlers
from serving.rollout.traffic import Routed
from serving.worker_backend import Backend, BackendAwayError
from serving.worker_config import WorkerConfig
from serving.worker_metrics import WorkerMetrics

CODES = {
    RefusalKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    RefusalKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    RefusalKind.FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RefusalKind.LATE: grpc.StatusCode.DEADLINE_EXCEEDED,
}
TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
log = structlog.get_logger()
Answer = TypeVar("Answer")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ComputeService(RolloutHandlers):
    """The gRPC servicer; one instance a worker. The control calls are those of `RolloutHandlers`."""

    def __init__(self, backend: Backend, controller: Controller, config: WorkerConfig, metrics: WorkerMetrics):
        self._backend = backend
        self._controller = controller
        self._config = config
        self._metrics = metrics
        self._in_flight = 0
        self.ready = False

    async def Forecast(  # noqa: N802 - named by the proto
        self,
        request: pb.ComputeServiceForecastRequest,
        context: Context,
    ) -> pb.ComputeServiceForecastResponse:
        """Answers from the backend's forecasters."""
        started = time.monotonic()
        job = ForecastJob(
            request.model,
            request.context,
            request.future,
            request.horizon,
            tuple(request.quantiles),
            patience(context),
            tuple(request.totals),
        )
        routed = await self._guarded("Forecast", context, started, lambda: self._controller.traffic.forecast(job))
        self._measure(routed)
        first = routed.parts[0].answer
        series = sum(part.answer.series for part in routed.parts)
        replicas = "+".join(part.answer.replica for part in routed.parts)
        shares = [
            pb.ForecastShare(
                origin=self._origin(part.answer.model, part.answer.version, part.answer.replica, started),
                series=part.answer.series,
                item_ids=part.items,
            )
            for part in routed.parts
        ]
        return pb.ComputeServiceForecastResponse(
            forecast=as_bytes(routed.table),
            series=series,
            origin=self._origin(first.model, routed.version, replicas, started),
            totals=b"" if routed.totals is None else as_bytes(routed.totals),
            totals_approximate=routed.totals_approximate,
            shares=shares if len(shares) > 1 else [],
        )

    def _measure(self, routed: Routed) -> None:
        source = pb.ComputeSource.Name(self._backend.source)
        self._metrics.queued.labels("Forecast").observe(max(part.answer.queued_s for part in routed.parts))
        for part in routed.parts:
            answer = part.answer
            labels = (answer.model, answer.version)
            times = {
                "decode": answer.decoded_s,
                "queue": answer.queued_s,
                "pass": answer.computed_s,
                "encode": answer.encoded_s,
            }
            for stage, seconds in times.items():
                self._metrics.stages.labels(stage, *labels).observe(seconds)
            self._metrics.computed.labels("Forecast", *labels, source).observe(answer.computed_s)
            self._metrics.batch.labels(*labels).observe(answer.batch_series)
            self._metrics.series.labels(*labels, source).inc(answer.series)
            self._metrics.gpu.labels(*labels).set(answer.gpu_bytes)

    async def Allocate(  # noqa: N802 - named by the proto
        self,
        request: pb.ComputeServiceAllocateRequest,
        context: Context,
    ) -> pb.ComputeServiceAllocateResponse:
        """Answers from the backend's solvers."""
        started = time.monotonic()
        waits = patience(context)
        answer = await self._guarded("Allocate", context, started, lambda: self._plan(request, waits))
        self._measure_plan(request.solver, answer)
        return pb.ComputeServiceAllocateResponse(
            plan=as_bytes(answer.table),
            objective_minor=answer.objective_minor,
            bound_minor=answer.bound_minor,
            units_served=answer.units_served,
            units_unfilled=answer.units_unfilled,
            origin=self._origin(answer.solver, answer.version, answer.replica, started),
            prices=as_bytes(answer.prices),
        )

    async def _plan(
        self, request: pb.ComputeServiceAllocateRequest, patience_s: float | None
    ) -> AllocateAnswer | Refusal:
        job = allocate_job(request, patience_s)
        return job if isinstance(job, Refusal) else await self._backend.allocate(job)

    def _measure_plan(self, asked: str, answer: AllocateAnswer) -> None:
        source = pb.ComputeSource.Name(self._backend.source)
        metrics, solver = self._metrics, answer.solver
        metrics.queued.labels("Allocate").observe(answer.queued_s)
        metrics.computed.labels("Allocate", solver, answer.version, source).observe(answer.computed_s)
        metrics.units.labels(solver, "served").inc(answer.units_served)
        metrics.units.labels(solver, "unfilled").inc(answer.units_unfilled)
        if answer.objective_minor > 0:
            gap = (answer.objective_minor - answer.bound_minor) / answer.objective_minor
            metrics.gap.labels(solver).observe(gap)
        if answer.first_s is not None:
            metrics.first_plan.labels(solver).observe(answer.first_s)
        if answer.fell_back:
            metrics.plan_fallbacks.labels(asked, solver).inc()

    async def Status(  # noqa: N802 - named by the proto
        self,
        request: pb.ComputeServiceStatusRequest,  # noqa: ARG002 - has no fields yet
        context: Context,  # noqa: ARG002
    ) -> pb.ComputeServiceStatusResponse:
        """Answers at any time, also before the backend is ready."""

        def listed(offered: list[Offered]) -> list[pb.ComputeModel]:
            return [
                pb.ComputeModel(name=one.name, version=one.version, is_default=index == 0)
                for index, one in enumerate(offered)
            ]

        routes = self._controller.traffic.routes.items()

        return pb.ComputeServiceStatusResponse(
            source=self._backend.source,
            ready=self.ready,
            models=listed([Offered(name, route.active.offered.version) for name, route in routes]),
            solvers=listed(self._backend.solvers()),
            calls_in_flight=self._in_flight,
            calls_in_flight_max=self._config.calls_max,
        )

    async def _guarded(
        self,
        method: str,
        context: Context,
        started: float,
        call: Callable[[], Awaitable[Answer | Refusal]],
    ) -> Answer:
        """Runs a call within the limits; aborts the RPC unless it has a result."""
        code, message = grpc.StatusCode.OK, ""
        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            if not self.ready:
                code, message = (
                    grpc.StatusCode.UNAVAILABLE,
                    "compute is starting or stopping: wait for SERVING on the health service",
                )
            elif self._in_flight > self._config.calls_max:
                code, message = (
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"{self._config.calls_max} calls are under way, the limit: try again shortly",
                )
            else:
                answer = await asyncio.wait_for(call(), patience(context))
                if not isinstance(answer, Refusal):
                    return answer
                code, message = CODES[answer.kind], answer.message
        except TimeoutError:
            code, message = (
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"the deadline passed after {time.monotonic() - started:.3f} s: allow more time or send less",
            )
        except BackendAwayError as error:
            code, message = grpc.StatusCode.UNAVAILABLE, str(error)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception:
            code = grpc.StatusCode.INTERNAL
            log.exception("call failed", method=method)
            message = "the worker failed on this call: its log says where"
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
            took_s = time.monotonic() - started
            self._metrics.calls.labels(method, code.name).observe(took_s)
            source = pb.ComputeSource.Name(self._backend.source)
            log.info(
                "answered", method=method, code=code.name, source=source, ms=round(took_s * 1e3, 1), **trace(context)
            )
        await context.abort(code, message)
        raise AssertionError("abort raises")

    def _origin(self, name: str, version: str, replica: str, started: float) -> pb.ComputeOrigin:
        return pb.ComputeOrigin(
            name=name,
            version=version,
            source=self._backend.source,
            replica=replica,
            elapsed_us=int((time.monotonic() - started) * 1e6),
        )


def patience(context: Context) -> float | None:
    """Seconds until the call's deadline, None without one."""
    left = context.time_remaining()
    # gRPC gives about three centuries for none.
    return None if left is None or left > 1e8 else max(left, 0.0)


def trace(context: Context) -> dict[str, str]:
    """The caller's trace and span, from its W3C `traceparent`; empty where it sends none that holds."""
    sent = dict(context.invocation_metadata() or ()).get("traceparent", "")
    found = TRACEPARENT.match(sent) if isinstance(sent, str) else None
    return {"trace_id": found[1], "parent_span_id": found[2]} if found else {}


def as_bytes(table: pa.Buffer) -> bytes:
    """The copy that protobuf needs."""
    data: bytes = table.to_pybytes()
    return data
