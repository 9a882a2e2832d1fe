"""`python -m loadtests.chaos`: the same as `python -m serving bench --chaos`."""

import sys

from loadtests.chaos.cli import main

sys.exit(main(sys.argv[1:]))
