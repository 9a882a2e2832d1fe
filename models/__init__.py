"""Demand forecasters: one protocol on Arrow tables, and the models behind it.

Importing this package needs neither Ray nor PyTorch; the `patch` transformer
imports PyTorch when it is loaded. `python -m models --help` lists the commands.
"""

from models.climatology import Climatology
from models.panel import Panel, panel_from_tables
from models.protocol import (
    DEFAULT_QUANTILES,
    Forecaster,
    InputError,
    PanelForecaster,
    forecast_schema,
    level_name,
)

__all__ = [
    "DEFAULT_QUANTILES",
    "Climatology",
    "Forecaster",
    "InputError",
    "Panel",
    "PanelForecaster",
    "forecast_schema",
    "level_name",
    "panel_from_tables",
]
