"""A small patch transformer for daily demand; importing it imports PyTorch."""

from models.patch.config import PatchConfig
from models.patch.forecaster import PatchForecaster

__all__ = ["PatchConfig", "PatchForecaster"]
