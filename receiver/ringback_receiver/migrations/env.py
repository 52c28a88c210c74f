"""Alembic's environment: the caller brings the connection and the transaction; logging is left alone."""

from __future__ import annotations

from alembic import context

from ringback_receiver._schema import metadata
from ringback_receiver._versions import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
