"""A database that is either: an engine, two kinds of transactions, one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Pool

from ringback_notifier.outbox._failures import translated
from ringback_notifier.outbox._url import Place

__all__ = ["Database"]

_INHERITED: list[Pool] = []
"""Of the process that this one was forked from.  Were they collected, they would be closed: SQLite allows no process
to touch another's connection."""


class Database:
    """Connections to one place.

    :param wait: seconds that a transaction may wait, for a lock or for the server.
    """

    def __init__(self, place: Place, *, wait: float) -> None:
        self.place = place
        self.wait = wait
        # A driver is loaded only for the database that needs it.
        reading: dict[str, Any]
        if place.kind == "sqlite":
            from ringback_notifier.outbox._sqlite import READING, sqlite_engine

            self._engine, reading = sqlite_engine(place, wait=wait), READING
            self._within: Any = nullcontext
        else:
            from ringback_notifier.outbox import _postgres

            self._engine, reading = _postgres.postgres_engine(place, wait=wait), _postgres.READING
            self._within = _postgres.within
        self._reader = self._engine.execution_options(**reading)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run the block in one transaction: all of it is committed, or nothing.

        :raises OutboxError: and its like, for whatever the database raises.
        """
        with translated(self.place), self._within(self.wait), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run the block, which does not write, without a transaction.

        :raises OutboxError: and its like, for whatever the database raises.
        """
        with translated(self.place), self._within(self.wait), self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def forget(self) -> None:
        """Leave the connections to the process that this one was forked from."""
        _INHERITED.append(self._engine.pool)
        self._engine.dispose(close=False)
