"""The tables, once for every database; ``migrations/`` makes them."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text
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
    Column("deadline", Float),
    Column("next_check", Float),  # when Airflow shall be asked about its run; null for never
    Column("checks", Integer, nullable=False),  # how often it was
    Column("confirmed", Boolean, nullable=False),  # whether its run is known to exist, or to have existed
    Index("requests_by_run", "dag_id", "run_id"),
)
_WAITS = text("state = 'pending'")
Index("requests_pending", requests.c.next_check, sqlite_where=_WAITS, postgresql_where=_WAITS)
_ENDS = text("state = 'pending' AND deadline IS NOT NULL")
Index("requests_by_deadline", requests.c.deadline, sqlite_where=_ENDS, postgresql_where=_ENDS)

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
    Column("body", LargeBinary, nullable=False),  # the raw bytes that were signed, or that the reconciler made
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
    Column("given_up_at", Float),
    Column("leased", Boolean, nullable=False),  # whether `due` is the end of a lease
)
_OPEN = text("done_at IS NULL AND given_up_at IS NULL")
Index("handler_calls_open", handler_calls.c.due, sqlite_where=_OPEN, postgresql_where=_OPEN)
_FAILING = text("done_at IS NULL AND error IS NOT NULL")
Index("handler_calls_failing", handler_calls.c.attempts, sqlite_where=_FAILING, postgresql_where=_FAILING)

# What one process at a time does for all.
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Float, nullable=False),
)
