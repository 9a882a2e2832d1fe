"""Asks a running worker to deploy, promote, roll back and retire, over gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pyarrow as pa

from bespeak.v1 import compute_pb2 as pb
from bespeak.v1 import compute_pb2_grpc

PROBE_DAYS = 56
PROBE_HORIZON = 7


class WorkerRefused(Exception):
    """The worker did not do it; the message says why."""


class WorkerClient:
    """A connection to one worker.

    Args:
        address: "host:port" or "unix:/path", as `worker.address`.
        timeout_s: for each call; what is not done by then is undone.
    """

    def __init__(self, address: str, timeout_s: float):
        self.address = address
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(address)
        self._stub = compute_pb2_grpc.ComputeServiceStub(self._channel)

    def deploy(self, **fields: Any) -> pb.Rollout:
        """See `ComputeService.Deploy`; raises `WorkerRefused`."""
        return self._call("Deploy", pb.ComputeServiceDeployRequest(**fields)).rollout

    def promote(self, model: str, alias: str) -> pb.Rollout:
        """See `ComputeService.Promote`; raises `WorkerRefused`."""
        request = pb.ComputeServicePromoteRequest(model=model, alias=alias)
        return self._call("Promote", request).rollout

    def rollback(self, model: str, alias: str) -> pb.Rollout:
        """See `ComputeService.Rollback`; raises `WorkerRefused`."""
        request = pb.ComputeServiceRollbackRequest(model=model, alias=alias)
        return self._call("Rollback", request).rollout

    def retire(self, model: str) -> None:
        """See `ComputeService.Retire`; raises `WorkerRefused`."""
        self._call("Retire", pb.ComputeServiceRetireRequest(model=model))

    def rollouts(self) -> pb.ComputeServiceRolloutsResponse:
        """See `ComputeService.Rollouts`; raises `WorkerRefused`."""
        return self._call("Rollouts", pb.ComputeServiceRolloutsRequest())

    def verify(self, model: str, reference: str) -> pb.ComputeOrigin:
        """Asks for a forecast under a name and looks who made it.

        Raises:
            WorkerRefused: somebody else than `reference` did.
        """
        day = np.arange(20_000, 20_000 + PROBE_DAYS)
        table = pa.table(
            {
                "item_id": ["probe"] * PROBE_DAYS,
                "timestamp": day.astype("datetime64[D]"),
                "target": 5.0 + day % 7,
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        request = pb.ComputeServiceForecastRequest(
            model=model, context=sink.getvalue().to_pybytes(), horizon=PROBE_HORIZON
        )
        origin: pb.ComputeOrigin = self._call("Forecast", request).origin
        if f"{origin.name}@{origin.version}" != reference:
            raise WorkerRefused(f"{model} was answered by {origin.name}@{origin.version}, not by {reference}")
        return origin

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            code, said = error.code(), error.details() or ""
            if code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in said:
                said = f"no worker answers at {self.address}: start it, or give its address"
            raise WorkerRefused(f"{said} ({code.name})") from error

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()
