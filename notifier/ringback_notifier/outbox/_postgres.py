"""PostgreSQL through psycopg 3, where no wait outlasts its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine, create_engine

from ringback_notifier.outbox._url import Place

__all__ = ["READING", "connect", "postgres_engine", "within"]

T = TypeVar("T")
Y = TypeVar("Y")
S = TypeVar("S")

READING: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
"""Execution options of a connection that only reads, one statement at a time."""

_TICK = 0.05
"""Seconds between two looks at the deadline."""

_ABANDONED = "60s"
"""After which the server ends a transaction whose client says nothing more, and with it its locks."""

_DEFAULTS = {
    "application_name": "ringback",
    # A connection whose other end has gone silently is noticed within a minute.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


class _Deadline(threading.local):
    at: float | None = None


_deadline = _Deadline()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound everything that this thread does with PostgreSQL in the block, all together."""
    _deadline.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _deadline.at = None


class _TooLate(psycopg.OperationalError):
    """The deadline passed."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that gives up, and closes, when the thread's deadline passes.

    The server's own ``statement_timeout`` does not help when it is the server, or the network, that hangs, and
    libpq's ``connect_timeout`` is two seconds at least.
    """

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Any:
        return _bounded(super()._connect_gen(*args, **kwargs))

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        if _deadline.at is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_bounded(gen), *args, **{"interval": _TICK, **kwargs})
        except _TooLate:
            self.close()  # nobody knows what it is doing
            raise


def _bounded(gen: Generator[Y, S, T]) -> Generator[Y, S, T]:
    """Run a generator of psycopg's, which is resumed every tick, until the deadline."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if _deadline.at is not None and time.monotonic() > _deadline.at:
                raise _TooLate("no answer in time")
            wanted = gen.send(ready)
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        gen.close()


def connect(place: Place, *, wait: float | None) -> BoundedConnection:
    """Open a connection.

    :param wait: seconds for one statement, as the server counts them; ``None`` for no bound.
    """
    said = {name: str(value) for name, value in conninfo_to_dict(place.conninfo).items()}
    # No statement is sent often enough on one connection to be worth preparing.
    connection = BoundedConnection.connect(
        make_conninfo(**{**_DEFAULTS, **said}), autocommit=True, prepare_threshold=None
    )
    try:
        # A little less than the client's own patience, so that what is locked is an error and not a lost connection.
        timeout = 0 if wait is None else max(1, int(900 * wait))
        connection.execute(
            sql.SQL("SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}").format(
                timeout, _ABANDONED
            )
        )
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def postgres_engine(place: Place, *, wait: float) -> Engine:
    """Return an engine that replaces a connection which died while nobody used it."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(place, wait=wait),
        max_overflow=-1,
        pool_pre_ping=True,
        hide_parameters=True,
        use_native_hstore=False,
    )
