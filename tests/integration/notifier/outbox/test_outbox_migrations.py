"""How the tables come to be, and which are refused."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from outbox_samples import NOW, make_hint
from sqlalchemy import Connection, inspect, text
from sqlalchemy.schema import CreateIndex

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox import Outbox, _migrate, migrate
from ringback_notifier.outbox._database import Database
from ringback_notifier.outbox._schema import VERSION_TABLE, VERSIONS, events, metadata
from ringback_notifier.outbox._sqlite import create_private
from ringback_notifier.outbox._url import parse_url

SCRIPTS = Path(_migrate.__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config


def test_the_versions_are_those_of_alembic() -> None:
    """The list that is compared without Alembic is Alembic's own."""
    scripts = list(ScriptDirectory.from_config(config()).walk_revisions())
    assert tuple(script.revision for script in reversed(scripts)) == VERSIONS


def test_migrating_makes_the_tables_that_the_code_uses(outbox: Outbox) -> None:
    """Nothing is missing in the migrations that is in the metadata, and the other way round."""
    with outbox._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_makes_the_indexes_that_the_code_uses(outbox: Outbox) -> None:
    """Also the conditions of the partial indexes are the same, which Alembic does not compare."""
    with outbox._database.writing() as connection:
        made = index_definitions(connection)
        for index in events.indexes:
            connection.execute(text(f"DROP INDEX {index.name}"))
        for index in sorted(events.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index))
        assert index_definitions(connection) == made
        assert len(made) == 10


def index_definitions(connection: Connection) -> dict[str, str]:
    catalogue = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'ringback%by%'"
        " OR indexname IN ('ringback_event_waiting', 'ringback_event_hinted', 'ringback_event_settled')",
    }[connection.dialect.name]
    rows: Any = connection.execute(text(catalogue)).all()
    return {name: " ".join(sql.split()) for name, sql in rows}


def test_migrations_can_be_taken_back(outbox: Outbox) -> None:
    """Down to nothing and up again, in one transaction that no step of Alembic's ends."""
    with outbox._database.writing() as connection:
        command.downgrade(config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {VERSION_TABLE}
        command.upgrade(config(connection), "head")
    assert outbox.add_hints([make_hint()], now=NOW) == 1


def test_migrating_again_changes_nothing(url: str, outbox: Outbox) -> None:
    """The command may run at every deployment."""
    outbox.add_hints([make_hint()], now=NOW)
    migrate(url)
    migrate(url)
    assert outbox.counts()["hint"] == 1


def test_a_server_without_tables_is_refused_with_the_command(
    empty_database: str, opening: Callable[..., Outbox]
) -> None:
    """Only a person migrates a server; the message says how."""
    with pytest.raises(OutboxError, match="tables are missing or of an older release; run `ringback outbox migrate`"):
        Outbox.open(empty_database, wait=5)
    migrate(empty_database)
    assert opening(empty_database).counts()["hint"] == 0


def test_a_server_of_an_older_release_is_refused_with_the_command(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade, the components wait for the migration."""
    monkeypatch.setattr(_migrate, "VERSIONS", (*VERSIONS, "9999"))
    monkeypatch.setattr(_migrate, "HEAD", "9999")
    with pytest.raises(OutboxError, match="run `ringback outbox migrate`"):
        Outbox.open(postgres_url, wait=5)


@pytest.mark.parametrize("use", [lambda url: Outbox.open(url, wait=5), migrate])
def test_a_server_of_a_later_release_is_refused(empty_database: str, use: Callable[[str], object]) -> None:
    """Neither opening nor migrating touches what a later release made."""
    migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE ringback_outbox_version SET version_num = '9999'")
    with pytest.raises(OutboxError, match="schema 9999 is of a later release"):
        use(empty_database)


@pytest.mark.parametrize("use", [lambda url: Outbox.open(url, wait=5), migrate])
@pytest.mark.parametrize("database", ["sqlite_url", "empty_database"])
def test_an_outbox_from_before_the_first_release_is_refused(
    request: pytest.FixtureRequest, database: str, use: Callable[[str], object]
) -> None:
    """Its tables have the same names, but neither the order nor the indexes that the code counts on."""
    url = request.getfixturevalue(database)
    Outbox.open(url, wait=5).close() if database == "sqlite_url" else migrate(url)
    made = Database(parse_url(url), wait=5)
    with made.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0001'"))
    made.close()
    with pytest.raises(OutboxError, match=r"schema 0001 was made by a checkout under development.*move it away"):
        use(url)


@pytest.mark.parametrize("use", [lambda url: Outbox.open(url, wait=5), migrate])
def test_airflows_own_server_is_refused(empty_database: str, use: Callable[[str], object]) -> None:
    """The outbox is never put into Airflow's metadata database."""
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE TABLE dag_run (id int)")
        connection.execute("CREATE TABLE task_instance (id int)")
    with pytest.raises(OutboxError, match="another program's"):
        use(empty_database)


def test_a_migration_that_fails_leaves_nothing(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, opening: Callable[..., Outbox]
) -> None:
    """Tables and version come together or not at all, so that the next start begins again."""
    from alembic.operations import Operations

    create = Operations.create_table

    def fail(self: Operations, name: str, *columns: Any, **options: Any) -> Any:
        if name == "ringback_duty":
            raise OSError("the disk is full")
        return create(self, name, *columns, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Operations, "create_table", fail)
        with pytest.raises(OutboxError, match="the disk is full"):
            Outbox.open(sqlite_url, wait=1)
    assert opening(sqlite_url).counts()["hint"] == 0


def test_migrating_leaves_logging_alone(sqlite_url: str) -> None:
    """Airflow's logging is as it was: no handler, no level, no logger switched off."""
    create_private(sqlite_url.removeprefix("sqlite:///"))
    ours = logging.getLogger("ringback_notifier")
    before = (logging.root.level, list(logging.root.handlers), ours.disabled, logging.getLogger("alembic").level)
    migrate(sqlite_url)
    after = (logging.root.level, list(logging.root.handlers), ours.disabled, logging.getLogger("alembic").level)
    assert after == before


def imported_by(code: str) -> set[str]:
    """Run code in a fresh process and return the packages that it loaded."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_the_outbox_loads_nothing_heavy() -> None:
    """A plugin may import the package and its values in every process of Airflow's."""
    loaded = imported_by("from ringback_notifier.outbox import Hint, host_of; import ringback_notifier.errors")
    assert not loaded & {"sqlalchemy", "alembic", "psycopg", "sqlite3", "airflow"}


def test_an_outbox_that_is_up_to_date_is_opened_without_alembic(sqlite_url: str) -> None:
    """Every task process opens it; only the first pays for the migration; no driver is loaded that is not used."""
    Outbox.open(sqlite_url, wait=5).close()
    loaded = imported_by(f"from ringback_notifier.outbox import Outbox; Outbox.open({sqlite_url!r}, wait=5).close()")
    assert "sqlalchemy" in loaded
    assert not loaded & {"alembic", "psycopg", "psycopg2", "airflow"}
