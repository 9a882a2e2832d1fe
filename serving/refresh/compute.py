"""The worker as the refresh job asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import pyarrow as pa
import pyarrow.compute as pc

from bespeak.v1 import compute_pb2 as pb
from bespeak.v1 import compute_pb2_grpc
from serving.worker_ipc import read_table, write_table

_LIMIT = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class ComputeAwayError(RuntimeError):
    """The worker does not answer, or refuses; the message says why."""


@dataclass(frozen=True)
class Forecasts:
    """What one version said.

    Attributes:
        days: the forecast table.
        totals: the totals table.
        made_by: NAME@VERSION.
        approximate: the totals were made of the forecasts by day.
    """

    days: pa.Table
    totals: pa.Table
    made_by: str
    approximate: bool


class Compute:
    """A connection to a worker."""

    def __init__(self, address: str, timeout_s: float = 600.0):
        self.address = address.removeprefix("http://")
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(self.address, _LIMIT)
        self._stub = compute_pb2_grpc.ComputeServiceStub(self._channel)

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def makers(self, model: str) -> tuple[str, ...]:
        """Returns NAME@VERSION of what answers for a model, the active version first, then a canary; "" is the worker's default.

        Raises:
            ComputeAwayError: the worker is away, or has no such model.
        """
        try:
            status = self._stub.Status(pb.ComputeServiceStatusRequest(), timeout=self._timeout_s)
            rollouts = self._stub.Rollouts(pb.ComputeServiceRolloutsRequest(), timeout=self._timeout_s).rollouts
        except grpc.RpcError as error:
            raise self._away(error) from error
        for known in status.models:
            if known.name == model or (not model and known.is_default):
                # A route may be an alias: the answers name the version behind it.
                route = next((one for one in rollouts if one.route == known.name), None)
                if route is None:
                    return (f"{known.name}@{known.version}",)
                canary = route.stage == pb.ROLLOUT_STAGE_CANARY
                return (route.active, route.candidate) if canary else (route.active,)
        names = sorted(known.name for known in status.models)
        raise ComputeAwayError(f"the worker on {self.address} has no model {model!r}, only {names}: name one of them")

    def forecast(
        self,
        context: pa.Table,
        future: pa.Table | None,
        horizon: int,
        quantiles: Sequence[float],
        totals: Sequence[int],
        model: str,
    ) -> list[Forecasts]:
        """Asks for forecasts by day and totals; returns a part for each version that made some.

        Raises:
            ComputeAwayError: the worker is away, or refuses.
        """
        request = pb.ComputeServiceForecastRequest(
            model=model,
            context=write_table(context).to_pybytes(),
            future=b"" if future is None else write_table(future).to_pybytes(),
            horizon=horizon,
            quantiles=quantiles,
            totals=totals,
        )
        try:
            answer = self._stub.Forecast(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._away(error) from error
        days, totals = read_table(answer.forecast, "forecast"), read_table(answer.totals, "totals")
        # Of shares, the active version's names no items: it made the rest.
        listed = pa.array([name for share in answer.shares for name in share.item_ids], pa.string())

        def made(share: pb.ForecastShare, table: pa.Table) -> pa.Table:
            own = pa.array(share.item_ids, pa.string()) if share.item_ids else listed
            found = pc.is_in(table["item_id"], value_set=own)
            return table.filter(found if share.item_ids else pc.invert(found))

        if not answer.shares:
            return [Forecasts(days, totals, _reference(answer.origin), answer.totals_approximate)]
        return [
            Forecasts(made(share, days), made(share, totals), _reference(share.origin), answer.totals_approximate)
            for share in answer.shares
        ]

    def _away(self, error: grpc.RpcError) -> ComputeAwayError:
        code, details = getattr(error, "code", None), getattr(error, "details", None)
        said = f"{code().name}: {details()}" if code and details else str(error)
        return ComputeAwayError(f"the worker on {self.address} does not forecast ({said}): is it running")


def _reference(origin: pb.ComputeOrigin) -> str:
    return f"{origin.name}@{origin.version}"
