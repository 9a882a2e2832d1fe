"""`python -m loadtests.slo`: the same as `python -m serving bench --slo`."""

import sys

from loadtests.slo.cli import main

sys.exit(main(sys.argv[1:]))
