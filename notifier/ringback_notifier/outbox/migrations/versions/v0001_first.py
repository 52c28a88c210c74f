"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_first"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ringback_event",
        sa.Column("event_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), primary_key=True),
        sa.Column("dag_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("destination", sa.Text),
        sa.Column("url", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reported_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("schedule_from", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("leased_by", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.Column("settled_at", sa.Double),
        sa.Column("body", sa.LargeBinary),
    )
    for name, columns, condition in (
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
        where = sa.text(condition) if condition else None
        op.create_index(name, "ringback_event", columns, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "ringback_attempt",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("duration", sa.Double, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("excerpt", sa.Text, nullable=False),
    )
    op.create_index("ringback_attempt_by_event", "ringback_attempt", ["event_id"])
    op.create_table(
        "ringback_duty",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("value", sa.Text),
    )


def downgrade() -> None:
    for table in ("ringback_duty", "ringback_attempt", "ringback_event"):
        op.drop_table(table)
