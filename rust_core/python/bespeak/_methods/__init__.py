"""The methods that `Engine` and `Client` share. Only how a message reaches the engine differs."""

from bespeak._methods.admin import AdminMethods
from bespeak._methods.allocation import AllocationMethods
from bespeak._methods.catalog import CatalogMethods
from bespeak._methods.promises import PromiseMethods
from bespeak._methods.supply import SupplyMethods
from bespeak._methods.tables import TableMethods


class Methods(PromiseMethods, SupplyMethods, CatalogMethods, AdminMethods, AllocationMethods, TableMethods):
    """Every method of the five services, and tables."""


__all__ = ["Methods"]
