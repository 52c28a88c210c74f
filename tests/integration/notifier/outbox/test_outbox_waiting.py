"""How long an outbox keeps anybody waiting: never longer than it was told to."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from outbox_processes import Process
from outbox_samples import NOW, lease, make_attempt, make_event, make_hint, row
from outbox_servers import new_postgres

from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_notifier.errors import OutboxUnavailable
from ringback_notifier.outbox import Outbox, migrate

WAIT = 0.4
SLACK = 1.5  # of a machine that has other things to do


@contextmanager
def unavailable(*, at_least: float = 0.0, message: str | None = None) -> Iterator[None]:
    """Expect that the block gives up in time."""
    started = time.monotonic()
    with pytest.raises(OutboxUnavailable, match=message):
        yield
    assert at_least <= time.monotonic() - started < WAIT + SLACK


def writes(outbox: Outbox) -> list[Callable[[], Any]]:
    """What the fast paths and the listener do."""
    event = make_event(1, reported_by="task")
    return [
        lambda: outbox.add_hints([make_hint(1), make_hint(2)], now=NOW),
        lambda: outbox.record(event, [make_attempt()], status="delivered", due_at=NOW, now=NOW),
    ]


def test_a_writer_elsewhere_holds_nobody_up(sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """While another process writes, writing gives up in time, reading goes on, and afterwards all works."""
    outbox = opening(sqlite_url, wait=WAIT)
    other = Process("hold", sqlite_url)
    other.wait_until_ready()
    for write in writes(outbox):
        with unavailable(at_least=WAIT * 0.9, message="database is locked"):
            write()
    started = time.monotonic()
    assert outbox.status_of("msg_0001") is None
    second = opening(sqlite_url, wait=WAIT)
    assert second.counts()["hint"] == 0
    assert time.monotonic() - started < WAIT
    other.go()
    other.end()
    for write in writes(outbox):
        write()


def test_a_locked_table_holds_nobody_up(postgres_url: str, opening: Callable[..., Outbox]) -> None:
    """While somebody alters the table, everything gives up in time; afterwards the same connection works."""
    outbox = opening(postgres_url, wait=WAIT)
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE ringback_event IN ACCESS EXCLUSIVE MODE")
        for operation in [*writes(outbox), lambda: outbox.status_of("msg_0001")]:
            with unavailable(at_least=WAIT * 0.8, message="statement timeout|no answer in time"):
                operation()
    for write in writes(outbox):
        write()


def test_a_locked_row_holds_up_only_those_who_need_it(postgres_url: str, opening: Callable[..., Outbox]) -> None:
    """While a row is locked, a relay leases the others, and who must have this one gives up in time."""
    outbox = opening(postgres_url, wait=WAIT)
    outbox.enqueue([make_event(1), make_event(2)], now=NOW)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM ringback_event WHERE event_id = 'msg_0001' FOR UPDATE")
        assert lease(outbox) == ["msg_0002"]
        with unavailable(at_least=WAIT * 0.8):
            outbox.record(make_event(1), [], status="delivered", due_at=NOW, now=NOW)
    assert row(outbox, "msg_0001").status == "due"
    assert lease(outbox) == ["msg_0001"]


def test_a_server_that_takes_connections_and_says_nothing_is_given_up() -> None:
    """A port behind which nothing answers costs the time allowed and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://ringback:secret@127.0.0.1:{listener.getsockname()[1]}/x"
        with unavailable(at_least=WAIT * 0.9, message="no answer in time"):
            Outbox.open(url, wait=WAIT)


def test_a_server_that_is_not_there_is_unavailable_at_once() -> None:
    """A refused connection is not waited for."""
    started = time.monotonic()
    with pytest.raises(OutboxUnavailable, match="refused"):
        Outbox.open(f"postgresql://127.0.0.1:{free_port()}/x", wait=30)
    assert time.monotonic() - started < 5


def test_a_server_that_hangs_is_given_up(postgres_url: str, opening: Callable[..., Outbox]) -> None:
    """When the server stops in the middle of a conversation, its own timeouts do not help; ours do."""
    outbox = opening(postgres_url, wait=WAIT)
    assert outbox.status_of("msg_0001") is None
    with psycopg.connect(postgres_url, autocommit=True) as other:
        found = other.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'ringback' AND datname = current_database()"
        ).fetchall()
    for (pid,) in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        with unavailable(at_least=WAIT * 0.9, message="no answer in time"):
            outbox.status_of("msg_0001")
        assert outbox.status_of("msg_0001") is None  # on a new connection
    finally:
        for (pid,) in found:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def mortal() -> Iterator[LocalPostgres]:
    """A server that may be killed."""
    with new_postgres() as server:
        migrate(server.create("outbox"))
        yield server


def test_a_server_that_was_killed_is_found_again(mortal: LocalPostgres, opening: Callable[..., Outbox]) -> None:
    """While it is away, every call says so in time; the first call after its return works, and nothing is lost."""
    outbox = opening(mortal.url("outbox"), wait=WAIT)
    outbox.enqueue([make_event(1)], now=NOW)
    watch = outbox.watch()
    mortal.kill()
    for _ in range(2):
        with unavailable():
            outbox.status_of("msg_0001")
    with unavailable():
        watch.wait(1.0)
    watch.close()
    mortal.start()
    assert outbox.status_of("msg_0001") == "due"
    again = outbox.watch()
    assert again.wait(0.0) is False
    again.close()


def test_connections_that_died_unseen_are_replaced(mortal: LocalPostgres, opening: Callable[..., Outbox]) -> None:
    """A server that was restarted while nobody called is not noticed at all."""
    outbox = opening(mortal.url("outbox"), wait=5.0)
    outbox.counts()
    mortal.kill()
    mortal.start()
    assert outbox.add_hints([make_hint(7)], now=NOW) == 1
