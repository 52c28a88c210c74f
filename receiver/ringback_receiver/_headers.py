"""One header of a request that nothing is known of yet."""

from __future__ import annotations

from typing import Any

from ringback_protocol.verifying import Headers

__all__ = ["first_header"]


def first_header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, whatever a stranger's object makes of being asked.

    :param name: in lower case.
    """
    try:
        pairs: Any = getattr(headers, "items", lambda: headers)()
        return next((_text(value) for key, value in pairs if _text(key).lower() == name), None)
    except Exception:
        return None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else str(value, "latin-1")
