"""Runs a machine from a seed that is printed, so that what one machine finds every machine finds again."""

import os
import random

from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

SEED = 20_261_122
LONG_TIMES = 40


def run(machine, *, examples, steps):
    """Runs so many stories of so many steps; many more, from a new seed, under HYPOTHESIS_PROFILE=long.

    PROPERTY_SEED=n takes the seed n.
    """
    long = os.environ.get("HYPOTHESIS_PROFILE") == "long"
    number = int(os.environ.get("PROPERTY_SEED") or (random.randrange(10**9) if long else SEED))
    print(f"PROPERTY_SEED={number}")
    count = examples * LONG_TIMES if long else examples
    run_state_machine_as_test(seed(number)(machine), settings=settings(max_examples=count, stateful_step_count=steps))
