"""Processes that are killed lose nothing, and processes that share a store wake each other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from receiver_process import ReceiverProcess
from ringing import URL, FakeAirflow, make_event, signed

from ringback_protocol import CompletionEvent, PrivateKey
from ringback_receiver import Receiver

pytestmark = pytest.mark.anyio

Start = Callable[..., ReceiverProcess]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ringback.db"


@pytest.fixture
def start(path: Path, key: PrivateKey) -> Iterator[Start]:
    processes: list[ReceiverProcess] = []

    def start(*arguments: str) -> ReceiverProcess:
        processes.append(ReceiverProcess(f"sqlite:///{path}", str(key.public()), *arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()


def post(url: str, event: CompletionEvent, key: PrivateKey) -> int:
    headers, body = signed(event, key)
    return httpx.post(f"{url}/airflow/completions", headers=headers, content=body).status_code


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_request_survives_a_kill_between_trigger_and_callback(start: Start, key: PrivateKey) -> None:
    """Another process takes the event, and a third waits on the request id and gets the completion."""
    first = start("trigger", "run_1")
    request_id = first.says()["request_id"]
    first.kill()
    second = start("serve")
    event = make_event(request_id, "run_1", result={"rows": 3})
    assert post(second.says()["url"], event, key) == 204
    third = start("wait", request_id)
    assert third.says() == {"waiting": "run_1"}
    assert third.says() == {"state": "success", "result": {"rows": 3}, "metadata": {"customer": 7}}


def test_acknowledged_event_survives_a_kill(start: Start, path: Path, key: PrivateKey) -> None:
    """What was answered 2xx is on the disk, whatever happens next."""
    server = start("serve")
    url = server.says()["url"]
    event = make_event("req_unknown", "run_1")
    assert post(url, event, key) == 202
    server.kill()
    assert query(path, "SELECT event_id, transition FROM events") == [(event.id, "parked")]


def test_failed_handler_runs_again_after_a_kill(start: Start, path: Path, key: PrivateKey) -> None:
    """Its turn is in the store, with its name, until it has worked."""
    first = start("trigger", "run_1")
    request_id = first.says()["request_id"]
    first.kill()
    failing = start("handle", "fail")
    event = make_event(request_id, "run_1")
    assert post(failing.says()["url"], event, key) == 204
    assert failing.says() == {"handler": "fail", "event_id": event.id}
    # Killed inside the handler its turn would come again, too, but only when its lease has ended.
    while not query(path, "SELECT 1 FROM handler_calls WHERE error = 'RuntimeError: not today'"):
        time.sleep(0.01)
    failing.kill()
    working = start("handle", "work")
    # The server may come up before the turn does, or after.
    assert {"handler": "work", "event_id": event.id} in (working.says(), working.says())


async def test_waiter_in_another_process_is_woken(start: Start, path: Path, key: PrivateKey) -> None:
    """The event is recorded here, and whoever waits there gets it."""
    async with Receiver(URL, str(key.public()), FakeAirflow(), f"sqlite:///{path}") as receiver:
        run = await receiver.trigger("sales", metadata=["mine"])
        waiting = start("wait", run.request_id)
        assert waiting.says() == {"waiting": run.run_id}
        answer = await receiver.handle(*signed(make_event(run.request_id, run.run_id), key))
        assert answer.status == 204
        assert waiting.says() == {"state": "success", "result": None, "metadata": ["mine"]}
