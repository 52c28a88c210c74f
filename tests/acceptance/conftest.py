"""One real Airflow for all acceptance tests, and a real receiver for each."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from demo.local_airflow import LocalAirflow, free_port
from demo.serving import serving_app
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, Receiver

ROOT = Path(__file__).parents[2]
LONG = 120
"""Seconds in which a small run has surely ended."""


@dataclass
class Exchange:
    """One request that reached the receiver, and what it answered."""

    received_at: float
    body: dict[str, Any]
    status: int


@dataclass
class Line:
    """The receiver's end: where it listens, and everything that came in."""

    receiver: Receiver
    exchanges: list[Exchange] = field(default_factory=list)

    def of_run(self, run_id: str) -> list[Exchange]:
        """Return what came in about one run."""
        return [exchange for exchange in self.exchanges if exchange.body["data"]["run_id"] == run_id]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def receiver_port() -> int:
    """The port that the default destination allows, and on which tests put their receivers."""
    return free_port()


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, key: PrivateKey, receiver_port: int) -> Iterator[LocalAirflow]:
    """A running Airflow with the example DAGs and the tests' own."""
    dags = tmp_path_factory.mktemp("dags")
    for folder in (ROOT / "example_dags", ROOT / "tests" / "acceptance" / "dags"):
        for file in folder.glob("*.py"):
            shutil.copy(file, dags)
    connection = {
        "conn_type": "ringback",
        "password": key.reveal(),
        "extra": {"allow": [f"http://127.0.0.1:{receiver_port}/"]},
    }
    settings = {
        "AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__PARALLELISM": "8",
    }
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags, settings) as running:
        running.start()
        yield running


@pytest.fixture(autouse=True)
def idle(airflow: LocalAirflow) -> None:
    """Begin each test when the runs of the one before are over: SQLite takes one writer at a time."""
    deadline = time.monotonic() + LONG
    with airflow.api() as api:
        while time.monotonic() < deadline:
            under_way = api.get("/api/v2/dags/~/dagRuns", params={"state": ["queued", "running"], "limit": 1}).json()
            if not under_way["total_entries"]:
                return
            time.sleep(0.5)


@pytest.fixture
async def client(airflow: LocalAirflow) -> AsyncIterator[AsyncAirflowClient]:
    async with AsyncAirflowClient(
        airflow.url, username=airflow.username, password=airflow.password, timeout=60, trust_env=False
    ) as opened:
        yield opened


OpenLine = Callable[[], Any]


@pytest.fixture
def open_line(client: AsyncAirflowClient, key: PrivateKey, receiver_port: int, tmp_path: Path) -> OpenLine:
    """Put a receiver on the air: ``async with open_line() as line``; again for a restart on the same store."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Line]:
        receiver = make_receiver(client, key, receiver_port, tmp_path)
        line = Line(receiver)
        app = FastAPI(lifespan=receiver.lifespan)
        app.include_router(receiver.router)
        async with serving_app(recording(app, line.exchanges), receiver_port):
            yield line

    return opener


@pytest.fixture
async def line(open_line: OpenLine) -> AsyncIterator[Line]:
    """A receiver that listens for the whole test."""
    async with open_line() as opened:
        yield opened


def make_receiver(client: AsyncAirflowClient, key: PrivateKey, port: int, folder: Path) -> Receiver:
    """Return a receiver that is not open yet."""
    return Receiver(
        callback_url=f"http://127.0.0.1:{port}/airflow/completions",
        keys=[key.public()],
        airflow=client,
        store=f"sqlite:///{folder / 'ringback.db'}",
    )


def recording(app: Any, exchanges: list[Exchange]) -> Any:
    """Wrap an ASGI application so that each request and its answer's status are kept."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        body = b""

        async def receive_and_keep() -> Any:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def send_and_keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                exchanges.append(Exchange(time.time(), json.loads(body), message["status"]))
            await send(message)

        await app(scope, receive_and_keep, send_and_keep)

    return wrapped


async def eventually(check: Callable[[], Awaitable[Any]], *, within: float = LONG) -> Any:
    """Return what ``check`` gives, once that is true.

    :param within: seconds.
    """
    deadline = time.monotonic() + within
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.2)
