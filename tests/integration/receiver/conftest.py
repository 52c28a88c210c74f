"""Fixtures of the receiver's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ringing import URL, FakeAirflow, Line, said
from serving import serving
from store_servers import new_postgres

from demo.local_postgres import LocalPostgres
from ringback_protocol import PrivateKey
from ringback_receiver import Receiver
from ringback_receiver._migrate import migrate


@pytest.fixture
def anyio_backend() -> str:
    """The receiver runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    """The notifier's key."""
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def postgres() -> Iterator[LocalPostgres]:
    """A server that stays up."""
    with new_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_url(postgres: LocalPostgres) -> str:
    """A database with the store's tables."""
    url = postgres.create("store")
    migrate(url)
    return url


@pytest.fixture
def postgres_url(migrated_url: str) -> str:
    """An empty store in PostgreSQL; a database for each test would take longer than the test."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        for table in ("leases", "handler_calls", "events", "requests"):
            connection.execute(f"DELETE FROM ringback.{table}".encode())
    return migrated_url


@pytest.fixture
def airflow() -> FakeAirflow:
    return FakeAirflow()


@pytest.fixture
def receiver(tmp_path: Path, key: PrivateKey, airflow: FakeAirflow) -> Receiver:
    """A receiver, not yet open."""
    return Receiver(URL, [str(key.public())], airflow, f"sqlite:///{tmp_path}/ringback.db")


@pytest.fixture
async def opened(receiver: Receiver) -> AsyncIterator[Receiver]:
    """The receiver, open."""
    async with receiver:
        yield receiver


@pytest.fixture(params=["handle", "uvicorn"])
async def line(
    request: pytest.FixtureRequest, receiver: Receiver, airflow: FakeAirflow, key: PrivateKey
) -> AsyncIterator[Line]:
    """The receiver, rung by its own method, and then through FastAPI and uvicorn."""
    if request.param == "handle":

        async def hand_over(headers: dict[str, str], body: bytes) -> tuple[int, Any]:
            answer = await receiver.handle(headers, body)
            return answer.status, said(answer.body)

        async with receiver:
            yield Line(receiver=receiver, airflow=airflow, key=key, ring=hand_over)
    else:
        async with serving(receiver) as client:

            async def post(headers: dict[str, str], body: bytes) -> tuple[int, Any]:
                response = await client.post("/airflow/completions", headers=headers, content=body)
                return response.status_code, said(response.content)

            yield Line(receiver=receiver, airflow=airflow, key=key, ring=post)
