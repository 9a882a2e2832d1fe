"""`config`: what is set, and where it was set."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from serving.cli.output import console, print_json
from serving.config import Loaded, load


def config(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of TOML.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
) -> None:
    """Print the configuration as the processes would take it, as a file that can be used again."""
    loaded = load(context.obj)
    values = loaded.config.model_dump(mode="json")
    if as_json:
        print_json(values)
        return
    for line in _lines(values, "", loaded, changed=changed):
        console.print(line, markup=False, soft_wrap=True)


def _lines(values: dict[str, Any], prefix: str, loaded: Loaded, *, changed: bool) -> Iterable[str]:
    """Yields TOML: plain keys first, then tables, as the format wants it."""
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    written = []
    for key, value in plain.items():
        origin = loaded.origins.get(prefix + key)
        if changed and origin is None:
            continue
        note = f"  # from {origin}" if origin else ""
        written.append(f"# {key} is unset" if value is None else f"{key} = {_toml(value)}{note}")
    if written:
        if prefix:
            yield f"[{prefix.removesuffix('.')}]"
        yield from written
        yield ""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.", loaded, changed=changed)


def _toml(value: Any) -> str:
    """JSON's spelling of text, numbers, booleans and lists is TOML's."""
    return json.dumps(value, ensure_ascii=False)
