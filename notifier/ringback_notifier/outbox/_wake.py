"""Telling those who watch.  It only wakes: what there is to do, the tables say."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

__all__ = ["CHANNEL", "wake"]

CHANNEL = "ringback_outbox"
"""That PostgreSQL tells of news on."""


def wake(connection: Connection) -> None:
    """Tell those who watch, once this transaction is committed.  SQLite's watchers see for themselves."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_notify(CHANNEL, "")))
