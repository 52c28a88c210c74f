"""The tables, once for every database; ``migrations/`` makes them."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql import text

__all__ = ["metadata"]

metadata = MetaData()

# Who waits for what. request_id is also the correlation id. Times are Unix seconds.
requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("callback_url", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),
    Column("event_id", Text),  # of the event that resolved it
    Column("reason", Text),
    Column("triggers", Integer, nullable=False),  # how often its run was asked for
    Index("requests_by_run", "dag_id", "run_id"),
)

# Every event that was believed, whatever it meant. Its primary key makes an event happen once.
events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("request_id", Text, ForeignKey("requests.request_id")),  # null while parked
    Column("correlation_id", Text),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("transition", Text, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the raw bytes that were signed
)
_PARKED = text("transition = 'parked'")
Index(
    "events_parked_by_correlation",
    events.c.correlation_id,
    sqlite_where=_PARKED,
    postgresql_where=_PARKED,
)
Index(
    "events_parked_by_run",
    events.c.dag_id,
    events.c.run_id,
    sqlite_where=_PARKED,
    postgresql_where=_PARKED,
)

# Whose turn it is to handle which event. A claim moves `due` to the end of its lease.
handler_calls = Table(
    "handler_calls",
    metadata,
    Column("event_id", Text, ForeignKey("events.event_id"), primary_key=True),
    Column("handler", Text, primary_key=True),
    Column("due", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),  # of the last attempt that failed
    Column("done_at", Float),
)
_OPEN = text("done_at IS NULL")
Index("handler_calls_open", handler_calls.c.due, sqlite_where=_OPEN, postgresql_where=_OPEN)
