"""Tables that several tests of forecasters start from."""

import numpy as np
import pytest

from tests.models.tables import table


@pytest.fixture(scope="session")
def weekly():
    """Ninety days of ten items with a weekly pattern."""
    rng = np.random.default_rng(7)
    week = 1 + 0.6 * np.sin(2 * np.pi * np.arange(90) / 7)
    return table({f"sku-{i:02d}": rng.poisson((2 + 3 * i) * week).astype(float) for i in range(10)})
