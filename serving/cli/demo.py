"""`demo`: real baskets through a live server."""

import typer


def demo(context: typer.Context) -> None:
    """Replay real orders through a live server, which is killed on the way; --help lists the options."""
    from serving.demo.__main__ import main

    inner = typer.Typer(add_completion=False)
    inner.command()(main)
    inner(args=context.args, prog_name="python -m serving demo")
