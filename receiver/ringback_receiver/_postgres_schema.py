"""Whether a database's tables are those that this release knows."""

from __future__ import annotations

from ringback_receiver._postgres_connect import SCHEMA, Connection
from ringback_receiver._versions import COMMAND, VERSION_TABLE, is_current
from ringback_receiver.errors import ConfigurationError

__all__ = ["ensure_current"]


async def ensure_current(connection: Connection) -> None:
    """Return if they are.

    :raises ConfigurationError: otherwise, saying what to do.
    """
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", SCHEMA)
    names = {name for (name,) in tables}
    version = None
    if VERSION_TABLE in names:
        version = await connection.fetchval(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - ours
    if not is_current(f"the database's schema {SCHEMA}", version, names):
        raise ConfigurationError(
            f"store: the database has no tables of this release of airflow-ringback: run `{COMMAND}`, "
            "with the store's URL in RINGBACK_STORE"
        )
