"""The methods that `Engine` and `Client` share. Only how a message reaches the engine differs."""

from bespeak._methods.admin import AdminMethods
from bespeak._methods.catalog import CatalogMethods
from bespeak._methods.promises import PromiseMethods
from bespeak._methods.supply import SupplyMethods


class Methods(PromiseMethods, SupplyMethods, CatalogMethods, AdminMethods):
    """Every method of the four services."""


__all__ = ["Methods"]
