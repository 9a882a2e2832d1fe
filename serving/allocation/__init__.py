"""Allocation: which order line is served from where. A plan reserves nothing."""

from serving.allocation.column_generation import ColumnGeneration
from serving.allocation.min_cost_flow import MinCostFlow
from serving.allocation.problem import Problem, problem_from_tables
from serving.allocation.protocol import Allocator, Plan
from serving.allocation.tables import ProblemError

__all__ = ["Allocator", "ColumnGeneration", "MinCostFlow", "Plan", "Problem", "ProblemError", "problem_from_tables"]
