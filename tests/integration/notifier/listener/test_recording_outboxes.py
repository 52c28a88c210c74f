"""What the final task and the callback record, with real outboxes: healthy, locked, mute, down, not yet there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from listener_samples import URL

from demo.local_postgres import LocalPostgres
from ringback_notifier._attempts import Tried
from ringback_notifier._policy import Answer, Delivered, GiveUp, NoAnswer, Retry
from ringback_notifier._recording import OptionalOutbox, Recording, leave_hint
from ringback_notifier.errors import NotAllowedError
from ringback_notifier.outbox import Outbox, OutboxEvent

EVENT = OutboxEvent(
    event_id="msg_1",
    dag_id="d",
    run_id="r",
    state="success",
    destination="default",
    url=URL,
    body=b'{"result": 7}',
    reported_by="task",
    ended_at=None,
)
FAILED = Tried(at=1_000.0, duration=0.5, outcome=Answer(status=503, excerpt="busy"))
DONE = Tried(at=1_001.0, duration=0.25, outcome=Answer(status=204))


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *arguments: object, **fields: str) -> None:
        self.lines.append(message % arguments)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture(autouse=True)
def nothing_is_shunned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OptionalOutbox, "_shunned_until", float("-inf"))


@pytest.fixture
def configured(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", url)
    return url


@contextlib.contextmanager
def opened(url: str) -> Iterator[Outbox]:
    outbox = Outbox.open(url, wait=10.0)
    try:
        yield outbox
    finally:
        outbox.close()


def test_what_is_recorded_is_found_by_the_next(configured: str, log: Log) -> None:
    """A callback after the final task sends nothing again."""
    with Recording(EVENT, log) as task:
        assert task.settled() is False
        task.record(Delivered(status=204), [FAILED, DONE])
    with Recording(EVENT, log) as callback:
        assert callback.settled() is True
    with opened(configured) as outbox:
        assert outbox.status_of("msg_1") == "delivered"
        assert [(one.sender, one.status, one.error) for one in outbox.attempts_of("msg_1")] == [
            ("task", 503, "status 503: busy"),
            ("task", 204, None),
        ]
    assert log.lines == []


def test_an_event_loop_records_the_same(configured: str, log: Log) -> None:
    """From its own thread's point of view it only waits."""

    async def record() -> bool:
        async with Recording(EVENT, log) as outbox:
            await outbox.arecord(GiveUp(why="gone"), [DONE])
            return await outbox.asettled()

    assert asyncio.run(record()) is True
    with opened(configured) as outbox:
        assert outbox.status_of("msg_1") == "gone"


def test_an_event_that_is_not_delivered_can_be_leased_by_a_relay(configured: str, log: Log) -> None:
    """In five seconds, with the body that was built here."""
    with Recording(EVENT, log) as task:
        task.record(Retry(why="status 503"), [FAILED])
    now = time.time()
    with opened(configured) as outbox:
        assert outbox.lease(owner="relay", now=now, until=now + 60, limit=10) == []
        (leased,) = outbox.lease(owner="relay", now=now + 6, until=now + 60, limit=10)
        assert (leased.event_id, leased.body, leased.attempts) == ("msg_1", EVENT.body, 0)


def test_a_refusal_is_recorded_and_goes_on(configured: str, log: Log) -> None:
    """Nothing else is done with it until somebody mends the destination."""
    with pytest.raises(NotAllowedError), Recording(EVENT, log):
        raise NotAllowedError("nothing was sent: destination 'default' does not allow it")
    with opened(configured) as outbox:
        assert outbox.status_of("msg_1") == "refused"
        (attempt,) = outbox.attempts_of("msg_1")
        assert "does not allow" in (attempt.error or "")


def test_a_run_of_unknown_conf_is_a_hint(configured: str, log: Log) -> None:
    """Once, however often it is left."""
    assert leave_hint("d", "r", log=log) is True
    assert leave_hint("d", "r", log=log) is True
    with opened(configured) as outbox:
        (hint,) = outbox.take_hints(now=time.time() + 1, limit=10, again_at=0.0)
        assert (hint.dag_id, hint.run_id, hint.event_id, hint.seen_by) == ("d", "r", None, "callback")


def test_a_locked_file_costs_a_second_and_one_line(
    sqlite_url: str, tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading needs no lock, so what is settled is known all the same."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", sqlite_url)
    with Recording(EVENT, log) as task:
        task.record(Delivered(status=204), [DONE])
    with contextlib.closing(sqlite3.connect(tmp_path / "ringback" / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with Recording(EVENT, log) as task:
            assert task.settled() is True
            task.record(Delivered(status=204), [DONE])
            task.record(Delivered(status=204), [DONE])
        assert 0.9 < time.monotonic() - started < 4
    assert len(log.lines) == 1


@contextlib.contextmanager
def mute() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://ringback:hush@127.0.0.1:{server.getsockname()[1]}/ringback"


@contextlib.contextmanager
def down() -> Iterator[str]:
    yield "postgresql://ringback:hush@127.0.0.1:1/ringback"


@contextlib.contextmanager
def impossible() -> Iterator[str]:
    yield "postgresql://ringback:hush@[no/such?url=hush"


@pytest.mark.parametrize("make", [mute, down, impossible])
def test_a_server_that_is_no_help_costs_little_and_one_line(
    make: object, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which does not hold its password."""
    with make() as url:  # type: ignore[operator]
        monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", url)
        started = time.monotonic()
        with Recording(EVENT, log) as task:
            assert task.settled() is False
            task.record(Retry(why="x"), [Tried(at=1.0, duration=1.0, outcome=NoAnswer(error="timeout: x"))])
        assert leave_hint("d", "r", log=log) is False
        assert time.monotonic() - started < 4
    (line,) = log.lines
    assert line.startswith("ringback: the outbox is of no use: ")
    assert "hush" not in line


def test_a_database_without_our_tables_is_told_with_the_command_that_makes_them(
    postgres: LocalPostgres, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks migrate no server."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", postgres.create("empty"))
    with Recording(EVENT, log) as task:
        assert task.settled() is False
    (line,) = log.lines
    assert "ringback outbox migrate" in line
