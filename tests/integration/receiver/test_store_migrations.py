"""How a store gets its tables, and what is said where it has not."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from demo.local_postgres import LocalPostgres
from ringback_receiver import ConfigurationError, StoreError
from ringback_receiver._migrate import migrate
from ringback_receiver._schema import metadata
from ringback_receiver._store_url import store_from_url
from ringback_receiver._versions import HEAD, TABLES, VERSION_TABLE, VERSIONS

pytestmark = pytest.mark.anyio

_names = (f"store_{number}" for number in itertools.count())


@pytest.fixture
def empty(postgres: LocalPostgres) -> Iterator[str]:
    """A database without a table."""
    name = next(_names)
    yield postgres.create(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ringback(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ringback_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", **environment})


async def opened(url: str) -> None:
    store = store_from_url(url)
    await store.open()
    await store.close()


async def test_receiver_says_which_command_makes_the_tables(empty: str) -> None:
    """It refuses to start, and once the command has run it starts; running that again does nothing."""
    with pytest.raises(ConfigurationError, match="ringback store migrate"):
        await opened(empty)
    for _ in range(2):
        done = ringback("store", "migrate", RINGBACK_STORE=empty)
        assert (done.returncode, done.stdout) == (0, "The store is up to date.\n"), done.stderr
        await opened(empty)


async def test_later_schema_is_refused(empty: str) -> None:
    """Neither the receiver nor the command touches what it does not know."""
    migrate(empty)
    run(empty, f"UPDATE ringback.{VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"9999.*upgrade airflow-ringback"):
        await opened(empty)
    done = ringback("store", "migrate", empty)
    assert done.returncode == 1
    assert "9999" in done.stderr
    assert "Traceback" not in done.stderr


async def test_tables_of_somebody_else_are_refused(empty: str) -> None:
    """A table of our name that nobody says is ours is not."""
    run(empty, "CREATE SCHEMA ringback", "CREATE TABLE ringback.requests (n int)")
    with pytest.raises(ConfigurationError, match="no schema version"):
        migrate(empty)
    with pytest.raises(ConfigurationError, match="no schema version"):
        await opened(empty)


def test_many_may_migrate_at_once(empty: str) -> None:
    """Whoever comes first makes the tables, and the others find them."""
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            migrate(empty)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_schema_that_the_operator_made_needs_no_right_to_make_one(empty: str) -> None:
    """A role that owns the schema and may create nothing else is enough."""
    run(empty, "DROP ROLE IF EXISTS portal", "CREATE ROLE portal LOGIN", "CREATE SCHEMA ringback AUTHORIZATION portal")
    migrate(empty.replace("postgres@", "portal@"))
    run(empty, "DROP OWNED BY portal", "DROP ROLE portal")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_migrations_make_the_tables_that_the_code_describes(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Alembic finds no difference between what is there and what is meant."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    if kind == "sqlite":
        await opened(f"sqlite:///{tmp_path}/ringback.db")
        engine = create_engine(f"sqlite:///{tmp_path}/ringback.db")
    else:
        url = str(request.getfixturevalue("migrated_url"))
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        if kind == "postgresql":
            connection.execute(text("SET search_path TO ringback"))
            connection.dialect.default_schema_name = "ringback"
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


async def test_migrations_make_the_indexes_of_the_same_rows(tmp_path: Path) -> None:
    """Alembic does not compare the conditions of indexes."""
    await opened(f"sqlite:///{tmp_path}/ringback.db")
    described = create_engine(f"sqlite:///{tmp_path}/described.db")
    metadata.create_all(described)
    described.dispose()
    statements = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    found = []
    for name in ("ringback.db", "described.db"):
        with contextlib.closing(sqlite3.connect(tmp_path / name)) as file:
            found.append(dict(file.execute(statements).fetchall()))
    assert found[0] == found[1] != {}


def test_versions_are_those_of_the_scripts() -> None:
    """What the code knows is what the folder holds, and the list of tables is whole."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    import ringback_receiver

    config = Config()
    config.set_main_option("script_location", str(Path(ringback_receiver.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == VERSIONS
    assert scripts.get_current_head() == HEAD
    assert set(metadata.tables) == TABLES


@pytest.mark.parametrize(
    ("url", "error", "complaint"),
    [
        ("sqlite:///ringback.db", ConfigurationError, "migrates itself"),
        ("mysql://root:hunter2@db/x", ConfigurationError, "postgresql://"),
        ("postgresql://root:hunt/er2@db/x", ConfigurationError, "percent-encoded"),
        ("postgresql://root:hunter2@127.0.0.1:1/x", StoreError, r"root@127\.0\.0\.1:1/x"),
    ],
)
def test_url_that_cannot_be_migrated_is_refused_without_its_password(
    url: str, error: type[Exception], complaint: str
) -> None:
    """The message says what would be right."""
    with pytest.raises(error, match=complaint) as caught:
        migrate(url)
    said = f"{caught.value} {caught.value.__cause__}"
    assert "hunter2" not in said
    assert "er2" not in said
