"""How the store connects to PostgreSQL, and what it insists on."""

from __future__ import annotations

from typing import Any

from ringback_receiver._postgres_url import Place
from ringback_receiver.errors import ConfigurationError, MissingDependency

try:
    import asyncpg  # type: ignore[import-untyped]
except ModuleNotFoundError as error:
    raise MissingDependency("PostgreSQL needs asyncpg: pip install 'airflow-ringback[postgres]'") from error

__all__ = ["SCHEMA", "Connection", "connect"]

Connection = Any
"""An ``asyncpg.Connection``; the library is not typed."""

SCHEMA = "ringback"
"""The database's schema that our tables are in."""

_SETTINGS = {
    "application_name": "ringback",
    "search_path": SCHEMA,
    # A look that waited for a lock must see what was committed meanwhile, whatever the database's default is.
    "default_transaction_isolation": "read committed",
    # A transaction whose client says nothing more holds its locks no longer than this.
    "idle_in_transaction_session_timeout": "60s",
    # A connection whose other end has gone silently is noticed within a minute.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # Every statement finds a few rows by an index, however many rows there are and whatever the statistics say.
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


async def connect(place: Place, *, patience: float, seconds: float | None = None) -> Connection:
    """Open a connection on which a commit is durable.

    :param patience: seconds for one statement.
    :param seconds: for connecting; by default the same.
    :raises ConfigurationError: on this server a commit is not.
    """
    settings = {
        **_SETTINGS,
        # A little less than the client's own patience, so that what is locked is an error and not a lost connection.
        "statement_timeout": str(max(1, int(900 * patience))),
    }
    timeout = patience if seconds is None else max(0.01, seconds)
    connection = await asyncpg.connect(place.dsn, timeout=timeout, command_timeout=patience, server_settings=settings)
    try:
        for name in ("synchronous_commit", "fsync"):
            value = await connection.fetchval("SELECT current_setting($1)", name)
            if value == "off":
                raise ConfigurationError(
                    f"store: {place} has {name} = off, so that what it calls committed may be lost; "
                    f"set {name} = on for this database and role"
                )
        # Kept as it is found: a reload of the server's configuration reaches open sessions otherwise.
        await connection.execute(
            "SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)"
        )
    except ConfigurationError:
        await connection.close(timeout=timeout)
        raise
    except BaseException:
        connection.terminate()
        raise
    return connection
