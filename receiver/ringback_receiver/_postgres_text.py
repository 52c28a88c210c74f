"""Texts that PostgreSQL takes, of any text at all.  Pure.

Its ``text`` refuses NUL, and an index refuses more than 2,704 bytes.  What an event says of itself is signed, but it
may be anything; its columns are only compared, and its body keeps what it really said.
"""

from __future__ import annotations

import hashlib
from typing import overload

__all__ = ["comparable", "readable"]

_MOST_CHARS = 256
"""Of a text that is kept as it is: at most four bytes each, twice in one index."""


@overload
def comparable(text: str) -> str: ...
@overload
def comparable(text: None) -> None: ...
@overload
def comparable(text: str | None) -> str | None: ...
def comparable(text: str | None) -> str | None:
    """Return the text, or a backslash and its digest; of two different texts never the same."""
    if text is None or not (len(text) > _MOST_CHARS or "\0" in text or text.startswith("\\")):
        return text
    return "\\" + hashlib.sha256(text.encode()).hexdigest()


def readable(text: str) -> str:
    """Return a text for people without what cannot be kept."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
