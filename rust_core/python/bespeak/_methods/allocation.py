"""Plans of which order is served from where, and holds of what they plan."""

import uuid
from collections.abc import Iterable
from typing import Any

from bespeak._codec import build, decode
from bespeak._methods.caller import Caller, Method
from bespeak.errors import invalid
from bespeak.requests import AllocationOrder, AllocationTerms, ArrowStream, Change, Network
from bespeak.results.allocation import (
    AllocationExplanation,
    NetworkResult,
    Plan,
    ReoptimiseResult,
    Simulation,
)
from bespeak.v1 import allocation_pb2 as pb

_SERVICE = "AllocationService"
_PUT_NETWORK = Method(_SERVICE, "PutNetwork", pb.PutNetworkResponse)
_ALLOCATE = Method(_SERVICE, "Allocate", pb.AllocateResponse)
_EXPLAIN = Method(_SERVICE, "Explain", pb.AllocationServiceExplainResponse)
_SIMULATE = Method(_SERVICE, "Simulate", pb.SimulateResponse)
_REOPTIMISE = Method(_SERVICE, "Reoptimise", pb.ReoptimiseResponse)

_TERMS = AllocationTerms()


class AllocationMethods(Caller):
    """AllocationService. Tables are those of docs/reference/allocation.md."""

    def put_network(self, name: str, network: Network) -> NetworkResult:
        """Keeps a network under a name, so that requests need not carry it.

        Raises:
            InvalidArgument: names the table, row and column that cannot be, or there are too many networks.
            Unavailable: it cannot be written.
        """
        answer = self._call(_PUT_NETWORK, build(pb.PutNetworkRequest, name=name, network=network))
        return decode(NetworkResult, answer)

    def allocate(
        self,
        orders: ArrowStream | AllocationOrder,
        terms: AllocationTerms = _TERMS,
        *,
        hold: bool = False,
        expires_in_ms: int = 0,
        confirm: bool = False,
        request_id: str | uuid.UUID | None = None,
    ) -> Plan:
        """Plans orders, and reserves the plan with `hold`: each order in one step, all of its planned lines or none.

        Args:
            orders: the table of orders, or one order.
            terms: how to plan.
            hold: reserve the plan; False is a dry run, which changes nothing.
            expires_in_ms: life of the holds from now, milliseconds; 0 is the engine's default.
            confirm: confirm in the same step.
            request_id: a UUID. Sent again, orders that were held are answered as they were; left out, a new one is
                made.

        Raises:
            InvalidArgument: names the table, row and column that cannot be.
            NotFound: no network of this name, or with `hold` an item or location that the engine does not know.
            Overloaded: too many plans are being made, the same request is still being held, or the answer would be too
                large; nothing was done.
            RequestIdReused: an order was sent before under this id with something else in it.
        """
        request = _request(orders, terms)
        if hold:
            request.hold.CopyFrom(self._hold(request_id, expires_in_ms, confirm=confirm))
        return decode(Plan, self._call(_ALLOCATE, request))

    def explain_allocation(
        self,
        orders: ArrowStream | AllocationOrder,
        order_id: str,
        terms: AllocationTerms = _TERMS,
        *,
        alternatives: int = 0,
    ) -> AllocationExplanation:
        """Returns why an order of a batch is served as it is: cost in parts, prices, what binds and the next best.

        Args:
            orders: the batch as it was planned.
            order_id: which order of it.
            terms: as they were; prices are not published.
            alternatives: how many; 0 is 3, at most 20.

        Raises:
            InvalidArgument: the batch makes no sense, or has no such order.
        """
        request = build(
            pb.AllocationServiceExplainRequest,
            terms=_request(orders, terms),
            order_id=order_id,
            alternatives=alternatives,
        )
        return decode(AllocationExplanation, self._call(_EXPLAIN, request))

    def simulate(
        self, orders: ArrowStream | AllocationOrder, changes: Iterable[Change], terms: AllocationTerms = _TERMS
    ) -> Simulation:
        """Returns the plan of a batch, and what it would be if something were different. Changes nothing.

        Raises:
            InvalidArgument: the batch or a change makes no sense.
        """
        request = build(pb.SimulateRequest, terms=_request(orders, terms), changes=changes)
        return decode(Simulation, self._call(_SIMULATE, request))

    def reoptimise(
        self,
        orders: ArrowStream | AllocationOrder,
        terms: AllocationTerms = _TERMS,
        *,
        dry_run: bool = False,
        least_saving_minor: int = 0,
    ) -> ReoptimiseResult:
        """Plans open orders anew, and moves each that is better served otherwise to another hold, in one step.

        Args:
            orders: the open orders (`order_id` is the order of the hold) and what was asked of them.
            terms: how to plan, without stock.
            dry_run: say what would be moved, and move nothing.
            least_saving_minor: move only when the plan saves at least so much an order moved.

        Raises:
            InvalidArgument: the batch makes no sense.
        """
        request = _request(orders, terms)
        if not dry_run:
            request.hold.CopyFrom(self._hold(None, 0, confirm=False))
        asked = build(pb.ReoptimiseRequest, terms=request, dry_run=dry_run, least_saving_minor=least_saving_minor)
        return decode(ReoptimiseResult, self._call(_REOPTIMISE, asked))

    def _hold(self, request_id: str | uuid.UUID | None, expires_in_ms: int, *, confirm: bool) -> pb.AllocationHold:
        context = self._context(request_id)
        return build(pb.AllocationHold, context=context, expires_in_ms=expires_in_ms, confirm=confirm)


def _request(orders: ArrowStream | AllocationOrder, terms: AllocationTerms) -> pb.AllocateRequest:
    asked = terms_message(terms)
    if isinstance(orders, AllocationOrder):
        asked.order.CopyFrom(order_message(orders))
    else:
        asked.MergeFrom(build(pb.AllocateRequest, orders=orders))
    return asked


def terms_message(terms: AllocationTerms) -> pb.AllocateRequest:
    """Returns the message of terms, without orders."""
    fields: dict[str, Any] = {name: getattr(terms, name) for name in AllocationTerms.__slots__}
    network = fields.pop("network")
    if isinstance(network, str):
        fields["network_name"] = network
    elif isinstance(network, Network | None):
        fields["network"] = network
    else:
        raise invalid(f"network is {network!r}: give a Network, or the name of one that was put")
    return build(pb.AllocateRequest, **fields)


def order_message(order: AllocationOrder) -> pb.AllocationOrder:
    """Returns the message of an order."""
    fields: dict[str, Any] = {name: getattr(order, name) for name in AllocationOrder.__slots__}
    fields["class"] = fields.pop("class_")
    return build(pb.AllocationOrder, **fields)
