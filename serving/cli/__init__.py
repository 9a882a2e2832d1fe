"""The command line. Each command has a file; heavy modules are imported when a command runs."""

from serving.cli.app import main

__all__ = ["main"]
