"""The one place where what SQLAlchemy and the drivers raise becomes our own."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ringback_notifier.errors import OutboxError, OutboxUnavailable
from ringback_notifier.outbox._url import OPTION, Place

__all__ = ["translated"]


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Raise our errors for those of the database, with the place named and no password in them.

    :raises OutboxUnavailable: it cannot be reached, is locked, or was too slow.
    :raises OutboxError: it does not work, now or later.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        failure = _failure(place, error)
    except Exception as error:
        if not isinstance(error, _psycopg("Error")):
            raise
        failure = _failure(place, error)
    else:
        return
    # Not chained: what a driver says of a connection may hold its password.
    raise failure from None


def _failure(place: Place, error: Exception) -> OutboxError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    # PostgreSQL's further words (DETAIL) quote the row, URL and body included.
    primary = getattr(getattr(cause, "diag", None), "message_primary", None)
    what = place.scrub(primary or str(cause)) or type(cause).__name__
    if isinstance(cause, sqlite3.OperationalError):
        if what.startswith("no such"):
            return OutboxError(f"outbox {place}: {what}; {_NEW_FILE}")
        return OutboxUnavailable(f"outbox {place}: {what}{_ADVICE.get(what, '')}")
    if type(cause) is sqlite3.DatabaseError:
        return OutboxError(f"outbox {place}: {what}; {_NEW_FILE}")
    if isinstance(cause, (PoolTimeout, _psycopg("OperationalError"), _psycopg("InterfaceError"))):
        return OutboxUnavailable(f"outbox {place}: {what}")
    return OutboxError(f"outbox {place}: {what}")


_NEW_FILE = (
    f"stop what uses the file and move it away, or let {OPTION} name another: a new one is made. What was pending is "
    "found again by the relay's first sweep, but only as far back as [ringback] sweep_lookback says (600 seconds if it "
    "is not set): before the relay starts, set it to more than the age of the oldest ending that may be missing"
)

_ADVICE = {
    "unable to open database file": f"; {OPTION} must name a file that this user may create, read and write",
    "attempt to write a readonly database": f"; {OPTION} must name a file that this user may write",
}


def _psycopg(name: str) -> type[Exception]:
    """Return psycopg's class of that name, or one that nothing is an instance of while psycopg is not loaded."""
    module = sys.modules.get("psycopg")
    return getattr(module, name, _Never) if module is not None else _Never


class _Never(Exception):
    """Raised by nobody."""
