"""Allocation: which order line is served from where. A plan reserves nothing."""

from serving.allocation.auto import Auto
from serving.allocation.column_generation import ColumnGeneration
from serving.allocation.min_cost_flow import MinCostFlow
from serving.allocation.protocol import Allocator, Cancellation, Plan, ProblemError, Terms
from serving.allocation.search import Search

__all__ = [
    "Allocator",
    "Auto",
    "Cancellation",
    "ColumnGeneration",
    "MinCostFlow",
    "Plan",
    "ProblemError",
    "Search",
    "Terms",
]
