"""Request ids: 48 bits of time, 80 of chance, in an alphabet that sorts as the ids were made."""

from __future__ import annotations

import secrets

__all__ = ["new_request_id", "request_id"]

PREFIX = "req_"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: in ASCII order, and without the letters that look like others."""
_CHARS = 26
RANDOM_BYTES = 10


def request_id(now: float, randomness: bytes) -> str:
    """Return ``req_`` and 26 characters; a later millisecond gives a greater text.

    :param now: Unix seconds.
    :param randomness: ten bytes.
    """
    if len(randomness) != RANDOM_BYTES:
        raise ValueError(f"{RANDOM_BYTES} random bytes are needed, not {len(randomness)}")
    milliseconds = int(now * 1000)
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError("the time does not fit into 48 bits of milliseconds")
    number = milliseconds << 80 | int.from_bytes(randomness, "big")
    return PREFIX + "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_CHARS)))


def new_request_id(now: float) -> str:
    """Return an id that nobody can guess or repeat.

    :param now: Unix seconds.
    """
    return request_id(now, secrets.token_bytes(RANDOM_BYTES))
