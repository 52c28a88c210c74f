"""The one place where what the driver raises becomes our own error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg  # type: ignore[import-untyped]

from ringback_receiver._postgres_url import Place
from ringback_receiver.errors import StoreError

__all__ = ["as_store_error", "is_lost", "is_poison", "translated"]

_NOT_TO_BLAME = frozenset({"08", "25", "28", "3D", "40", "42", "53", "55", "57", "58"})
"""SQLSTATE classes of what is wrong with the server, the connection or the moment, and not with a row."""

_OF_THE_DRIVER = (asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver says of itself, as when a connection is lost between two steps of one operation."""


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Raise :class:`StoreError`, with the place named and no password in it."""
    try:
        yield
    except Exception as error:
        failure = as_store_error(place, error)
        if failure is error:
            raise
    else:
        return
    # Not chained: what a driver says of a connection may hold its password.
    raise failure from None


def as_store_error(place: Place, error: Exception) -> Exception:
    """Return what :func:`translated` raises: the error itself, if it is neither the driver's nor the network's."""
    if not isinstance(error, (asyncpg.PostgresError, *_OF_THE_DRIVER, OSError, asyncio.TimeoutError)):
        return error
    # PostgreSQL's further words (DETAIL) quote the row.
    first = str(error) if isinstance(error, OSError) else str(error.args[0]) if error.args else ""
    said = first or type(error).__name__
    return StoreError(f"PostgreSQL store {place}: {place.scrub(said)}")


def is_poison(error: Exception) -> bool:
    """Whether one row may be to blame."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] not in _NOT_TO_BLAME
    return not isinstance(error, (*_OF_THE_DRIVER, OSError, asyncio.TimeoutError, StoreError))


def is_lost(error: Exception) -> bool:
    """Whether the connection is gone, so that the same may work on another."""
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)[:2] == "08" or str(error.sqlstate) in ("57P01", "57P02", "57P03")
    return isinstance(error, (*_OF_THE_DRIVER, ConnectionError))
