"""Reading what an option names: a file, or standard input; never endlessly much."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

__all__ = ["read_bytes", "read_text"]

_LARGEST = 1_000_000


def read_bytes(path: str, option: str, *, most: int = _LARGEST) -> bytes:
    """Read a file, or standard input if its name is ``-``.

    :param option: that named it, for messages.
    :param most: bytes.
    :raises typer.BadParameter: it cannot be read, or is larger.
    """
    try:
        if path == "-":
            content = sys.stdin.buffer.read(most + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(most + 1)
    except (OSError, ValueError) as error:
        # Its name is not repeated: somebody may have typed a key or a password where its file is meant.
        why = error.strerror if isinstance(error, OSError) else "that is no path"
        raise typer.BadParameter(f"this file cannot be read: {why}", param_hint=option) from None
    if len(content) > most:
        raise typer.BadParameter(f"this file is larger than {most} bytes", param_hint=option)
    return content


def read_text(path: str, option: str, *, most: int = _LARGEST) -> str:
    """Read a text; the same as :func:`read_bytes`."""
    try:
        return read_bytes(path, option, most=most).decode()
    except UnicodeDecodeError:
        raise typer.BadParameter("this file is no text in UTF-8", param_hint=option) from None
