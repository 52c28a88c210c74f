"""For how long a bearer token is used.  Pure."""

from __future__ import annotations

import base64

import msgspec

__all__ = ["lifetime", "read_token"]

DEFAULT_LIFETIME = 600.0
"""Seconds to use a token that does not say when it expires."""


class _Issued(msgspec.Struct):
    access_token: str


class _Claims(msgspec.Struct):
    exp: float
    iat: float | None = None


def read_token(body: bytes) -> str | None:
    """Return the token that Airflow issued, or ``None`` if the answer holds none that a header can carry."""
    try:
        token = msgspec.json.decode(body, type=_Issued).access_token
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return token if token and all("\x21" <= char <= "\x7e" for char in token) else None


def lifetime(token: str, *, now: float) -> float:
    """Return the seconds for which a token should be used, reading but not verifying its JWT payload.

    They count from when it was issued by the server's clock, so a local clock that is wrong does no harm.
    A tenth, at most a minute, is kept in reserve.

    :param now: Unix seconds.
    """
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
    except (IndexError, ValueError, RecursionError):
        return DEFAULT_LIFETIME
    left = claims.exp - now
    total = claims.exp - claims.iat if claims.iat is not None else left
    if total <= 0:
        return DEFAULT_LIFETIME
    usable = left if 0 < left < total else total
    return usable - min(60.0, usable / 10)
