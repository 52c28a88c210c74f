"""``ringback pending``, as an operator types it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event

from ringback_protocol import encode_event
from ringback_receiver._matching import PendingRequest
from ringback_receiver._store_url import store_from_url

pytestmark = pytest.mark.anyio

Ringback = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """An empty store's URL."""
    return f"sqlite:///{tmp_path}/ringback.db"


@pytest.fixture
async def ringback(store_url: str, tmp_path: Path) -> Ringback:
    """Run ``ringback pending …`` beside a store.

    One request waits, one is resolved and its handlers ``flaky`` and ``tired`` failed, one was abandoned.
    """
    now = time.time()
    store = store_from_url(store_url)
    await store.open()
    waiting = request(1, now - 7_300, deadline=now + 7_300, next_check=now + 61, metadata={"order": 7})
    for each in (waiting, request(2, now - 60), request(3, now - 60)):
        await store.register(each, handlers=[])
    await store.abandon("req_3", reason="DagNotFound: \x1b[2Jsales")
    event = make_event("req_2", "run_2", state="failed", reason="task_failure")
    await store.record(event, encode_event(event), received_at=now - 50, handlers=["flaky", "tired", "well"])
    for call in await store.claim_calls(["flaky", "tired", "well"], now=now, lease_until=now + 30, limit=9):
        if call.handler == "flaky":
            await store.retry_call(call, due=now + 3_000, error="OSError: database away")
        elif call.handler == "tired":
            await store.give_up_call(call, at=now, error="GiveUp: no such customer")
        else:
            await store.finish_call(call, at=now)
    await store.close()

    def run(*arguments: str, store: str = store_url) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ringback_cli", "pending", *arguments],
            env={**os.environ, "RINGBACK_STORE": store, "COLUMNS": "200"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def request(number: int, created_at: float, **changes: Any) -> PendingRequest:
    return PendingRequest(
        request_id=f"req_{number}",
        dag_id="sales",
        run_id=f"run_{number}",
        callback_url=URL,
        created_at=created_at,
        **changes,
    )


async def test_list_says_what_waits_and_what_fails(ringback: Ringback) -> None:
    """A line for each, with when and why."""
    done = ringback("list")
    assert done.stderr == ""
    waiting, *failing = done.stdout.splitlines()
    flaky, tired = sorted(failing)
    assert re.fullmatch(r"req_1  sales  run_1, asked 2h ago, next check in \d+s, expires in 2h", waiting)
    assert re.fullmatch(r"handler flaky failed 1 times for req_2, next in \d\dm: OSError: database away", flaky)
    assert tired == "handler tired failed 1 times for req_2, given up: GiveUp: no such customer"


async def test_list_as_json_is_complete(ringback: Ringback) -> None:
    """Metadata and times are there, for programs."""
    listed = json.loads(ringback("list", "--json").stdout)
    (waiting,) = listed["requests"]
    assert (waiting["request_id"], waiting["metadata"], waiting["state"]) == ("req_1", {"order": 7}, "pending")
    assert {call["handler"]: call["given_up_at"] is None for call in listed["handlers"]} == {
        "flaky": True,
        "tired": False,
    }


async def test_list_shows_other_states_and_no_control_characters(ringback: Ringback) -> None:
    """What came from elsewhere cannot redraw the terminal."""
    line = ringback("list", "--state", "abandoned").stdout.splitlines()[0]
    assert line.endswith("abandoned: DagNotFound: ·[2Jsales")
    assert ringback("list", "--state", "cancelled").stdout.startswith("No request is cancelled.")


async def test_show_tells_the_whole_story(ringback: Ringback) -> None:
    """The ending, the event, each handler."""
    done = ringback("show", "req_2")
    assert "the run ended in failed (task_failure), said by its task" in done.stdout
    assert ": resolved, " in done.stdout
    turns = [line.partition(" for ")[0] for line in done.stdout.splitlines() if line.startswith("handler ")]
    assert turns == ["handler flaky", "handler tired", "handler well"]
    for piece in ("next in", "OSError: database away", "given up", "no such customer", "done "):
        assert piece in done.stdout
    story = json.loads(ringback("show", "req_2", "--json").stdout)
    assert ([event["transition"] for event in story["events"]], len(story["handlers"])) == (["resolved"], 3)
    assert 'metadata: {"order": 7}' in ringback("show", "req_1").stdout


@pytest.mark.parametrize("damage", ["UPDATE events SET body = '{'", "UPDATE requests SET metadata = '{'"])
async def test_what_cannot_be_read_is_told(ringback: Ringback, tmp_path: Path, damage: str) -> None:
    """In words: a newer release may have written it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "ringback.db")) as vandal, vandal:
        vandal.execute(f"{damage} WHERE request_id = 'req_2'")
    done = ringback("show", "req_2")
    assert done.returncode == 1
    assert done.stderr.startswith("ringback: request req_2 cannot be read: ")
    assert done.stderr.count("\n") == 1


async def test_cancel_and_retry_as_json(ringback: Ringback) -> None:
    """What became of each, and how many, for programs."""
    cancelled = json.loads(ringback("cancel", "req_1", "req_unknown", "--json").stdout)
    assert cancelled == {
        "requests": [{"request_id": "req_1", "state": "cancelled"}, {"request_id": "req_unknown", "state": None}]
    }
    assert json.loads(ringback("retry", "--all", "--json").stdout) == {"calls_due": 2}


async def test_unknown_request_is_an_error(ringback: Ringback) -> None:
    """With an exit code."""
    done = ringback("show", "req_unknown")
    assert (done.returncode, done.stderr) == (1, "ringback: no request 'req_unknown' is known here\n")


async def test_cancel_cancels_what_waits(ringback: Ringback) -> None:
    """And says what it found of the others."""
    assert ringback("cancel", "req_1").stdout == "req_1: cancelled\n"
    done = ringback("cancel", "req_2", "req_unknown")
    assert (done.returncode, done.stdout) == (1, "req_2: resolved\nreq_unknown: unknown\n")
    assert json.loads(ringback("list", "--json").stdout)["requests"] == []


async def test_retry_makes_failed_calls_due(ringback: Ringback) -> None:
    """One handler's, one request's, or all; asking for nothing in particular is refused."""
    refused = ringback("retry")
    assert refused.returncode == 2
    assert "--all" in refused.stderr
    assert ringback("retry", "--handler", "tired").stdout == "1 call of handlers is due now.\n"
    assert ringback("retry", "req_2").stdout == "2 calls of handlers are due now.\n"
    assert ringback("retry", "--all").returncode == 0
    assert ringback("retry", "req_1").returncode == 1


class TestPostgresql:
    """The same beside a store in PostgreSQL."""

    @pytest.fixture
    def store_url(self, postgres_url: str) -> str:
        return postgres_url

    async def test_every_command_works(self, ringback: Ringback) -> None:
        """What waits and fails is there; a handler is tried again, a request is cancelled."""
        listed = json.loads(ringback("list", "--json").stdout)
        assert [request["request_id"] for request in listed["requests"]] == ["req_1"]
        assert sorted(call["handler"] for call in listed["handlers"]) == ["flaky", "tired"]
        assert "handler tired" in ringback("show", "req_2").stdout
        assert ringback("retry", "--all").stdout == "2 calls of handlers are due now.\n"
        assert ringback("cancel", "req_1").stdout == "req_1: cancelled\n"


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ("sqlite:///nowhere.db", "there is no store sqlite:///nowhere.db here"),
        ("mysql://user:secret@host/db", "mysql://…"),
        ("postgresql://user:secret@db:port/x", "the port"),
        ("postgresql://user:secret@127.0.0.1:1/x", "postgresql://user@127.0.0.1:1/x"),
    ],
)
async def test_store_that_is_not_there_is_not_made(
    ringback: Ringback, tmp_path: Path, store: str, problem: str
) -> None:
    """The message names it, without its password."""
    done = ringback("list", store=store)
    assert done.returncode == 1
    assert problem in done.stderr
    assert "secret" not in done.stderr
    assert not (tmp_path / "nowhere.db").exists()


@pytest.mark.parametrize("command", ["list", "show", "cancel", "retry"])
def test_help_has_an_example(command: str) -> None:
    """For each command."""
    done = subprocess.run(
        [sys.executable, "-m", "ringback_cli", "pending", command, "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"Example: ringback pending {command}" in done.stdout
