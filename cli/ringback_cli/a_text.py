"""What was typed as a text: a command line may hold bytes that are none."""

from __future__ import annotations

import typer

__all__ = ["a_text"]


def a_text(value: str | None) -> str | None:
    """Return an argument as it is; typer calls this for those that are sent somewhere.

    :raises typer.BadParameter: its bytes are not UTF-8.
    """
    try:
        if value is not None:
            value.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("that is no text in UTF-8") from None
    return value
