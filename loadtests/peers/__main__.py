"""`python -m loadtests.peers`: the same as `python -m serving bench --peers`."""

import sys

from loadtests.peers.cli import main

sys.exit(main(sys.argv[1:]))
