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
from ringback_notifier.errors import DestinationError, NotAllowedError, OutboxError
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


@pytest.fixture(params=["postgresql://ringback:hush@db.example/ringback", "sqlite:////mnt/hung/outbox.db"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outbox behind a network, be it a server or a file, with little patience."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", request.param)
    monkeypatch.setattr(_recording, "_NETWORK_SECONDS", 0.1)
    monkeypatch.setattr(_recording, "_FILE_SECONDS", 0.1)


def test_a_database_that_does_not_answer_is_not_waited_for(
    elsewhere: None, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolving a name, or a mount, is bounded by nobody else; the thread that hangs in it is left alone."""
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DestinationError("there is no Airflow connection ringback_portal"), "there is no Airflow connection"),
        (RuntimeError("403 for https://vault.example/?token=hush"), "RuntimeError"),
    ],
)
def test_what_fails_before_anything_is_sent_leaves_the_event_to_the_relay(
    log: Any, outbox: FakeOutbox, error: Exception, said: str
) -> None:
    """A secrets backend that does not answer looks like a connection that is missing, and may answer in a moment."""
    with pytest.raises(type(error)), Recording(EVENT, log):
        raise error
    record = outbox.record_made
    assert (record.status, record.due_at, record.event) == ("due", record.now + 5.0, EVENT)
    (attempt,) = record.attempts
    assert (attempt.error or "").startswith(said)
    assert "hush" not in (attempt.error or "")
    assert outbox.closed == 1


def test_only_what_is_not_allowed_is_refused(log: Any, outbox: FakeOutbox) -> None:
    """Somebody has decided so."""
    with pytest.raises(NotAllowedError), Recording(EVENT, log, is_retried=lambda error: True):
        raise NotAllowedError("destination 'default' does not allow it")
    assert outbox.record_made.status == "refused"


@pytest.mark.parametrize("error", [RuntimeError("a surprise"), KeyboardInterrupt()])
def test_what_is_tried_again_or_cut_short_is_not_recorded(log: Any, outbox: FakeOutbox, error: BaseException) -> None:
    """One sender at a time; and who is told to stop, stops."""
    with pytest.raises(type(error)), Recording(EVENT, log, is_retried=lambda error: True):
        raise error
    assert outbox.records == []
    assert outbox.closed == 0


def test_what_is_recorded_stays_whatever_goes_wrong_after_it(log: Any, outbox: FakeOutbox) -> None:
    """It was delivered."""
    recording = Recording(EVENT, log)
    recording.record(Delivered(status=204), [])
    with pytest.raises(RuntimeError), recording:
        raise RuntimeError("a surprise")
    assert outbox.record_made.status == "delivered"
