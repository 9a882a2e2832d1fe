"""Allocation: which order line is served from where. A plan reserves nothing."""

from serving.allocation.min_cost_flow import MinCostFlow
from serving.allocation.problem import Problem, ProblemError, problem_from_tables
from serving.allocation.protocol import Allocator, Plan

__all__ = ["Allocator", "MinCostFlow", "Plan", "Problem", "ProblemError", "problem_from_tables"]
