"""The page as Airflow's API server mounts it, over a real outbox; who may what is made up."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from page_world import DAGS, HERE, URL, Browser, Manager, Put

from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent, Settlement

# Importing Airflow writes its configuration into its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ringback-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Airflow's own
    from airflow.api_fastapi import app as airflow_app
    from airflow.models.dag import DagModel

    from ringback_notifier.web import _airflow, _application, _entry


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", HERE)
    monkeypatch.setattr(airflow_app._AuthManagerState, "instance", made)
    monkeypatch.setattr(_airflow, "_every_dag", lambda: set(DAGS))
    monkeypatch.setattr(DagModel, "get_dag_id_to_team_name_mapping", lambda dag_ids: dict.fromkeys(dag_ids, "sales"))
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
