"""`python -m serving`: starts and operates a Bespeak service."""

from serving.cli import main

main()
