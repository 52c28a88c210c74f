"""The tables, once for every database.  Times are Unix seconds, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql import text

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "VERSIONS",
    "WAITING",
    "HINTED",
    "SETTLED",
    "attempts",
    "duties",
    "events",
    "metadata",
]

VERSIONS = ("0001",)
"""Of the schema, the oldest first, as Alembic's scripts in ``migrations/versions`` name them."""

HEAD = VERSIONS[-1]

VERSION_TABLE = "ringback_outbox_version"

metadata = MetaData()

# An event, or a hint that there may be one.  While it is leased, due_at is the lease's end: "due, or leased and given
# up on" is one indexed condition.
events = Table(
    "ringback_event",
    metadata,
    Column("event_id", Text, primary_key=True),  # of a hint whose event id is unknown: run_…
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("state", Text),
    Column("destination", Text),
    Column("url", Text),
    Column("host", Text),  # host:port
    Column("body", LargeBinary),
    Column("status", Text, nullable=False),
    Column("reported_by", Text, nullable=False),  # who built the body; of a hint, who saw the run end
    Column("created_at", Double, nullable=False),
    Column("schedule_from", Double, nullable=False),  # when its present schedule of attempts began
    Column("ended_at", Double),
    Column("due_at", Double, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),  # by relays, in this schedule
    Column("looks", Integer, nullable=False),
    Column("settled_at", Double),
    Index("ringback_event_by_run", "dag_id", "run_id"),
    Index("ringback_event_by_age", "created_at"),
)

# Partial indexes part what is to be done from what is over.  A database sees that one serves a query only where the
# query says the very same, with no parameter in it: so these are said here, and used in queries.  No other index holds
# the status, or SQLite prefers it.
WAITING = text("ringback_event.status IN ('due', 'leased')")
HINTED = text("ringback_event.status = 'hint'")
SETTLED = text("ringback_event.settled_at IS NOT NULL")

for _name, _columns, _condition in (
    ("ringback_event_waiting", [events.c.due_at], "status IN ('due', 'leased')"),
    ("ringback_event_hinted", [events.c.due_at], "status = 'hint'"),
    ("ringback_event_settled", [events.c.settled_at], "settled_at IS NOT NULL"),
    ("ringback_event_by_end", [events.c.status, events.c.created_at], "settled_at IS NOT NULL"),
):
    Index(_name, *_columns, sqlite_where=text(_condition), postgresql_where=text(_condition))

# Every attempt on record, also those of earlier schedules.  Its event's row is there first, and purged with it.
attempts = Table(
    "ringback_attempt",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("duration", Double, nullable=False),  # seconds
    Column("status", Integer),  # of the answer
    Column("error", Text),
    Column("excerpt", Text, nullable=False),
    Index("ringback_attempt_by_event", "event_id"),
)

# What one relay does for all, and that a relay is alive.
duties = Table(
    "ringback_duty",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Double, nullable=False),
    Column("value", Text),
)
