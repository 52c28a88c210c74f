"""The tables, once for every database.  Times are Unix seconds, UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.sql import text

__all__ = [
    "ABANDONED",
    "HEAD",
    "ID",
    "VERSION_TABLE",
    "VERSIONS",
    "WAITING",
    "HAS_DESTINATION",
    "HINTED",
    "OPEN",
    "SETTLED",
    "attempts",
    "duties",
    "events",
    "metadata",
]

VERSIONS = ("0001_first",)
"""Of the schema, the oldest first, as Alembic's scripts in ``migrations/versions`` name them."""

HEAD = VERSIONS[-1]

ABANDONED = frozenset({"0001"})
"""Versions that only checkouts under development have made, and that nothing leads on from."""

VERSION_TABLE = "ringback_outbox_version"

metadata = MetaData()

# The order of ids is that of their bytes, here, in Python and in SQLite, whatever language a server was set up for:
# transactions lock in this order, and pages are read in it.
ID = Text().with_variant(Text(collation="C"), "postgresql")

# An event, or a hint that there may be one.  While it is leased, due_at is the lease's end: "due, or leased and given
# up on" is one indexed condition.
events = Table(
    "ringback_event",
    metadata,
    Column("event_id", ID, primary_key=True),  # of a hint whose event id is unknown: run_…
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("state", Text),
    Column("destination", Text),
    Column("url", Text),
    Column("host", Text),  # host:port
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
    Column("body", LargeBinary),  # the last, for SQLite reads all of a long one on its way to a column behind it
)

# Partial indexes part what is to be done from what is over.  A database sees that one serves a query only where the
# query says the very same, with no parameter in it: so these are said here, and used in queries.
WAITING = text("ringback_event.status IN ('due', 'leased')")
HINTED = text("ringback_event.status = 'hint'")
SETTLED = text("ringback_event.settled_at IS NOT NULL")
OPEN = text("ringback_event.settled_at IS NULL")
HAS_DESTINATION = text("ringback_event.destination IS NOT NULL")

# By each of these rows are listed, the newest first.  That the status is in two partial indexes, whose conditions the
# relay's queries do not say, keeps SQLite from preferring it to ringback_event_waiting.
for _name, _columns, _condition in (
    ("ringback_event_waiting", ["due_at"], "status IN ('due', 'leased')"),
    ("ringback_event_hinted", ["due_at"], "status = 'hint'"),
    ("ringback_event_settled", ["settled_at"], "settled_at IS NOT NULL"),
    ("ringback_event_by_age", ["created_at", "event_id"], None),
    ("ringback_event_by_run", ["run_id", "created_at", "event_id"], None),
    ("ringback_event_by_dag", ["dag_id", "created_at", "event_id"], None),
    ("ringback_event_by_destination", ["destination", "created_at", "event_id"], "destination IS NOT NULL"),
    ("ringback_event_by_end", ["status", "created_at", "event_id"], "settled_at IS NOT NULL"),
    ("ringback_event_by_stage", ["status", "created_at", "event_id"], "settled_at IS NULL"),
):
    _where = text(_condition) if _condition else None
    Index(_name, *(events.c[_column] for _column in _columns), sqlite_where=_where, postgresql_where=_where)

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
