"""Which keys a configuration has, and which of them somebody may have meant."""

import difflib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel


def children(annotation: Any) -> dict[str, Any] | None:
    """Returns the keys of a table and their types; None for a plain value."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) in (typing.Union, typing.Annotated):
        inner = (children(each) for each in typing.get_args(annotation))
        return next((found for found in inner if found is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {name: field.annotation for name, field in annotation.model_fields.items()}
    if isinstance(annotation, type) and is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return {field.name: hints[field.name] for field in fields(annotation)}
    return None


def leaves(annotation: Any, prefix: str = "") -> Iterator[str]:
    """Yields the dotted name of every plain value below."""
    for name, kind in (children(annotation) or {}).items():
        if children(kind) is None:
            yield prefix + name
        else:
            yield from leaves(kind, f"{prefix}{name}.")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns `{"a.b": 1}` for `{"a": {"b": 1}}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def at(values: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key; None where there is none."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def unknown_keys(annotation: Any, values: Mapping[str, Any], spell: Callable[[str], str] = str) -> list[str]:
    """Says of each key that does not exist which one is nearest.

    Args:
        annotation: class of the configuration.
        values: nested tables.
        spell: how a key is written where it was set.
    """
    return list(_unknown(annotation, values, "", annotation, spell))


def _unknown(
    annotation: Any, values: Mapping[str, Any], prefix: str, root: Any, spell: Callable[[str], str]
) -> Iterator[str]:
    known = children(annotation) or {}
    for name, value in values.items():
        key = prefix + name
        if name not in known:
            yield f"unknown key {spell(key)}: {_hint(key, prefix, known, root, spell)}"
        elif isinstance(value, Mapping) and children(known[name]) is not None:
            yield from _unknown(known[name], value, f"{key}.", root, spell)


def _hint(key: str, prefix: str, known: Mapping[str, Any], root: Any, spell: Callable[[str], str]) -> str:
    name = key.removeprefix(prefix)
    # The right name in the wrong table.
    near = [leaf for leaf in leaves(root) if leaf.rpartition(".")[2] == name]
    if not near:
        near = [prefix + each for each in difflib.get_close_matches(name, known, n=1)]
    if not near:
        near = difflib.get_close_matches(key, list(leaves(root)), n=1, cutoff=0.7)
    if near:
        return f"did you mean {spell(near[0])}?"
    return f"use one of {', '.join(spell(prefix + each) for each in known)}"
