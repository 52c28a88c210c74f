"""Outboxes in both databases."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from outbox_servers import new_postgres

from demo.local_postgres import LocalPostgres
from ringback_notifier.outbox import Outbox, migrate

_names = (f"outbox_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A server that stays up."""
    with new_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_url(postgres: LocalPostgres) -> str:
    """A database with the outbox's tables."""
    url = postgres.create("outbox")
    migrate(url)
    return url


@pytest.fixture
def postgres_url(migrated_url: str) -> str:
    """An empty outbox in PostgreSQL; a database for each test would take longer than the test."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        for table in ("ringback_event", "ringback_attempt", "ringback_duty"):
            connection.execute(f"DELETE FROM {table}".encode())
    return migrated_url


@pytest.fixture
def empty_database(postgres: LocalPostgres) -> Iterator[str]:
    """A database in PostgreSQL without a table."""
    name = next(_names)
    yield postgres.create(name)
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Where an outbox may be made."""
    return f"sqlite:///{tmp_path}/ringback/outbox.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A new outbox in each database."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def opening() -> Iterator[Callable[..., Outbox]]:
    """Open outboxes; they are closed when the test is over."""
    with contextlib.ExitStack() as stack:

        def open_(url: str, *, wait: float = 5.0) -> Outbox:
            outbox = Outbox.open(url, wait=wait)
            stack.callback(outbox.close)
            return outbox

        yield open_


@pytest.fixture
def outbox(url: str, opening: Callable[..., Outbox]) -> Outbox:
    """An empty outbox in each database."""
    return opening(url)
