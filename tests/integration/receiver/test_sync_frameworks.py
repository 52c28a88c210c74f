"""The examples for Flask and Django, behind real WSGI servers with several threads."""

from __future__ import annotations

import importlib.util
import socketserver
import sys
import threading
import time
import wsgiref.simple_server
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from ringing import URL, make_event, signed
from runs_server import RunsServer

from ringback_protocol import PrivateKey

EXAMPLES = Path(__file__).parents[3] / "example_callers"


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(application: Any) -> Iterator[httpx.Client]:
    """Put a WSGI application on a free loopback port."""
    with wsgiref.simple_server.make_server("127.0.0.1", 0, application, _Server, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def flask_application(example: ModuleType) -> Any:
    return example.app


def django_application(example: ModuleType) -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.urls import clear_url_caches

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY="tests", ROOT_URLCONF=example.__name__)
        django.setup()
    clear_url_caches()  # each test has an example of its own
    return WSGIHandler()


@pytest.fixture(params=[flask_application, django_application], ids=["flask", "django"])
def portal(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: PrivateKey
) -> Iterator[tuple[httpx.Client, ModuleType]]:
    """An example as it stands, beside an Airflow that takes every trigger."""
    name = "django_portal" if request.param is django_application else "flask_portal"
    transport = RunsServer().transport()
    monkeypatch.setenv("RINGBACK_KEYS", str(key.public()))
    monkeypatch.setenv("RINGBACK_STORE", f"sqlite:///{tmp_path}/ringback.db")
    monkeypatch.setenv("AIRFLOW_URL", "https://airflow.example")
    monkeypatch.setenv("AIRFLOW_TOKEN", "t0k3n")
    monkeypatch.delenv("AIRFLOW_USERNAME", raising=False)
    monkeypatch.delenv("AIRFLOW_PASSWORD", raising=False)
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, example)
    with monkeypatch.context() as patched:
        from ringback_receiver import AirflowClient

        make: Callable[..., Any] = AirflowClient.from_environment
        patched.setattr(AirflowClient, "from_environment", lambda: make(transport=transport))
        spec.loader.exec_module(example)
    with served(request.param(example)) as client:
        yield client, example
    example.receiver.close()


def test_a_report_is_asked_for_and_rings_back(portal: tuple[httpx.Client, ModuleType], key: PrivateKey) -> None:
    """From the form to the e-mail: trigger, event, handler, result."""
    client, example = portal
    asked = client.post("/reports", json={"region": "APAC"})
    assert asked.status_code == 202
    request_id = asked.json()["request_id"]
    assert client.get(f"/reports/{request_id}").json() == {"state": "running"}
    event = make_event(request_id, f"ringback__{request_id}", dag_id="sales_report", result={"rows": 3})
    headers, body = signed(event, key)
    for _ in range(2):
        answer = client.post("/airflow/completions", headers=headers, content=body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/reports/{request_id}").json() == {"state": "success", "result": {"rows": 3}}
    deadline = time.monotonic() + 10
    while not example.emails:
        assert time.monotonic() < deadline, "no e-mail was sent"
        time.sleep(0.01)
    assert example.emails == ["sales@example.com: success"]
    assert client.get("/reports/req_unknown").status_code == 404


def test_bad_events_are_answered_as_by_the_router(portal: tuple[httpx.Client, ModuleType], key: PrivateKey) -> None:
    """Unsigned, forged, misaddressed, too large, not yet known."""
    client, _ = portal
    event = make_event("req_unknown", "run_1")
    headers, body = signed(event, key)

    def answered(content: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        answer = client.post("/airflow/completions", headers=headers, content=content)
        return answer.status_code, answer.json()

    assert answered(body, {"content-type": "application/json"}) == (400, {"error": "missing_header"})
    assert answered(body + b" ", headers) == (401, {"error": "bad_signature"})
    theirs = signed(make_event("req_unknown", "run_1", url=URL + "/elsewhere"), key)
    assert answered(theirs[1], theirs[0]) == (403, {"error": "wrong_audience"})
    assert answered(b"x" * 100_000, headers) == (413, {"error": "too_large"})
    assert answered(body, headers) == (202, {"outcome": "parked"})
    assert client.get("/airflow/completions").status_code == 405
