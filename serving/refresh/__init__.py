"""Keeps the engine's forecasts fresh: reads the history, asks the worker for what is due, pushes what it says."""

from serving.refresh.compute import Compute, ComputeAwayError
from serving.refresh.history import HistoryError, from_parquet, from_server
from serving.refresh.job import Plan, Report, refresh

__all__ = [
    "Compute",
    "ComputeAwayError",
    "HistoryError",
    "Plan",
    "Report",
    "from_parquet",
    "from_server",
    "refresh",
]
