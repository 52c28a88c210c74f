"""The queue between Airflow's threads and the outbox, and the thread that empties it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from notifier_samples import SITE, STARTED, URL, FakeOutbox

from ringback_notifier import _config, _hint_sink, _hint_writer
from ringback_notifier._hint_sink import OutboxOpener, OutboxSink
from ringback_notifier._hint_writer import HintWriter
from ringback_notifier._hints import Seen, hint_of
from ringback_notifier.errors import OutboxUnavailable
from ringback_notifier.outbox import Outbox
from ringback_protocol import event_id


def a_run(number: int = 1, **changes: Any) -> Seen:
    members: dict[str, Any] = {
        "dag_id": "d",
        "run_id": f"r{number}",
        "start_date": STARTED,
        "conf": {"callback_url": URL},
        "state": "success",
        "at": 1_000.0,
        "has_callback": False,
    }
    return Seen(**{**members, **changes})


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ringback-hints"]


@pytest.fixture(autouse=True)
def known_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_config, "site", lambda: SITE)
    yield
    assert eventually(lambda: threads() == [])


# --- from a run to a hint -------------------------------------------------------------------------


def test_a_hint_has_the_id_that_the_event_will_have() -> None:
    """So that it is one row, whoever reports the ending."""
    hint = hint_of(a_run(), SITE, grace=3.0)
    assert hint is not None
    made = event_id(source=SITE.source, dag_id="d", run_id="r1", start_date=STARTED, state="success", callback_url=URL)
    assert (hint.event_id, hint.dag_id, hint.run_id, hint.state) == (made, "d", "r1", "success")
    assert (hint.seen_by, hint.due_at) == ("listener", 1_000.0)


def test_a_hint_waits_for_the_dags_own_callback() -> None:
    """Whose report is richer."""
    hint = hint_of(a_run(has_callback=True), SITE, grace=3.0)
    assert hint is not None
    assert hint.due_at == 1_003.0


@pytest.mark.parametrize(
    ("state", "events", "noted"),
    [
        ("running", ["succeeded", "failed"], False),
        ("running", ["started"], True),
        ("success", ["failed"], False),
        ("failed", ["failed"], True),
    ],
)
def test_only_what_is_wanted_is_noted(state: str, events: list[str], noted: bool) -> None:
    """The filter of conf holds."""
    seen = a_run(state=state, conf={"callback": {"url": URL, "events": events}})
    assert (hint_of(seen, SITE, grace=0.0) is not None) is noted


@pytest.mark.parametrize(
    "change",
    [
        {"conf": {"callback": 7}},
        {"conf": {"callback": {"url": "ftp://x"}}},
        {"conf": {"callback_url": None}},
        {"conf": {}},
        {"start_date": datetime(2026, 7, 2)},
        {"start_date": "yesterday"},
    ],
)
def test_what_cannot_be_honoured_is_left_to_the_sweep(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Which says what is wrong; here nobody hears of it."""
    assert hint_of(a_run(**change), SITE, grace=0.0) is None
    assert caplog.records == []


# --- the queue ------------------------------------------------------------------------------------


def test_what_comes_together_is_written_together() -> None:
    """A hundred runs that end at once cost one transaction."""
    outbox = FakeOutbox()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.05)
    for number in range(100):
        writer.put(a_run(number))
    assert writer.flush(5.0) is True
    assert [hint.run_id for hint in outbox.hints] == [f"r{number}" for number in range(100)]
    assert len(outbox.batches) < 10


def test_the_thread_ends_when_there_is_nothing_to_do_and_begins_anew() -> None:
    """An idle scheduler forks with no more threads than it had, and no outbox is left open."""
    outbox = FakeOutbox()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.3)
    for number in (1, 2):
        writer.put(a_run(number))
        assert len(threads()) == 1
        assert eventually(lambda: threads() == [])
        assert (len(outbox.hints), outbox.closed) == (number, number)
    assert writer.flush(0.0) is True


def test_nothing_is_stranded_when_it_comes_as_the_thread_ends() -> None:
    """Whichever comes first."""
    outbox = FakeOutbox()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.001)
    for number in range(60):
        writer.put(a_run(number))
        time.sleep(0.0117)  # about when the thread looks up
    assert eventually(lambda: len(outbox.hints) == 60)


def test_many_threads_may_put() -> None:
    """The API server's do."""
    outbox = FakeOutbox()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.01)
    putters = [
        threading.Thread(target=lambda start=start: [writer.put(a_run(start + n)) for n in range(100)])
        for start in range(0, 800, 100)
    ]
    for thread in putters:
        thread.start()
    for thread in putters:
        thread.join()
    assert writer.flush(5.0)
    assert {hint.run_id for hint in outbox.hints} == {f"r{number}" for number in range(800)}
    assert len(threads()) <= 1


class Gate:
    """Opens an outbox when the test says so."""

    def __init__(self) -> None:
        self.outbox = FakeOutbox()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> Any:
        self.entered.set()
        self.go_on.wait(10)
        return self.outbox


def test_a_full_queue_drops_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Airflow never waits for an outbox that hangs."""
    gate = Gate()
    writer = HintWriter(OutboxSink(gate), capacity=10, idle=0.05)
    writer.put(a_run(0))
    assert gate.entered.wait(5)
    started = time.monotonic()
    for number in range(1, 100):
        writer.put(a_run(number))
    assert time.monotonic() - started < 1
    gate.go_on.set()
    assert writer.flush(5.0)
    assert len(gate.outbox.hints) == 11
    assert [record.getMessage() for record in caplog.records] == [
        "ringback: 89 ended run(s) could not be noted in the outbox; the relay's sweep finds them"
    ]


def test_a_flush_is_bounded() -> None:
    """A process that exits does not hang on its outbox."""
    gate = Gate()
    writer = HintWriter(OutboxSink(gate), idle=0.05)
    writer.put(a_run())
    started = time.monotonic()
    assert writer.flush(0.2) is False
    assert time.monotonic() - started < 2
    gate.go_on.set()
    assert writer.flush(5.0) is True


def test_a_thread_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put waits in the queue."""
    outbox = FakeOutbox()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.05)

    def fail(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            writer.put(a_run(1))
    writer.put(a_run(2))
    assert writer.flush(5.0)
    assert len(outbox.hints) == 2


# --- an outbox that fails -------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Opener:
    """Opens outboxes, or fails to."""

    def __init__(self) -> None:
        self.outbox = FakeOutbox()
        self.error: Exception | None = None
        self.opened = 0

    def __call__(self) -> Any:
        self.opened += 1
        if self.error is not None:
            raise self.error
        return self.outbox


@pytest.mark.parametrize("where", ["opening", "writing"])
def test_a_failing_outbox_loses_hints_and_is_tried_again_later(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """After pauses that double up to half a minute; nothing is kept, for the sweep finds those runs."""
    clock, opener = Clock(), Opener()
    sink = OutboxSink(opener, clock=clock)
    error = OutboxUnavailable("database is locked")
    opener.error = error if where == "opening" else None
    opener.outbox.fails_with = error
    tried = []
    for second in range(100):
        clock.now = float(second)
        before = opener.opened
        sink.write([a_run(second)])
        if opener.opened > before:
            tried.append(second)
    assert tried == [0, 1, 3, 7, 15, 31, 61, 91]
    opener.error = opener.outbox.fails_with = None
    clock.now = 200.0
    sink.write([a_run(200)])
    sink.write([a_run(201)])
    assert [hint.run_id for hint in opener.outbox.hints] == ["r200", "r201"]
    assert opener.opened == len(tried) + 1


def test_a_failing_outbox_is_told_once_a_minute_with_the_number_lost(caplog: pytest.LogCaptureFixture) -> None:
    """The reason is there, the traceback only for those who debug."""
    caplog.set_level(logging.INFO, logger=_hint_sink.__name__)
    clock, opener = Clock(), Opener()
    opener.error = OutboxUnavailable("database is locked")
    sink = OutboxSink(opener, clock=clock)
    for second in range(61):
        clock.now = float(second)
        sink.write([a_run(1), a_run(2)])
    assert [record.getMessage() for record in caplog.records] == [
        "ringback: 2 ended run(s) could not be noted in the outbox: database is locked; the relay's sweep finds them",
        "ringback: 120 ended run(s) could not be noted in the outbox; the relay's sweep finds them",
    ]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("error", [RuntimeError("postgresql://ringback:hush@db"), ImportError("no SQLAlchemy")])
def test_a_surprise_is_no_more_than_that(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is told without what it may quote, and the next run is noted."""
    clock, opener = Clock(), Opener()
    opener.error = error
    sink = OutboxSink(opener, clock=clock)
    sink.write([a_run()])
    assert "hush" not in caplog.text
    assert "could not be noted" in caplog.text
    opener.error, clock.now = None, 2.0
    sink.write([a_run()])
    assert len(opener.outbox.hints) == 1


def test_a_configuration_that_cannot_be_read_is_no_more_than_that(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The thread lives on, and says what is wrong, and how many runs it cost."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_GRACE", "soon")
    opener = Opener()
    OutboxSink(opener).write([a_run(1), a_run(2)], dropped=3)
    assert opener.opened == 0
    assert [record.getMessage() for record in caplog.records] == [
        "ringback: 5 ended run(s) could not be noted in the outbox: [ringback] callback_grace is 'soon'; it must be a "
        "number; the relay's sweep finds them"
    ]


def test_an_outbox_is_not_opened_for_nothing() -> None:
    """Runs that do not want this cost no file and no connection."""
    opener = Opener()
    sink = OutboxSink(opener)
    sink.write([a_run(state="running"), a_run(conf={"callback": 7})])
    sink.close()
    assert opener.opened == 0


# --- purging --------------------------------------------------------------------------------------


@dataclass
class Purged(FakeOutbox):
    """Remembers how it was purged."""

    purges: list[tuple[float, int]] = field(default_factory=list)

    def purge(self, *, before: float, limit: int) -> int:
        self._maybe_fail()
        self.purges.append((before, limit))
        return 0


def test_the_outbox_is_purged_once_an_hour_after_something_was_written() -> None:
    """Where there is no relay, nobody else does."""
    clock, opener = Clock(), Opener()
    outbox = opener.outbox = Purged()
    sink = OutboxSink(opener, clock=clock)
    sink.write([a_run(state="running")])
    assert sink.purge_is_due() is False
    due = []
    for minute in range(150):
        clock.now = 60.0 * minute
        sink.write([a_run(minute)])
        if sink.purge_is_due():
            due.append(minute)
            sink.purge()
    assert due == [0, 60, 120]
    assert [limit for _, limit in outbox.purges] == [5_000] * 3
    assert outbox.purges[0][0] == pytest.approx(time.time() - 14 * 86_400.0, abs=60)


def test_the_thread_purges_after_it_has_written() -> None:
    """And once only, however much it writes."""
    outbox = Purged()
    writer = HintWriter(OutboxSink(lambda: outbox), idle=0.05)
    for number in range(3):
        writer.put(a_run(number))
        assert writer.flush(5.0)
    assert eventually(lambda: threads() == [])
    assert (len(outbox.hints), len(outbox.purges)) == (3, 1)


@pytest.mark.parametrize("option", [None, "forever"])
def test_a_purge_that_fails_is_no_more_than_that(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, option: str | None
) -> None:
    """Nothing is lost by it, and the next hint is written."""
    opener = Opener()
    outbox = opener.outbox = Purged()
    sink = OutboxSink(opener)
    sink.write([a_run(1)])
    if option is None:
        outbox.fails_with = OutboxUnavailable("database is locked")
    else:
        monkeypatch.setenv("AIRFLOW__RINGBACK__RETENTION_DAYS", option)
    sink.purge()
    outbox.fails_with = None
    sink.write([a_run(2)])
    assert (len(outbox.hints), outbox.purges, caplog.records) == (2, [], [])


# --- forks ----------------------------------------------------------------------------------------


def test_a_forked_child_does_not_touch_its_parents_connections() -> None:
    """Not even to close them."""
    opener = Opener()
    sink = OutboxSink(opener)
    sink.abandon()
    assert opener.outbox.forgotten == 0
    sink.write([a_run(1)])
    sink.abandon()
    assert (opener.outbox.closed, opener.outbox.forgotten) == (0, 1)
    sink.write([a_run(2)])
    assert (opener.opened, len(opener.outbox.hints)) == (1, 2)


def test_a_fork_waits_once_for_work_that_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight workers that are forked while the outbox is mute hold the scheduler up no longer than one."""
    monkeypatch.setattr(_hint_writer, "_FORK_SECONDS", 0.3)
    gate = Gate()
    writer = HintWriter(OutboxSink(gate), idle=0.05)
    writer.put(a_run(1))
    assert gate.entered.wait(5)
    waits = []
    for _ in range(8):
        started = time.monotonic()
        writer._before_fork()
        writer._after_fork_in_parent()
        waits.append(time.monotonic() - started)
    assert waits[0] >= 0.3
    assert max(waits[1:]) < 0.2
    gate.go_on.set()
    assert writer.flush(5.0)
    with writer._working():
        started = time.monotonic()
        writer._before_fork()
        assert time.monotonic() - started >= 0.3  # other work, so there is hope again
        writer._after_fork_in_parent()


def test_the_outbox_is_closed_before_a_fork_and_opened_again() -> None:
    """SQLite's memory of an open file must not be in two processes."""
    opener = Opener()
    writer = HintWriter(OutboxSink(opener), idle=30.0)
    writer.put(a_run(1))
    assert writer.flush(5.0)
    writer._before_fork()
    assert opener.outbox.closed == 1
    writer._after_fork_in_parent()
    writer._idle = 0.05
    writer.put(a_run(2))
    assert writer.flush(5.0)
    assert (opener.opened, len(opener.outbox.hints)) == (2, 2)


def test_a_locked_file_gives_up_before_a_fork_does() -> None:
    """So that every fork finds the outbox closed."""
    assert _hint_sink.FILE_SECONDS < _hint_writer._FORK_SECONDS


@pytest.mark.parametrize(
    ("url", "forks_wait"), [("postgresql://ringback@db.example/ringback", False), ("sqlite:////o.db", True)]
)
def test_a_fork_does_not_wait_for_a_server_that_is_called_again(
    monkeypatch: pytest.MonkeyPatch, url: str, forks_wait: bool
) -> None:
    """What there is to import was imported the first time, and nothing else there could harm a child."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", url)
    monkeypatch.setattr(_hint_writer, "_FORK_SECONDS", 0.2)
    first, second = FakeOutbox(), Gate()
    second.outbox = first
    calls = iter([lambda: first, second])
    monkeypatch.setattr(Outbox, "open", lambda url, *, wait: next(calls)())
    opener = OutboxOpener()
    writer = HintWriter(OutboxSink(opener), idle=0.05)
    opener.aside = writer.aside
    writer.put(a_run(1))
    assert writer.flush(5.0)
    assert eventually(lambda: threads() == [])
    writer.put(a_run(2))
    assert second.entered.wait(5)
    writer._before_fork()
    assert writer._forking.held is not forks_wait
    writer._after_fork_in_parent()
    second.go_on.set()
    assert writer.flush(5.0)
    assert len(first.hints) == 2


def test_a_fork_waits_for_a_write_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the parent goes on as before, whether it had to wait in vain or not."""
    monkeypatch.setattr(_hint_writer, "_FORK_SECONDS", 0.1)
    gate = Gate()
    writer = HintWriter(OutboxSink(gate), idle=0.05)
    writer.put(a_run(1))
    assert gate.entered.wait(5)
    started = time.monotonic()
    writer._before_fork()
    assert 0.05 < time.monotonic() - started < 2
    writer._after_fork_in_parent()
    gate.go_on.set()
    assert writer.flush(5.0)
    writer._before_fork()
    assert writer._at_work.locked()
    writer._after_fork_in_parent()
    assert not writer._at_work.locked()
    writer.put(a_run(2))
    assert writer.flush(5.0)
    assert len(gate.outbox.hints) == 2
