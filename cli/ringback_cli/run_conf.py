"""A run's conf, as ``--conf`` gives it: names and values, or a file.  Pure but for the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from ringback_cli.input_files import read_text

__all__ = ["parse_conf", "value_of"]

_OPTION = "--conf"


def parse_conf(entries: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` entries, and ``@file.json`` for an object from a file (``@-``: from standard input).

    :raises typer.BadParameter: an entry is neither, or a name comes twice.
    """
    conf: dict[str, Any] = {}
    for entry in entries:
        for name, value in _members(entry):
            if name in conf:
                raise typer.BadParameter(f"{name!r} is given twice", param_hint=_OPTION)
            conf[name] = value
    return conf


def value_of(text: str) -> Any:
    """Return what a value says if it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _members(entry: str) -> list[tuple[str, Any]]:
    if entry.startswith("@"):
        text = read_text(entry[1:], _OPTION)
        try:
            found = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise typer.BadParameter("this file holds no JSON object", param_hint=_OPTION)
        return list(found.items())
    name, separator, value = entry.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"{entry!r}: write name=value, or @file.json", param_hint=_OPTION)
    return [(name, value_of(value))]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
