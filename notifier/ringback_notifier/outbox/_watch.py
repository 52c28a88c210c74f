"""Waiting for news.  It only wakes: what there is to do, the outbox itself says."""

from __future__ import annotations

from typing import Protocol

from ringback_notifier.outbox._database import Database

__all__ = ["Watch", "watch"]


class Watch(Protocol):
    """Tells that the outbox changed; one thread waits, any thread closes."""

    def wait(self, timeout: float) -> bool:
        """Wait until something changed since the last call, or since the beginning; one's own changes count.

        :param timeout: seconds.
        :returns: whether something changed; ``False`` also once it is closed.
        :raises OutboxError: the connection is lost; make a new watch.
        """
        ...

    def close(self) -> None:
        """Stop waiting, and close the connection."""
        ...


def watch(database: Database) -> Watch:
    """Return a watch on a connection of its own."""
    if database.place.kind == "sqlite":
        from ringback_notifier.outbox._sqlite_watch import SqliteWatch

        return SqliteWatch(database.place, wait=database.wait)
    from ringback_notifier.outbox._postgres_watch import PostgresWatch

    return PostgresWatch(database.place, wait=database.wait)
