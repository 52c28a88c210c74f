"""Several processes at one outbox, in both databases."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from outbox_processes import Process, run_together
from outbox_samples import NOW, lease, make_event, row

from ringback_notifier.outbox import Outbox


def test_no_event_is_given_to_two_relays(url: str, outbox: Outbox) -> None:
    """Two relays that drain one outbox share it out: each event once, and every event."""
    outbox.enqueue([make_event(number) for number in range(300)], now=NOW)
    taken = [event_id for lines in run_together("drain", url, 2) for event_id in lines]
    assert sorted(taken) == [f"msg_{number:04d}" for number in range(300)]
    assert outbox.counts()["delivered"] == 300


def test_the_events_of_a_killed_relay_are_taken_over(url: str, outbox: Outbox) -> None:
    """A relay that is killed with ``-9`` loses its events when its leases end."""
    outbox.enqueue([make_event(number) for number in range(5)], now=NOW)
    code, _, _ = Process("die", url, "killed").end()
    assert code == -signal.SIGKILL
    assert row(outbox, "msg_0001").leased_by == "killed"
    assert lease(outbox, "relay-2", now=NOW + 59) == []
    assert len(lease(outbox, "relay-2", now=NOW + 60)) == 5


def test_nobody_waits_in_a_circle(url: str, outbox: Outbox) -> None:
    """Three processes that do everything at once to the same rows, each in another order, never fail."""
    assert run_together("quarrel", url, 3) == [[], [], []]


def test_a_forked_process_goes_on_with_connections_of_its_own(url: str, opening: Callable[..., Outbox]) -> None:
    """After ``forget()`` the child works, and so does the parent, whose connections were not touched."""
    assert Process("fork", url).end() == (0, ["0"], "")
    assert opening(url).counts()["hint"] == 3


def test_a_new_file_may_be_opened_by_all_at_once(sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """When Airflow's components start together, one makes the file, and nobody fails."""
    run_together("open_new", sqlite_url, 3)
    assert opening(sqlite_url).hinted([f"msg_{n}" for n in range(3)]) == {f"msg_{n}" for n in range(3)}
    assert sorted(path.name for path in Path(sqlite_url.removeprefix("sqlite:///")).parent.iterdir())[0] == "outbox.db"


def test_a_server_may_be_migrated_by_all_at_once(empty_database: str, opening: Callable[..., Outbox]) -> None:
    """Of several that migrate one database, one does, and nobody fails."""
    run_together("migrate_new", empty_database, 2)
    assert opening(empty_database).counts()["hint"] == 0
