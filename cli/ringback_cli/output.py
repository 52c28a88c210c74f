"""How results are printed: one JSON object for programs, and for people no control characters."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

__all__ = ["AsJson", "print_json", "print_line", "printable"]

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def printable(text: str) -> str:
    """Leave out what would move the cursor: ids and errors come from elsewhere."""
    return "".join(char if char.isprintable() else "·" for char in text)


def print_line(text: str, *, err: bool = False) -> None:
    """Print one line, whatever is in it."""
    typer.echo(printable(text), err=err)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, where what would move the cursor is escaped.

    Half a surrogate pair, which is no text, comes out as a question mark.
    """
    import msgspec

    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        encoded = msgspec.json.encode(_encodable(value))
    # Outside of strings nothing is unprintable.
    typer.echo("".join(char if char.isprintable() else _escaped(char) for char in encoded.decode()))


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _encodable(value: Any) -> Any:
    import msgspec

    plain = msgspec.to_builtins(value)
    if isinstance(plain, str):
        return plain.encode("utf-8", "replace").decode()
    if isinstance(plain, dict):
        return {_encodable(name): _encodable(item) for name, item in plain.items()}
    return [_encodable(item) for item in plain] if isinstance(plain, list | tuple) else plain
