"""Which schema a database has, and how it gets this release's.  Alembic is loaded only where there is work for it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox._database import Database
from ringback_notifier.outbox._schema import ABANDONED, HEAD, VERSION_TABLE, VERSIONS
from ringback_notifier.outbox._url import OPTION, Place, parse_url

__all__ = ["NotMigrated", "ensure_current", "has_head", "migrate"]

_COMMAND = "ringback outbox migrate"
_LOCK = 0x72696E676261636B  # "ringback"
_OF_AIRFLOW = {"dag_run", "task_instance"}


class NotMigrated(OutboxError):
    """The tables are missing or of an older release, and only a person migrates a server's."""


def migrate(url: str, *, wait: float = 60.0) -> None:
    """Create the tables, or bring them to this release's schema; does nothing where there is nothing to do.

    Several processes may do so at once.  A SQLite file is not created: it would belong to whoever migrates, and
    Airflow's components, which are another user maybe, could not use it.

    :param url: see :meth:`~ringback_notifier.outbox.Outbox.open`.
    :param wait: seconds, for each lock and each statement.
    :raises OutboxError: the database is of a later release, somebody else's, or cannot be used.
    """
    place = parse_url(url)
    if place.kind == "sqlite" and not Path(place.path).exists():
        raise OutboxError(
            f"outbox {place}: there is no such file, and nothing to migrate; Airflow's components make it, as the user "
            "that they run as, when they first need it"
        )
    database = Database(place, wait=wait)
    try:
        if not _is_current(database):
            _upgrade(database)
    finally:
        database.close()


def ensure_current(database: Database) -> None:
    """Check that the schema is this release's, and bring a SQLite file to it.

    :raises NotMigrated: it is not, and the database is a server's.
    """
    if _is_current(database):
        return
    if database.place.kind == "postgresql":
        raise NotMigrated(f"outbox {database.place}: its tables are missing or of an older release; run `{_COMMAND}`")
    _upgrade(database)


def _is_current(database: Database) -> bool:
    if database.place.kind == "sqlite":
        _create(database.place)
    with database.reading() as connection:
        return has_head(connection, database.place)


def _create(place: Place) -> None:
    from ringback_notifier.outbox._sqlite import create_private

    try:
        create_private(place.path)
    except OSError as error:
        raise OutboxError(
            f"outbox {place}: cannot be created ({error.strerror}); {OPTION} must name a file that this user may "
            "create, read and write"
        ) from error


def has_head(connection: Connection, place: Place) -> bool:
    """Tell whether the schema is this release's.

    :raises OutboxError: it is a later release's or an abandoned one, or the database is somebody else's.
    """
    tables = set(inspect(connection).get_table_names())
    version = None
    if VERSION_TABLE in tables:
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    elif tables >= _OF_AIRFLOW or (tables and place.kind == "sqlite"):
        raise OutboxError(f"outbox {place}: this database is another program's; {OPTION} must name one of its own")
    if version in ABANDONED:
        raise OutboxError(
            f"outbox {place}: its schema {version} was made by a checkout under development, before the first release, "
            f"and is not migrated; move it away, or let {OPTION} name another database"
        )
    if version is not None and version not in VERSIONS:
        raise OutboxError(
            f"outbox {place}: its schema {version} is of a later release of airflow-ringback, and this one knows "
            f"{HEAD}; upgrade airflow-ringback here, or let {OPTION} name another database"
        )
    return bool(version == HEAD)


def _upgrade(database: Database) -> None:
    try:
        # Before the lock is taken: this takes a while.
        from alembic import command
        from alembic.config import Config
    except ModuleNotFoundError as error:
        raise OutboxError("the outbox's tables are made by Alembic: pip install 'airflow-ringback[airflow]'") from error
    if database.place.kind == "sqlite":
        _use_wal(database)
    config = Config()
    scripts = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    with database.writing() as connection:
        if database.place.kind == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if has_head(connection, database.place):  # another process was faster
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _use_wal(database: Database) -> None:
    from ringback_notifier.outbox._failures import translated
    from ringback_notifier.outbox._sqlite import use_wal

    with translated(database.place):
        use_wal(database.place.path, wait=database.wait)
