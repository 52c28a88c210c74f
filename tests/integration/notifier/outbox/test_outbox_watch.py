"""Being woken, in both databases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from outbox_samples import NOW, lease, make_event, make_hint, settled

from ringback_notifier.errors import OutboxUnavailable
from ringback_notifier.outbox import Outbox, Watch


@pytest.fixture
def watch(outbox: Outbox) -> Iterator[Watch]:
    watch = outbox.watch()
    yield watch
    watch.close()


@pytest.fixture
def other(url: str, watch: Watch, opening: Callable[..., Outbox]) -> Outbox:
    """The same outbox, as another process sees it."""
    return opening(url)


def test_nothing_new_is_waited_for_until_the_time_is_up(watch: Watch) -> None:
    """A relay sleeps as long as it wants to."""
    started = time.monotonic()
    assert watch.wait(0.3) is False
    assert 0.3 <= time.monotonic() - started < 2
    assert watch.wait(0) is False


def test_a_hint_wakes_within_moments(watch: Watch, other: Outbox) -> None:
    """What the listener writes, the relay sees while it waits."""
    timer = threading.Timer(0.3, lambda: other.add_hints([make_hint()], now=NOW))
    started = time.monotonic()
    timer.start()
    assert watch.wait(10) is True
    assert time.monotonic() - started < 3
    timer.join()


def test_what_happened_before_the_wait_counts(watch: Watch, other: Outbox) -> None:
    """Nothing is missed between two waits, and news that was told once is not told again.

    Two commits are one piece of news or two: PostgreSQL may bring the second a moment later.
    """
    other.add_hints([make_hint(1)], now=NOW)
    other.add_hints([make_hint(2)], now=NOW)
    assert watch.wait(5) is True
    assert not watch.wait(0.5) or not watch.wait(0.5)
    other.add_hints([make_hint(3)], now=NOW)
    assert watch.wait(5) is True


@pytest.mark.parametrize("operation", ["record", "enqueue", "redeliver", "release"])
def test_whatever_becomes_due_wakes(watch: Watch, other: Outbox, operation: str) -> None:
    """A relay need not poll for what others put into the outbox or give back."""
    settled(other, 9, "dead")
    other.enqueue([make_event(8)], now=NOW)
    lease(other, "other")
    while watch.wait(0.2):
        pass
    {
        "record": lambda: other.record(make_event(1), [], status="due", due_at=NOW, now=NOW),
        "enqueue": lambda: other.enqueue([make_event(2)], now=NOW),
        "redeliver": lambda: other.redeliver(now=NOW),
        "release": lambda: other.release("other", event_ids=None, due_at=NOW),
    }[operation]()
    assert watch.wait(5) is True


def test_looking_for_work_in_vain_wakes_nobody(watch: Watch, other: Outbox) -> None:
    """Idle relays do not keep each other awake."""
    assert lease(other) == []
    assert other.take_hints(now=NOW, limit=9, again_at=NOW) == []
    assert other.add_hints([], now=NOW) == 0
    assert other.next_due(now=NOW) is None
    assert watch.wait(0.2) is False


def test_closing_ends_the_wait(outbox: Outbox) -> None:
    """A relay that stops does not wait for its watch."""
    watch = outbox.watch()
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(watch.wait(30)))
    waiter.start()
    time.sleep(0.1)
    started = time.monotonic()
    watch.close()
    waiter.join(10)
    assert answers == [False]
    assert time.monotonic() - started < 2
    assert watch.wait(30) is False


def test_a_lost_connection_is_an_error(postgres_url: str, opening: Callable[..., Outbox]) -> None:
    """A watch that would never tell anything again says so; a new one can be had."""
    outbox = opening(postgres_url)
    watch = outbox.watch()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    with pytest.raises(OutboxUnavailable):
        watch.wait(5)
    watch.close()
    again = outbox.watch()
    outbox.add_hints([make_hint()], now=NOW)
    assert again.wait(5) is True
    again.close()
