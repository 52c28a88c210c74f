"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("dag_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("callback_url", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("triggers", sa.Integer, nullable=False),
        sa.Column("deadline", sa.Float),
        sa.Column("next_check", sa.Float),
        sa.Column("checks", sa.Integer, nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Its run is confirmed, and perhaps asked for again: in room that is left beside a request, no index has to
        # hear of that.  Of a change of its state the partial indexes have to hear in any case.
        op.execute("ALTER TABLE requests SET (fillfactor = 70)")
    op.create_index("requests_by_run", "requests", ["dag_id", "run_id"])
    op.create_table(
        "events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, sa.ForeignKey("requests.request_id")),
        sa.Column("correlation_id", sa.Text),
        sa.Column("dag_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("transition", sa.Text, nullable=False),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "handler_calls",
        sa.Column("event_id", sa.Text, sa.ForeignKey("events.event_id"), primary_key=True),
        sa.Column("handler", sa.Text, primary_key=True),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("done_at", sa.Float),
        sa.Column("given_up_at", sa.Float),
        sa.Column("leased", sa.Boolean, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )
    for name, table, columns, condition in (
        ("requests_pending", "requests", ["next_check"], "state = 'pending'"),
        ("requests_by_deadline", "requests", ["deadline"], "state = 'pending' AND deadline IS NOT NULL"),
        ("events_parked_by_correlation", "events", ["correlation_id"], "transition = 'parked'"),
        ("events_parked_by_run", "events", ["dag_id", "run_id"], "transition = 'parked'"),
        ("handler_calls_open", "handler_calls", ["due"], "done_at IS NULL AND given_up_at IS NULL"),
        ("handler_calls_failing", "handler_calls", ["attempts"], "done_at IS NULL AND error IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for table in ("leases", "handler_calls", "events", "requests"):
        op.drop_table(table)
