"""The outbox for those who can do without: bounded waiting, one line in the log, and nothing raised."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from notifier_samples import URL, FakeOutbox

from ringback_notifier import _recording
from ringback_notifier._attempts import Tried
from ringback_notifier._policy import Answer, Delivered, NoAnswer, Retry
from ringback_notifier._recording import OptionalOutbox, Recording, leave_hint, trouble
from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox import Outbox, OutboxEvent

OPENED = OptionalOutbox._opened
EVENT = OutboxEvent(
    event_id="msg_1",
    dag_id="d",
    run_id="r",
    state="success",
    destination="default",
    url=URL,
    body=b"{}",
    reported_by="task",
    ended_at=None,
)


class Slow(FakeOutbox):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def status_of(self, event_id: str) -> None:
        self.go_on.wait(10)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outbox behind a network, with little patience."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", "postgresql://ringback:hush@db.example/ringback")
    monkeypatch.setattr(_recording, "_NETWORK_SECONDS", 0.1)


def test_a_database_that_does_not_answer_is_not_waited_for(
    elsewhere: None, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving a name is bounded by nobody else; the thread that hangs in it is left alone."""
    slow = Slow()
    monkeypatch.setattr(OptionalOutbox, "_opened", lambda self, url: slow)
    asked = Recording(EVENT, log)
    started = time.monotonic()
    with asked:
        assert asked.settled() is False
    assert time.monotonic() - started < 1
    assert asked.waited == pytest.approx(0.1, abs=0.5)
    assert log.at("warning") == ["ringback: the outbox is of no use: no answer in time; all else goes on without it"]
    slow.go_on.set()


def test_an_outbox_that_opens_too_late_is_closed_again(
    elsewhere: None, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to use it."""
    slow = Slow()

    def opened(url: str, *, wait: float) -> Slow:
        slow.go_on.wait(10)
        return slow

    monkeypatch.setattr(OptionalOutbox, "_opened", OPENED)
    monkeypatch.setattr(Outbox, "open", opened)
    with Recording(EVENT, log) as outbox:
        assert outbox.settled() is False
    slow.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "ringback-outbox":
            thread.join(10)
    assert slow.closed == 1


def test_an_outbox_that_has_just_failed_is_left_alone(
    log: Any, outbox: FakeOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty callbacks of one file do not wait twenty times."""
    outbox.fails_with = OutboxError("no such schema")
    for _ in range(3):
        with Recording(EVENT, log) as recording:
            assert recording.settled() is False
            recording.record(Delivered(status=204), [])
    assert len(log.at("warning")) == 1
    outbox.fails_with = None
    monkeypatch.setattr(OptionalOutbox, "_shunned_until", time.monotonic() - 1)
    assert leave_hint("d", "r", log=log) is True


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutboxError("the schema is too old: run `ringback outbox migrate`"), "the schema is too old: run"),
        (ModuleNotFoundError("the outbox needs SQLAlchemy"), "the outbox needs SQLAlchemy"),
        (ValueError("cannot parse postgresql://ringback:hush@db"), "ValueError"),
    ],
)
def test_trouble_is_told_without_passwords(error: Exception, said: str) -> None:
    """Only errors that are known to hold none are quoted."""
    assert trouble(error).startswith(said)
    assert "hush" not in trouble(error)


@pytest.mark.parametrize(
    ("outcome", "status", "error", "excerpt"),
    [
        (Answer(status=204), 204, None, ""),
        (Answer(status=500, excerpt="x" * 900), 500, "status 500: " + "x" * 488, "x" * 500),
        (NoAnswer(error="timeout: " + "y" * 900), None, "timeout: " + "y" * 491, ""),
    ],
)
def test_an_attempt_is_recorded_in_few_words(
    log: Any, outbox: FakeOutbox, outcome: Any, status: int | None, error: str | None, excerpt: str
) -> None:
    """What a receiver says is cut."""
    with Recording(EVENT, log) as recording:
        recording.record(Retry(why="x"), [Tried(at=1.0, duration=2.0, outcome=outcome)])
    (attempt,) = outbox.record_made.attempts
    assert (attempt.at, attempt.duration, attempt.sender) == (1.0, 2.0, "task")
    assert (attempt.status, attempt.error, attempt.excerpt) == (status, error, excerpt)


@pytest.mark.parametrize("error", [RuntimeError("a surprise"), KeyboardInterrupt()])
def test_what_is_no_refusal_is_not_recorded_as_one(log: Any, outbox: FakeOutbox, error: BaseException) -> None:
    """It may work the next time."""
    with pytest.raises(type(error)), Recording(EVENT, log):
        raise error
    assert outbox.records == []
