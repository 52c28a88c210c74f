"""One real Airflow for all acceptance tests, and a real receiver for each."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from demo.local_airflow import LocalAirflow, free_port
from demo.local_postgres import LocalPostgres
from demo.local_statsd import LocalStatsd
from demo.serving import serving_app
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, Receiver

ROOT = Path(__file__).parents[2]
PUBLISHED = ("default", "pair", "secret", "rotated")
"""Destinations whose keys the API server publishes."""
DAGS = ROOT / "tests" / "acceptance" / "dags"
VANISHING = tuple(f"{kind}_vanishing_{why}" for kind in ("ending", "bare") for why in ("back", "marked", "lost"))
"""DAG files, copies of ``vanishing.py``, that tests take away."""
LONG = 120
"""Seconds in which a small run has surely ended."""


@dataclass
class Exchange:
    """One request that reached the receiver, and what it answered."""

    received_at: float
    body: dict[str, Any]
    status: int

    @property
    def reporter(self) -> str:
        """The path that sent it."""
        return str(self.body["data"]["reported_by"])


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
def postgres() -> Iterator[LocalPostgres]:
    """A running PostgreSQL; a test that wants a database creates one."""
    # Not below pytest's folder: for root the server runs as another user, whom the next pytest to start locks out.
    with (
        tempfile.TemporaryDirectory(prefix="ringback-postgres-") as folder,
        LocalPostgres(Path(folder) / "server", free_port()) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def statsd() -> Iterator[LocalStatsd]:
    """Where the metrics of that Airflow go."""
    with LocalStatsd() as listening:
        yield listening


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: LocalPostgres,
    statsd: LocalStatsd,
    key: PrivateKey,
    receiver_port: int,
) -> Iterator[LocalAirflow]:
    """A running Airflow with the example DAGs and the tests' own; task and callback alone, without the listener.

    Its callbacks have no outbox, so that they also report what the final task has delivered: each path is seen.
    """
    dags = tmp_path_factory.mktemp("dags")
    # The relay's DAG would report every run: the tests that want a relay start one.
    copy_dags(dags, *(file for file in (ROOT / "example_dags").glob("*.py") if file.stem != "ringback_relay"))
    copy_dags(dags, *DAGS.glob("*.py"))
    settings = {
        **destination(key, receiver_port),
        **statsd.settings,
        "AIRFLOW__RINGBACK__LISTENER": "False",
        "AIRFLOW__RINGBACK__PUBLISH_KEYS": ",".join(PUBLISHED),
    }
    home, database = tmp_path_factory.mktemp("airflow"), postgres.create("airflow")
    no_outbox = {"dag-processor": {"AIRFLOW__RINGBACK__OUTBOX_URL": "sqlite:////dev/null/outbox.db"}}
    accounts = {"vera": "viewer", "otto": "op"}
    with LocalAirflow(
        home, dags, settings, database=database, component_settings=no_outbox, accounts=accounts
    ) as running:
        running.start()
        yield running


def copy_dags(folder: Path, *files: Path) -> None:
    """Copy DAG files; one that tests take away gets a copy for each of them."""
    for file in files:
        for name in VANISHING if file.stem == "vanishing" else [file.stem]:
            shutil.copy(file, folder / f"{name}.py")


def destination(key: PrivateKey, port: int) -> dict[str, str]:
    """Return the environment that lets Airflow ring on a port, and run more tasks at once than a demo needs."""
    connection = {
        "conn_type": "ringback",
        "password": key.reveal(),
        "extra": {"allow": [f"http://127.0.0.1:{port}/"]},
    }
    return {"AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(connection), "AIRFLOW__CORE__PARALLELISM": "8"}


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
        reconcile=(),  # a run that nobody rings for must not go unnoticed
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


async def eventually(check: Callable[[], Awaitable[Any]], *, within: float = LONG, every: float = 0.2) -> Any:
    """Return what ``check`` gives, once that is true.

    :param within: seconds.
    :param every: so many seconds; longer where many wait at once.
    """
    deadline = time.monotonic() + within
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(every)
