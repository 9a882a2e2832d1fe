"""The embedded engine against the oracle, by a clock that the test moves."""

import pytest

from bespeak import Engine, ManualClock
from tests.oracle.oracle import HOUR_MS
from tests.property.machine import PromiseMachine
from tests.property.pair import Pair
from tests.property.seeds import run

START_MS = 1_790_000_000_000
LIFE_MS = 12 * HOUR_MS
HELD_MAX = 15
"""Units that one customer may hold: a few small orders, or two large ones."""


class EngineMachine(PromiseMachine):
    def open(self):
        self.clock = ManualClock(START_MS)
        self.engine = Engine(
            ":memory:", clock=self.clock, max_hold_life_ms=LIFE_MS, max_held_units_per_customer=HELD_MAX
        )
        return Pair(self.engine, lambda: self.clock.now_ms, exact=True, life_ms=LIFE_MS, held_max=HELD_MAX)

    def pass_time(self, by):
        self.clock.advance_ms(by)

    def teardown(self):
        report = self.engine.reconcile()
        assert (report.oversold_units, report.discrepancies) == (0, ())
        self.engine.close()


@pytest.mark.timeout(600)
def test_the_engine_answers_as_the_oracle():
    run(EngineMachine, examples=60, steps=40)
