"""The listener with real outboxes: healthy, locked, killed, and at the end of the process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from listener_samples import URL, a_run, noted

from demo.local_postgres import LocalPostgres
from ringback_notifier import _hint_sink, _listener
from ringback_notifier._hint_sink import OutboxSink
from ringback_notifier._hint_writer import HintWriter
from ringback_notifier.outbox import EventFilter, Outbox
from ringback_protocol import event_id

Listen = Callable[..., HintWriter]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """Let the listener write to an outbox; it opens it again soon after a failure."""
    monkeypatch.setattr(_hint_sink, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(_hint_sink, "_LONGEST_PAUSE", 0.1)
    writers = []

    def start(url: str, wait: float = 1.0) -> HintWriter:
        writer = HintWriter(OutboxSink(lambda: Outbox.open(url, wait=wait)), idle=0.1)
        writers.append(writer)
        monkeypatch.setattr(_listener, "hint_writer", lambda: writer)
        return writer

    yield start
    for writer in writers:
        assert writer.flush(10.0)
        with writer._running:  # its thread has ended
            pass


def end(run_id: str, **changes: Any) -> None:
    _listener.on_dag_run_success(a_run(run_id, **changes), "success")


def longest_call(count: int) -> float:
    """Return the seconds of the longest of so many calls."""
    longest = 0.0
    for number in range(count):
        started = time.monotonic()
        end(f"r{number}")
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.002)
    return longest


def test_a_run_that_ends_is_in_the_outbox_within_the_second(url: str, listen: Listen) -> None:
    """As a hint with the event's own id, due now or when the DAG's callback had its chance."""
    listen(url)
    with_callback = SimpleNamespace(has_on_success_callback=True)
    before = time.time()
    end("first")
    end("second", dag=with_callback)
    end("of no interest", conf={})
    outbox = Outbox.open(url, wait=10.0)
    try:
        deadline = time.monotonic() + 5
        hints = []
        while len(hints) < 2 and time.monotonic() < deadline:
            hints = outbox.take_hints(now=1e12, limit=10, again_at=0.0)
            time.sleep(0.02)
        first, second = sorted(hints, key=lambda hint: hint.run_id)
        assert (first.run_id, first.state, first.seen_by) == ("first", "success", "listener")
        assert first.event_id == event_id(
            source="https://airflow.example",
            dag_id="d",
            run_id="first",
            start_date=datetime(2026, 7, 2, tzinfo=timezone.utc),
            state="success",
            callback_url=URL,
        )
        rows = {row.run_id: row for row in outbox.page(EventFilter()).rows}
        assert before <= first.created_at <= time.time()
        assert second.run_id == "second"
        assert set(rows) == {"first", "second"}
    finally:
        outbox.close()


@pytest.mark.alone
def test_five_hundred_runs_that_end_together_are_all_noted(url: str, listen: Listen) -> None:
    """In a few transactions."""
    writer = listen(url)
    for number in range(500):
        end(f"r{number}")
    assert writer.flush(10.0)
    assert noted(url) == {f"r{number}" for number in range(500)}


def test_a_locked_outbox_holds_nobody_up_and_is_used_again(
    sqlite_url: str, tmp_path: Path, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """What ends meanwhile is lost to the listener, with one warning, and left to the sweep."""
    Outbox.open(sqlite_url, wait=5.0).close()
    writer = listen(sqlite_url, wait=1.5)
    with contextlib.closing(sqlite3.connect(tmp_path / "ringback" / "outbox.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert longest_call(300) < 1.0
        assert writer.flush(10.0)
        other.execute("ROLLBACK")
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "locked" in message
    assert "the relay's sweep finds them" in message
    time.sleep(0.15)
    end("after")
    assert writer.flush(10.0)
    assert "after" in noted(sqlite_url)


def test_a_killed_postgres_holds_nobody_up_and_is_used_again(
    postgres: LocalPostgres, postgres_url: str, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """The same, and the connection is made anew."""
    writer = listen(postgres_url)
    end("before")
    assert writer.flush(10.0)
    postgres.kill()
    try:
        assert longest_call(300) < 1.0
        assert writer.flush(10.0)
    finally:
        postgres.start()
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "could not be noted" in message
    time.sleep(0.15)
    end("after")
    assert writer.flush(10.0)
    assert {"before", "after"} <= noted(postgres_url)


@pytest.mark.parametrize(
    "broken", ["postgresql://somebody:hush@127.0.0.1:1/none", "sqlite:////proc/none/outbox.db", "mysql://x:hush@y/z"]
)
def test_an_outbox_that_cannot_be_is_told_without_its_password(
    broken: str, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    """And Airflow goes on."""
    writer = listen(broken)
    assert longest_call(20) < 1.0
    assert writer.flush(10.0)
    assert "could not be noted" in caplog.text
    assert "hush" not in caplog.text


def test_what_is_queued_is_written_before_the_process_exits(url: str, tmp_path: Path) -> None:
    """A scheduler that is stopped takes no hint with it."""
    program = """
import sys
from listener_samples import a_run
from ringback_notifier import _listener
from ringback_notifier._hint_writer import hint_writer
_listener.on_dag_run_failed(a_run("first"), "task_failure")
assert hint_writer().flush(30.0)  # so that all is loaded
for number in range(50):
    _listener.on_dag_run_failed(a_run(f"r{number}"), "task_failure")
sys.exit(0)  # as Airflow's signal handler does
"""
    environment = {
        **os.environ,
        "AIRFLOW__RINGBACK__OUTBOX_URL": url,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert noted(url) == {"first", *(f"r{number}" for number in range(50))}
