"""The page as Airflow's API server mounts it, over a real outbox; who may what is made up."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent, Settlement

# Importing Airflow writes its configuration into its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ringback-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Airflow's own
    from airflow.api_fastapi import app as airflow_app

    from ringback_notifier.web import _airflow, _application, _entry

HERE = "https://airflow.example"
SECRET = "s3cret-token"
URL = f"https://caller:{SECRET}@portal.example/airflow/completions?token={SECRET}#{SECRET}"
DAGS = ("sales_report", "legacy_job", "long_job")
ORDER = {"origin": HERE, "content-type": "application/json"}


class Person:
    """A user, as far as the page looks at one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_name(self) -> str:
        return self.name


class Manager:
    """An auth manager: who may read and edit which DAGs; ``*``: all there are, and all there will be."""

    def __init__(self) -> None:
        self.may: dict[str, dict[str, set[str]]] = {
            "admin": {"GET": {"*"}, "PUT": {"*"}},
            "viewer": {"GET": {"*"}, "PUT": set()},
            "owner": {"GET": {"sales_report", "legacy_job"}, "PUT": {"sales_report"}},
            "stranger": {"GET": set(), "PUT": set()},
            "everyone_by_name": {"GET": set(DAGS), "PUT": set(DAGS)},
            "all_but_one": {"GET": {"*", "!long_job"}, "PUT": {"*", "!long_job"}},
        }
        self.no_runs = {"stranger"}

    async def get_user_from_token(self, token: str) -> Person:
        from jwt import InvalidTokenError

        if token not in self.may:
            raise InvalidTokenError
        return Person(token)

    def is_authorized_dag(self, *, method: str, user: Person, access_entity: Any = None, details: Any = None) -> bool:
        if user.name in self.no_runs:
            return False
        allowed = self.may[user.name][method]
        return bool(allowed) if details is None or details.id is None else self._may(allowed, details.id)

    def get_authorized_dag_ids(self, *, user: Person, method: str) -> set[str]:
        return {dag_id for dag_id in DAGS if self._may(self.may[user.name][method], dag_id)}

    @staticmethod
    def _may(allowed: set[str], dag_id: str) -> bool:
        return f"!{dag_id}" not in allowed and ("*" in allowed or dag_id in allowed)


class Browser:
    """Somebody's session."""

    def __init__(self, application: Any, name: str | None) -> None:
        self._application = application
        self._headers = {"authorization": f"Bearer {name}"} if name else {}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application, raise_app_exceptions=False)
            headers = {**self._headers, **options.pop("headers", {})}
            async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:
                return await client.request(method, f"{_entry.PREFIX}/{path}", **options)

        return asyncio.run(send())

    def get(self, path: str, **asked: Any) -> Any:
        answer = self.ask("GET", path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **asked: Any) -> list[str]:
        return [row["id"] for row in self.get("api/deliveries", **asked)["rows"]]

    def order(self, **order: Any) -> httpx.Response:
        return self.ask("POST", "api/redeliver", json=order, headers=ORDER)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", HERE)
    monkeypatch.setattr(airflow_app._AuthManagerState, "instance", made)
    monkeypatch.setattr(_airflow, "_every_dag", lambda: set(DAGS))
    return made


@pytest.fixture(scope="session")
def new_outbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty outbox's file; making one for each test would take longer than the test."""
    file = tmp_path_factory.mktemp("outbox") / "outbox.db"
    Outbox.open(f"sqlite:///{file}", wait=5.0).close()
    return file


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ringback/outbox.db"


@pytest.fixture
def outbox(url: str, new_outbox: Path) -> Iterator[Outbox]:
    """An outbox that Airflow's components have made."""
    file = Path(url.removeprefix("sqlite:///"))
    file.parent.mkdir()
    shutil.copy(new_outbox, file)
    opened = Outbox.open(url, wait=5.0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def configured() -> dict[str, str]:
    """What ``[ringback] outbox_url`` is just now."""
    return {}


@pytest.fixture(scope="session")
def mounted(configured: dict[str, str]) -> FastAPI:
    """The page where Airflow mounts it; one for all tests, as in an API server."""
    app = FastAPI()
    app.mount(_entry.PREFIX, _entry.CallbacksPage(lambda: _application.application(lambda: configured["url"])))
    return app


@pytest.fixture
def browser(
    manager: Manager, url: str, configured: dict[str, str], mounted: FastAPI
) -> Callable[[str | None], Browser]:
    """Sign somebody in; nobody for ``None``."""
    configured["url"] = url
    return lambda name: Browser(mounted, name)


Put = Callable[..., str]


@pytest.fixture
def put(outbox: Outbox) -> Put:
    """Put an event into the outbox, and let become of it what did."""

    def add(
        name: str,
        status: str = "delivered",
        *,
        dag_id: str = "sales_report",
        url: str = URL,
        destination: str = "default",
        at: float | None = None,
        body: bytes | None = None,
        excerpt: str = "",
    ) -> str:
        event_id, now = f"msg_{name}", time.time() if at is None else at
        sent = b'{"id":"%s","audience":"%s","data":{"result":1.10}}' % (event_id.encode(), url.encode())
        event = OutboxEvent(
            event_id=event_id,
            dag_id=dag_id,
            run_id=f"ext__{name}",
            state="success",
            destination=destination,
            url=url,
            body=sent if body is None else body,
            reported_by="task",
            ended_at=now,
        )
        answer = 204 if status == "delivered" else 503
        error = None if status == "delivered" else f"status 503: {excerpt}"
        made = Attempt(sender="task", at=now, duration=0.02, status=answer, error=error, excerpt=excerpt)
        recorded: Any = "due" if status == "dead" else status
        outbox.record(event, [made], status=recorded, due_at=now + 300, now=now)
        if status == "dead":
            outbox.lease(owner="relay", now=now + 400, until=now + 500, limit=1_000)
            outbox.settle("relay", [Settlement(event_id=event_id, status="dead", due_at=0, attempt=None)], now=now)
        return event_id

    return add
