"""What is there to be judged: the receiver's store, what came in on the wire, Airflow's tables, the outbox."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from chaos._killer import Strike
from chaos._scene import PlayedRun
from chaos._truth import RunState, Truth
from chaos._wire import Requested, read_wire
from chaos.receiver import Files

__all__ = ["Evidence", "Recorded", "StoredRequest", "gather", "outbox_left", "outbox_of", "recorded_events"]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event that the receiver has recorded.

    :param at: Unix seconds.
    """

    event_id: str
    run_id: str
    request_id: str | None
    transition: str
    at: float
    state: str
    start_date: datetime | None
    reported_by: str


@dataclass(frozen=True, kw_only=True)
class StoredRequest:
    """A request in the receiver's store."""

    request_id: str
    run_id: str
    state: str
    event_id: str | None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All of it, when all is quiet.

    :param now: Airflow's runs as they are.
    :param history: the states that they had, in order.
    :param tasks: states of the last try of their tasks.
    :param statuses: the receiver's answer by request number, where there was one.
    :param handled: how often the caller's handler saw an event.
    """

    runs: Sequence[PlayedRun]
    now: Mapping[str, RunState]
    history: Mapping[str, Sequence[RunState]]
    tasks: Mapping[str, Mapping[str, str | None]]
    requests: Mapping[str, Sequence[StoredRequest]]
    events: Mapping[str, Sequence[Recorded]]
    wire: Sequence[Requested]
    statuses: Mapping[str, int]
    handled: Mapping[str, int]
    strikes: Sequence[Strike]
    deaths: Mapping[str, int]

    def strikes_during(self, run: PlayedRun) -> list[Strike]:
        """Return the kills while a run was under way."""
        now = self.now.get(run.run_id)
        over = now.end_date.timestamp() if now and now.end_date else float("inf")
        return [strike for strike in self.strikes if run.begun <= strike.at <= over]


def gather(
    runs: Sequence[PlayedRun], truth: Truth, files: Files, strikes: Sequence[Strike], deaths: Mapping[str, int]
) -> Evidence:
    """Read everything.

    :raises psycopg.Error: if the database stays away.
    """
    wire, statuses = read_wire(files.wire)
    return Evidence(
        runs=sorted(runs, key=lambda run: run.number),
        now=truth.runs(),
        history=truth.history(),
        tasks=truth.tasks(),
        requests=_requests(files.store),
        events=recorded_events(files.store),
        wire=wire,
        statuses=statuses,
        handled=_handled(files.handled),
        strikes=strikes,
        deaths=deaths,
    )


def recorded_events(store: Path) -> dict[str, list[Recorded]]:
    """Return the recorded events by run, oldest first."""
    events = defaultdict(list)
    query = "SELECT event_id, run_id, request_id, transition, received_at, body FROM events ORDER BY received_at"
    for event_id, run_id, request_id, transition, at, body in _rows(store, query):
        data = msgspec.json.decode(body)["data"]
        events[run_id].append(
            Recorded(
                event_id=event_id,
                run_id=run_id,
                request_id=request_id,
                transition=transition,
                at=at,
                state=data["state"],
                start_date=moment(data["start_date"]),
                reported_by=data["reported_by"],
            )
        )
    return dict(events)


def moment(text: str | None) -> datetime | None:
    """Read a time as an event has it."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)


def outbox_left(url: str) -> int:
    """Return how many events or hints are still to be worked on.

    :raises psycopg.Error: if the database is away.
    """
    query = "SELECT count(*) FROM ringback_event WHERE status IN ('hint', 'due', 'leased')"
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def outbox_counts(url: str) -> dict[str, int]:
    """Return how many events have each status."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM ringback_event GROUP BY status").fetchall())


def outbox_of(url: str, run_id: str) -> list[str]:
    """Return a run's rows in the outbox with their attempts, for people to read."""
    said = []
    with psycopg.connect(url, connect_timeout=5) as connection:
        query = (
            "SELECT event_id, state, status, reported_by, attempts, looks, to_timestamp(due_at)::text "
            "FROM ringback_event WHERE run_id = %s ORDER BY created_at"
        )
        for event_id, *row in connection.execute(query, [run_id]).fetchall():
            said.append(f"outbox: {event_id} {row}")
            attempts = "SELECT sender, to_timestamp(at)::text, status, error FROM ringback_attempt WHERE event_id = %s"
            said.extend(
                f"  attempt: {attempt}" for attempt in connection.execute(attempts + " ORDER BY id", [event_id])
            )
    return said or ["outbox: nothing"]


def _requests(store: Path) -> dict[str, list[StoredRequest]]:
    requests = defaultdict(list)
    for request_id, run_id, state, event_id in _rows(store, "SELECT request_id, run_id, state, event_id FROM requests"):
        requests[run_id].append(StoredRequest(request_id=request_id, run_id=run_id, state=state, event_id=event_id))
    return dict(requests)


def _handled(path: Path) -> Counter[str]:
    lines = path.read_bytes().splitlines() if path.exists() else []
    return Counter(msgspec.json.decode(line)["event_id"] for line in lines)


def _rows(store: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(store, timeout=30)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
