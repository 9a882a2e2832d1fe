"""The worker's allocation request as a job."""

from __future__ import annotations

from bespeak.allocation import Policy
from bespeak.v1 import allocation_pb2, compute_pb2
from serving.deployments.jobs import AllocateJob, Refusal, RefusalKind

POLICIES: dict[int, Policy] = {
    allocation_pb2.SHORTAGE_POLICY_UNSPECIFIED: "cost",
    allocation_pb2.SHORTAGE_POLICY_COST: "cost",
    allocation_pb2.SHORTAGE_POLICY_TIERS: "tiers",
    allocation_pb2.SHORTAGE_POLICY_FAIR_SHARE: "fair-share",
    allocation_pb2.SHORTAGE_POLICY_MAX_MIN: "max-min",
}
PPM = 1_000_000
TIER_MAX = 7


def allocate_job(request: compute_pb2.ComputeServiceAllocateRequest, patience_s: float | None) -> AllocateJob | Refusal:
    """The job, or why there is none."""
    policy = POLICIES.get(request.shortage)
    if policy is None:
        return Refusal(RefusalKind.INVALID, f"shortage is {request.shortage}: policies go from 0 to {max(POLICIES)}")
    for at, floor in enumerate(request.floors):
        if floor.tier > TIER_MAX or floor.fill_ppm > PPM:
            return Refusal(
                RefusalKind.INVALID,
                f"floors[{at}] is tier {floor.tier} with {floor.fill_ppm} ppm: "
                f"tiers are from 0 to {TIER_MAX}, shares from 0 to {PPM}",
            )
    network = request.network
    return AllocateJob(
        request.solver,
        request.orders,
        request.options,
        request.packages,
        network.locations,
        network.rates,
        network.exclusions,
        request.stock,
        network.protection,
        network.capacity,
        tuple(network.tier_confidence),
        policy,
        tuple((floor.tier, floor.fill_ppm) for floor in request.floors),
        request.budget_ms or None,
        patience_s,
    )
