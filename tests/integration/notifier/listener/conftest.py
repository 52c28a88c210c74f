"""Outboxes of both kinds, and an Airflow in a home of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.local_postgres import LocalPostgres
from ringback_notifier.outbox import migrate

# Importing Airflow writes its configuration into its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ringback-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A server that tests may kill, if they start it again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Not in pytest's own folder, which every other pytest that starts closes to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="ringback-listener-"))
    try:
        with LocalPostgres(folder / "postgres", port) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: LocalPostgres) -> str:
    url = postgres.create(f"outbox_{uuid.uuid4().hex}")
    migrate(url)
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ringback/outbox.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An outbox of either kind, empty."""
    made: str = request.getfixturevalue(f"{request.param}_url")
    return made
