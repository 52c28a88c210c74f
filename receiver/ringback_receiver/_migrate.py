"""How a store gets this release's schema.  Alembic is loaded only where there is work for it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ringback_receiver._versions import HEAD, LOCK, VERSION_TABLE, is_current
from ringback_receiver.errors import ConfigurationError, MissingDependency, StoreError

__all__ = ["migrate", "migrate_sqlite"]

_PATIENCE = "60s"
_SECONDS_TO_CONNECT = 10


def migrate(url: str) -> None:
    """Create a server's tables, or bring them to this release's schema; does nothing where there is nothing to do.

    Several processes may do so at once.

    :param url: ``postgresql://user:password@host:5432/database``.
    :raises ConfigurationError: it is no such URL, or the schema is of a later release.
    :raises StoreError: the server cannot be reached, or refuses.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        raise ConfigurationError("store: a SQLite store migrates itself when it is opened; there is nothing to run")
    if scheme not in ("postgresql", "postgres"):
        raise ConfigurationError("store: write postgresql://user:password@host:5432/database")
    try:
        import psycopg
    except ImportError as error:
        raise MissingDependency("PostgreSQL needs psycopg: pip install 'airflow-ringback[postgres]'") from error
    from ringback_receiver._postgres_connect import SCHEMA
    from ringback_receiver._postgres_url import parse_place

    place = parse_place(url)
    failure: StoreError
    try:
        raw = psycopg.connect(place.dsn, connect_timeout=_SECONDS_TO_CONNECT, autocommit=False)
        engine = create_engine("postgresql+psycopg://", creator=lambda: raw, poolclass=StaticPool)
        with raw, engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{_PATIENCE}'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            # Asked first: where it is there, nobody needs the right to make one.
            if connection.execute(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}).scalar() is None:
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            connection.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
            _upgrade(connection, str(place), schema=SCHEMA)
        return
    except (DBAPIError, psycopg.Error, OSError) as raised:
        cause = (raised.orig or raised) if isinstance(raised, DBAPIError) else raised
        # PostgreSQL's further words (DETAIL) may quote rows.
        said = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
        failure = StoreError(f"PostgreSQL store {place}: {place.scrub(said or str(cause))}")
    # Not chained: what a driver says of a connection may hold its password.
    raise failure


def migrate_sqlite(raw: sqlite3.Connection, path: str) -> None:
    """Do the same for a file.

    :param raw: in autocommit mode; what is in its memory stays there.
    :raises ConfigurationError: its schema is one that this release does not know.
    """
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _upgrade(connection, path, schema=None)
    except DBAPIError as error:  # whoever opens the file knows the driver's own
        raise error.orig or error from error


def _upgrade(connection: Connection, shown: str, *, schema: str | None) -> None:
    tables = inspect(connection).get_table_names(schema)
    version = None
    if VERSION_TABLE in tables:
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - ours
    if is_current(shown, version, tables):
        return
    try:
        from alembic import command
        from alembic.config import Config
    except ModuleNotFoundError as error:
        raise MissingDependency("the store needs Alembic: pip install 'airflow-ringback[receiver]'") from error
    config = Config()
    scripts = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
