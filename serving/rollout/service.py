"""The control calls of ComputeService."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, TypeAlias, TypeVar

import grpc
import structlog

from bespeak.v1 import compute_pb2 as pb
from bespeak.v1 import compute_pb2_grpc
from models.protocol import InputError
from models.registry import RegistryError
from serving.rollout.control import Controller, RolloutBusy, RolloutRefused
from serving.rollout.traffic import Route
from serving.worker_backend import Backend, BackendAwayError

STAGES = {
    "none": pb.ROLLOUT_STAGE_NONE,
    "shadow": pb.ROLLOUT_STAGE_SHADOW,
    "canary": pb.ROLLOUT_STAGE_CANARY,
    "aborted": pb.ROLLOUT_STAGE_ABORTED,
}
Done = TypeVar("Done")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
log = structlog.get_logger()


class RolloutHandlers(compute_pb2_grpc.ComputeServiceServicer):
    """Part of `ComputeService`; the names are the proto's."""

    ready: bool
    _controller: Controller
    _backend: Backend

    async def Deploy(  # noqa: N802
        self, request: pb.ComputeServiceDeployRequest, context: Context
    ) -> pb.ComputeServiceDeployResponse:
        """See `Controller.deploy`."""
        work = self._controller.deploy(
            request.model,
            request.alias,
            request.shadow,
            request.canary,
            request.abort_if,
            request.service_level,
            request.lead_days,
        )
        return pb.ComputeServiceDeployResponse(rollout=message(await self._controlled("Deploy", context, work)))

    async def Promote(  # noqa: N802
        self, request: pb.ComputeServicePromoteRequest, context: Context
    ) -> pb.ComputeServicePromoteResponse:
        """See `Controller.promote`."""
        work = self._controller.promote(request.model, request.alias)
        return pb.ComputeServicePromoteResponse(rollout=message(await self._controlled("Promote", context, work)))

    async def Rollback(  # noqa: N802
        self, request: pb.ComputeServiceRollbackRequest, context: Context
    ) -> pb.ComputeServiceRollbackResponse:
        """See `Controller.rollback`."""
        work = self._controller.rollback(request.model, request.alias)
        return pb.ComputeServiceRollbackResponse(rollout=message(await self._controlled("Rollback", context, work)))

    async def Retire(  # noqa: N802
        self, request: pb.ComputeServiceRetireRequest, context: Context
    ) -> pb.ComputeServiceRetireResponse:
        """See `Controller.retire`."""
        await self._controlled("Retire", context, self._controller.retire(request.model))
        return pb.ComputeServiceRetireResponse()

    async def Rollouts(  # noqa: N802
        self,
        request: pb.ComputeServiceRolloutsRequest,  # noqa: ARG002 - has no fields yet
        context: Context,  # noqa: ARG002
    ) -> pb.ComputeServiceRolloutsResponse:
        """What every route serves, and what is loaded."""
        traffic = self._controller.traffic
        replicas = await asyncio.to_thread(self._backend.replicas)
        loaded = [
            pb.LoadedModel(
                name=unit.offered.name,
                version=unit.offered.version,
                replicas=replicas.get(key, 0),
                prepared=unit.offered.prepared,
            )
            for key, unit in traffic.units.items()
        ]
        rollouts = [message(route, name) for name, route in traffic.routes.items()]
        return pb.ComputeServiceRolloutsResponse(rollouts=rollouts, loaded=loaded)

    async def _controlled(self, method: str, context: Context, work: Awaitable[Done]) -> Done:
        """Runs a control call to its deadline; aborts the RPC unless it is done."""
        begun = time.monotonic()
        code, said = grpc.StatusCode.INTERNAL, "the worker failed on this call: its log says where"
        left = context.time_remaining()
        try:
            if not self.ready:
                asyncio.ensure_future(work).cancel()
                code, said = grpc.StatusCode.UNAVAILABLE, "compute is starting or stopping: wait for SERVING"
            else:
                done = await asyncio.wait_for(work, None if left is None or left > 1e8 else max(left - 0.2, 0.0))
                log.info("done", method=method, seconds=round(time.monotonic() - begun, 2))
                return done
        except TimeoutError:
            code, said = (
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"not done after {time.monotonic() - begun:.1f} s and undone: allow more time",
            )
        except RolloutBusy as error:
            code, said = grpc.StatusCode.ABORTED, str(error)
        except (RolloutRefused, RegistryError) as error:
            code, said = grpc.StatusCode.FAILED_PRECONDITION, str(error)
        except InputError as error:
            code, said = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except BackendAwayError as error:
            code, said = grpc.StatusCode.UNAVAILABLE, str(error)
        except Exception:
            log.exception("call failed", method=method)
        log.warning("not done", method=method, code=code.name, reason=said)
        await context.abort(code, said)
        raise AssertionError("abort raises")


def message(route: Route, name: str = "") -> pb.Rollout:
    """A route as the protocol tells it."""
    state = route.state
    candidate = route.candidate.offered.reference if route.candidate else ""
    if not candidate and state.candidate:
        candidate = f"{state.name}@{state.candidate}"
    score = None
    if route.score is not None:
        known = route.score.numbers()
        shown = ("p50_ms", "p99_ms", "wql", "wql_active", "wql_ratio", "promises_changed")
        score = pb.RolloutScore(
            answers=route.score.answers,
            errors=route.score.errors,
            days_scored=route.score.days_scored,
            positions=route.score.positions,
            **{name: value for name in shown if (value := known[name]) is not None},
        )
    return pb.Rollout(
        route=name or state.route,
        active=route.active.offered.reference,
        candidate=candidate,
        stage=STAGES[state.stage],
        share=state.share,
        abort_if=state.abort_if,
        said=state.said,
        score=score,
    )
