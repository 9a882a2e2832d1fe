"""The Python classes say the same as the protocol: names, words and fields."""

import dataclasses
import typing

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor

from bespeak import enums, requests, results
from bespeak._codec import words
from bespeak._methods import Methods, admin, allocation, catalog, promises, supply
from bespeak._methods.caller import Method
from bespeak.v1 import admin_pb2, allocation_pb2, catalog_pb2, common_pb2, promise_pb2, supply_pb2

FILES = (common_pb2, promise_pb2, supply_pb2, catalog_pb2, admin_pb2, allocation_pb2)
# A later round, or a stream.
NOT_CALLED = {"Repromise", "PutQuota", "PutProtection", "PutCapacity", "Session", "WatchAvailability", "SubmitOrders"}
# Fields of a response that carries the class in a field of its own.
AROUND = {"revision", "receipt_revision", "open_quantity"}
MESSAGE_OF = {
    "HoldResult": "PromiseResponse",
    "ExtendResult": "ExtendResponse",
    "ConfirmResult": "ConfirmResponse",
    "FulfilResult": "FulfilResponse",
    "ReleaseResult": "ReleaseResponse",
    "RegionResult": "CheckRegionResponse",
    "Explanation": "ExplainResponse",
    "ReceiptResult": "SupplyResult",
    "ReceiveResult": "SupplyResult",
    "Position": "GetPositionResponse",
    "LocationInfo": "GetLocationResponse",
    "Stats": "GetStatsResponse",
    "ReconcileResult": "ReconcileResponse",
    "SnapshotResult": "SnapshotResponse",
    "AvailabilityReport": "ReportAvailabilityResponse",
    "NetworkResult": "PutNetworkResponse",
    "Plan": "AllocateResponse",
    "SubmittedOrder": "SubmitOrdersResponse",
    "ReoptimiseResult": "ReoptimiseResponse",
    "AllocationExplanation": "AllocationServiceExplainResponse",
    "Simulation": "SimulateResponse",
    "AllocationTerms": "AllocateRequest",
}
LATER = {
    "Item": {"kit_components", "substitutes", "shelf_life_ms"},
    "Location": {"calendar", "cut_off_ms", "processing_ms"},
    "SupplyRule": {"supply_fence_ms"},
    # Said by the method's other arguments; a network has a name or is given in the same place.
    "AllocationTerms": {"orders", "order", "hold", "network_name"},
}


def messages() -> dict[str, Descriptor]:
    return {name: found for file in FILES for name, found in file.DESCRIPTOR.message_types_by_name.items()}


def descriptors_of_enums() -> dict[str, EnumDescriptor]:
    return {name: found for file in FILES for name, found in file.DESCRIPTOR.enum_types_by_name.items()}


def dataclasses_of(module: object) -> list[type]:
    return [each for each in vars(module).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]


def names_of(cls: type) -> set[str]:
    """Fields; one named by a word of Python's has an underscore behind it."""
    return {field.name.removesuffix("_") for field in dataclasses.fields(cls)}


@pytest.mark.parametrize("name", sorted(descriptors_of_enums()))
def test_enums_have_the_words_of_the_protocol_in_its_order(name):
    cls = getattr(enums, name)
    assert list(words(descriptors_of_enums()[name])) == [member.value for member in cls]
    assert [member.name for member in cls] == [member.value for member in cls]


@pytest.mark.parametrize("cls", dataclasses_of(results), ids=lambda cls: cls.__name__)
def test_results_have_the_fields_of_their_message(cls):
    message = messages()[MESSAGE_OF.get(cls.__name__, cls.__name__)]
    ours = names_of(cls)
    theirs = set(message.fields_by_name)
    assert theirs - ours == set()
    assert ours - theirs <= AROUND


@pytest.mark.parametrize("cls", dataclasses_of(requests), ids=lambda cls: cls.__name__)
def test_requests_have_the_fields_of_their_message(cls):
    ours = names_of(cls)
    theirs = set(messages()[MESSAGE_OF.get(cls.__name__, cls.__name__)].fields_by_name) - LATER.get(cls.__name__, set())
    assert ours == theirs


def test_every_method_of_the_services_has_its_python_method():
    called = {
        (found.service, found.name)
        for module in (promises, supply, catalog, admin, allocation)
        for found in vars(module).values()
        if isinstance(found, Method)
    }
    offered = {
        (service.name, method.name)
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name not in NOT_CALLED
    }
    assert called == offered


@pytest.mark.parametrize("module", [promises, supply, catalog, admin, allocation], ids=lambda module: module.__name__)
def test_methods_name_the_response_of_the_protocol(module):
    services = {name: found for file in FILES for name, found in file.DESCRIPTOR.services_by_name.items()}
    for found in vars(module).values():
        if isinstance(found, Method):
            method = services[found.service].methods_by_name[found.name]
            assert found.response.DESCRIPTOR is method.output_type


def test_every_public_method_has_a_docstring_and_types():
    methods = {name: getattr(Methods, name) for name in dir(Methods) if not name.startswith("_")}
    for name, method in methods.items():
        assert method.__doc__, name
        assert "return" in typing.get_type_hints(method), name
