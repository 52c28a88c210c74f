"""What Airflow itself has, read from its own tables; a trigger of ours keeps every state that a run ever had."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import psycopg

__all__ = ["ENDED", "RunState", "Truth"]

T = TypeVar("T")

ENDED = ("success", "failed")

_FRESH_SECONDS = 0.5
_PATIENCE = 120.0

_HISTORY = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.history (
  number bigserial PRIMARY KEY, run_id text, state text, start_date timestamptz, end_date timestamptz);
CREATE FUNCTION chaos.keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos.history (run_id, state, start_date, end_date)
  VALUES (NEW.run_id, NEW.state, NEW.start_date, NEW.end_date);
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_history AFTER UPDATE ON dag_run FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.start_date IS DISTINCT FROM NEW.start_date)
EXECUTE FUNCTION chaos.keep();
"""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run now, or at an earlier time."""

    state: str
    start_date: datetime | None
    end_date: datetime | None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in ENDED


@dataclass
class _Snapshot:
    at: float = float("-inf")
    runs: dict[str, RunState] = field(default_factory=dict)
    running: dict[str, set[str]] = field(default_factory=dict)


class Truth:
    """Read Airflow's database; while it is down, the last that was seen holds.

    :param url: ``postgresql://…``
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._snapshot = _Snapshot()

    def watch(self) -> None:
        """From now on, keep every state of every run, committed with it."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(_HISTORY)

    def run(self, run_id: str) -> RunState | None:
        """Return how a run was half a second ago at most, or ``None`` if there is none."""
        return self._fresh().runs.get(run_id)

    def running_tasks(self, run_id: str) -> set[str]:
        """Return the ids of a run's running tasks, as fresh."""
        return self._fresh().running.get(run_id, set())

    def runs(self) -> dict[str, RunState]:
        """Return all runs by id.

        :raises psycopg.Error: if the database stays away.
        """
        return self._surely(_runs)

    def history(self) -> dict[str, list[RunState]]:
        """Return all states that each run has had since it was queued, in order.

        :raises psycopg.Error: if the database stays away.
        """

        def read(connection: psycopg.Connection[Any]) -> dict[str, list[RunState]]:
            history = defaultdict(list)
            query = "SELECT run_id, state, start_date, end_date FROM chaos.history ORDER BY number"
            for run_id, *state in connection.execute(query):
                history[run_id].append(_state(state))
            return dict(history)

        return self._surely(read)

    def tasks(self) -> dict[str, dict[str, str | None]]:
        """Return the last states of all runs' tasks.

        :raises psycopg.Error: if the database stays away.
        """

        def read(connection: psycopg.Connection[Any]) -> dict[str, dict[str, str | None]]:
            tasks: dict[str, dict[str, str | None]] = defaultdict(dict)
            for run_id, task_id, state in connection.execute("SELECT run_id, task_id, state FROM task_instance"):
                tasks[run_id][task_id] = state
            return dict(tasks)

        return self._surely(read)

    def _fresh(self) -> _Snapshot:
        with self._lock:
            now = time.monotonic()
            if now - self._snapshot.at > _FRESH_SECONDS:
                try:
                    self._snapshot = self._query(_snapshot)
                except psycopg.Error:
                    self._snapshot.at = now
            return self._snapshot

    def _surely(self, read: Callable[[psycopg.Connection[Any]], T]) -> T:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._lock:
                    return self._query(read)
            except psycopg.Error:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _query(self, read: Callable[[psycopg.Connection[Any]], T]) -> T:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=5)
            return read(self._connection)
        except psycopg.Error:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            raise


def _snapshot(connection: psycopg.Connection[Any]) -> _Snapshot:
    running: dict[str, set[str]] = defaultdict(set)
    for run_id, task_id in connection.execute("SELECT run_id, task_id FROM task_instance WHERE state = 'running'"):
        running[run_id].add(task_id)
    return _Snapshot(at=time.monotonic(), runs=_runs(connection), running=dict(running))


def _runs(connection: psycopg.Connection[Any]) -> dict[str, RunState]:
    rows = connection.execute("SELECT run_id, state, start_date, end_date FROM dag_run")
    return {run_id: _state(state) for run_id, *state in rows}


def _state(row: Any) -> RunState:
    state, start_date, end_date = row
    return RunState(state=state, start_date=start_date, end_date=end_date)
