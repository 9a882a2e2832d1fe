"""Master data and policy."""

import uuid
from collections.abc import Iterator

from bespeak._codec import build, decode
from bespeak._methods.caller import Caller, Method
from bespeak.requests import BufferPolicy, Item, Lane, Location, Region, SupplyRule
from bespeak.results import CatalogResult, LocationInfo
from bespeak.v1 import catalog_pb2 as pb

_SERVICE = "CatalogService"
_PUT_ITEM = Method(_SERVICE, "PutItem", pb.PutItemResponse)
_PUT_LOCATION = Method(_SERVICE, "PutLocation", pb.PutLocationResponse)
_PUT_REGION = Method(_SERVICE, "PutRegion", pb.PutRegionResponse)
_PUT_LANE = Method(_SERVICE, "PutLane", pb.PutLaneResponse)
_PUT_RULE = Method(_SERVICE, "PutRule", pb.PutRuleResponse)
_PUT_BUFFER = Method(_SERVICE, "PutBuffer", pb.PutBufferResponse)
_PUT_BUFFER_POLICY = Method(_SERVICE, "PutBufferPolicy", pb.PutBufferPolicyResponse)
_GET_ITEM = Method(_SERVICE, "GetItem", pb.GetItemResponse)
_GET_LOCATION = Method(_SERVICE, "GetLocation", pb.GetLocationResponse)
_LIST_ITEMS = Method(_SERVICE, "ListItems", pb.ListItemsResponse)
_LIST_LOCATIONS = Method(_SERVICE, "ListLocations", pb.ListLocationsResponse)
_LIST_REGIONS = Method(_SERVICE, "ListRegions", pb.ListRegionsResponse)
_LIST_LANES = Method(_SERVICE, "ListLanes", pb.ListLanesResponse)
_PAGE_SIZE = 1000


class CatalogMethods(Caller):
    """CatalogService. A put adds, or replaces what has the same name."""

    def put_item(self, item: Item, *, request_id: str | uuid.UUID | None = None) -> CatalogResult:
        """Adds an item or replaces its definition.

        Raises:
            InvalidArgument: a name or a unit of measure makes no sense.
            Overloaded: there are as many items as there may be.
        """
        return decode(CatalogResult, self._write(_PUT_ITEM, pb.PutItemRequest, request_id, item=item).result)

    def put_location(self, location: Location, *, request_id: str | uuid.UUID | None = None) -> CatalogResult:
        """Adds a location or replaces its definition.

        Raises:
            InvalidArgument: the name makes no sense or the time zone is not known.
            Overloaded: there are as many locations as there may be.
        """
        answer = self._write(_PUT_LOCATION, pb.PutLocationRequest, request_id, location=location)
        return decode(CatalogResult, answer.result)

    def put_region(self, region: Region, *, request_id: str | uuid.UUID | None = None) -> CatalogResult:
        """Adds a region or replaces its locations.

        Raises:
            NotFound: a location is not known.
            Overloaded: there are as many regions as there may be.
        """
        return decode(CatalogResult, self._write(_PUT_REGION, pb.PutRegionRequest, request_id, region=region).result)

    def put_lane(self, lane: Lane, *, request_id: str | uuid.UUID | None = None) -> CatalogResult:
        """Adds a lane or replaces it.

        Raises:
            NotFound: its location is not known.
            InvalidArgument: quantiles or weight breaks do not ascend.
        """
        return decode(CatalogResult, self._write(_PUT_LANE, pb.PutLaneRequest, request_id, lane=lane).result)

    def put_rule(
        self, rule: SupplyRule, location: str, item: str = "", *, request_id: str | uuid.UUID | None = None
    ) -> CatalogResult:
        """Sets the supply rule of a location, or of one position where an item is named.

        Positions follow their location's rule unless they have their own.

        Raises:
            NotFound: the location or item is not known.
        """
        answer = self._write(_PUT_RULE, pb.PutRuleRequest, request_id, location=location, item=item, rule=rule)
        return decode(CatalogResult, answer.result)

    def put_buffer(
        self, item: str, location: str, quantity: int, unit: str = "", *, request_id: str | uuid.UUID | None = None
    ) -> CatalogResult:
        """Sets the units of a position that are kept back. What is already promised stays promised.

        Raises:
            NotFound: the item or location is not known.
            InvalidArgument: the quantity is out of its range, or the unit is not known or does not convert exactly.
        """
        answer = self._write(
            _PUT_BUFFER, pb.PutBufferRequest, request_id, item=item, location=location, quantity=quantity, unit=unit
        )
        return decode(CatalogResult, answer.result)

    def put_buffer_policy(
        self, policy: BufferPolicy, location: str, item: str = "", *, request_id: str | uuid.UUID | None = None
    ) -> CatalogResult:
        """Says where the buffers of a location, or of one position where an item is named, come from.

        Positions do as their location says unless they have their own policy, or a buffer above 0 that a planner set.
        Buffers that are to follow a forecast which is there are set at once. A later `put_buffer` of a position ends
        its own policy.

        Raises:
            NotFound: the location or item is not known.
            InvalidArgument: a level or a number of days is out of its range.
        """
        answer = self._write(
            _PUT_BUFFER_POLICY, pb.PutBufferPolicyRequest, request_id, location=location, item=item, policy=policy
        )
        return decode(CatalogResult, answer.result)

    def get_item(self, item: str) -> Item:
        """Returns an item's definition.

        Raises:
            NotFound: the item is not known.
        """
        return decode(Item, self._call(_GET_ITEM, build(pb.GetItemRequest, item=item)).item)

    def get_location(self, location: str) -> LocationInfo:
        """Returns a location's definition and its supply rule.

        Raises:
            NotFound: the location is not known.
        """
        return decode(LocationInfo, self._call(_GET_LOCATION, build(pb.GetLocationRequest, location=location)))

    def list_items(self) -> Iterator[Item]:
        """Yields all items, in the order in which they were first put; asks for a page at a time."""
        token = ""
        while True:
            page = self._call(_LIST_ITEMS, build(pb.ListItemsRequest, page_size=_PAGE_SIZE, page_token=token))
            yield from (decode(Item, each) for each in page.items)
            token = page.next_page_token
            if not token:
                return

    def list_locations(self) -> Iterator[Location]:
        """Yields all locations, in the order in which they were first put; asks for a page at a time."""
        token = ""
        while True:
            page = self._call(_LIST_LOCATIONS, build(pb.ListLocationsRequest, page_size=_PAGE_SIZE, page_token=token))
            yield from (decode(Location, each) for each in page.locations)
            token = page.next_page_token
            if not token:
                return

    def list_regions(self) -> tuple[Region, ...]:
        """Returns all regions."""
        return tuple(decode(Region, each) for each in self._call(_LIST_REGIONS, pb.ListRegionsRequest()).regions)

    def list_lanes(self) -> tuple[Lane, ...]:
        """Returns all lanes."""
        return tuple(decode(Lane, each) for each in self._call(_LIST_LANES, pb.ListLanesRequest()).lanes)
