"""The embedded store: one SQLite file, no server, safe for several processes on one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from ringback_protocol import CompletionEvent
from ringback_receiver import _sqlite_operations as operations
from ringback_receiver import _sqlite_oversight as oversight
from ringback_receiver import _sqlite_queries as sql
from ringback_receiver import _sqlite_recording as recording
from ringback_receiver._group_commit import GroupCommit
from ringback_receiver._matching import PendingRequest, RequestState
from ringback_receiver._observer import Backlog
from ringback_receiver._recording import Arrival
from ringback_receiver._sqlite_thread import SqliteThread
from ringback_receiver._store import (
    Checked,
    FailingCall,
    HandlerCall,
    History,
    Recorded,
    Registered,
    Settled,
    Told,
    Tracked,
)
from ringback_receiver.errors import MissingDependency, StoreError

__all__ = ["SqliteStore"]

T = TypeVar("T")

OPENING_PATIENCE = 10.0
"""Seconds to try to open a file that another process is just creating or closing."""


class SqliteStore:
    """The :class:`~ringback_receiver._store.Store` in a file.

    :param path: of the file, created with mode 0600; or ``:memory:``.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread = SqliteThread(self._connect)
        self._events = GroupCommit(self._record, is_poison=_is_poison, written=self._recorded)
        self._told: Told | None = None

    async def open(self) -> None:
        with _Translated(self._path):
            await self._thread.start()

    async def close(self) -> None:
        with _Translated(self._path):
            await self._events.finish()
            await self._thread.stop()

    async def register(self, request: PendingRequest, *, handlers: Sequence[str], adopt: bool = False) -> Registered:
        return await self._write(lambda connection: operations.register(connection, request, handlers, adopt))

    async def record(
        self, event: CompletionEvent, body: bytes, *, received_at: float, handlers: Sequence[str]
    ) -> Recorded:
        arrival = Arrival(event=event, body=body, received_at=received_at, handlers=handlers)
        with _Translated(self._path):
            self._thread.require_running()
            return await self._events.submit(arrival)

    def on_recorded(self, told: Told) -> None:
        self._told = told

    @property
    def recording(self) -> int:
        return len(self._events)

    async def look_up(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        return await self._read(lambda connection: operations.look_up(connection, request_ids))

    async def settled(self, request_ids: Sequence[str]) -> dict[str, Tracked]:
        return await self._read(lambda connection: operations.settled(connection, request_ids))

    def watch(self, settled: Settled) -> None:
        """Nobody tells: what another process does is found by looking."""

    async def backlog(self, *, now: float, most: int) -> Backlog:
        return await self._read(lambda connection: oversight.backlog(connection, now, most))

    async def cancel(self, request_id: str) -> Tracked | None:
        return await self._write(lambda connection: operations.leave_pending(connection, request_id, "cancelled"))

    async def abandon(self, request_id: str, *, reason: str, triggers: int = 1) -> Tracked | None:
        return await self._write(
            lambda connection: operations.leave_pending(
                connection, request_id, "abandoned", reason=reason, triggers=triggers
            )
        )

    async def change_marker(self) -> Hashable:
        return await self._read(_change_marker)

    async def claim_calls(
        self, handlers: Sequence[str], *, now: float, lease_until: float, limit: int
    ) -> list[HandlerCall]:
        return await self._write(
            lambda connection: operations.claim_calls(connection, handlers, now, lease_until, limit)
        )

    async def renew_calls(self, calls: Sequence[HandlerCall], *, lease_until: float) -> None:
        await self._write(lambda connection: operations.renew_calls(connection, calls, lease_until))

    async def finish_call(self, call: HandlerCall, *, at: float) -> None:
        await self._write(lambda connection: operations.finish_call(connection, call, at))

    async def retry_call(self, call: HandlerCall, *, due: float, error: str) -> None:
        await self._write(lambda connection: operations.retry_call(connection, call, due, error))

    async def failing_calls(self, *, limit: int) -> list[FailingCall]:
        return await self._read(lambda connection: operations.failing_calls(connection, limit))

    async def give_up_call(self, call: HandlerCall, *, at: float, error: str) -> None:
        await self._write(lambda connection: oversight.give_up_call(connection, call, at, error))

    async def retry_failed(
        self, *, now: float, request_id: str | None = None, handler: str | None = None, event_id: str | None = None
    ) -> int:
        return await self._write(
            lambda connection: oversight.retry_failed(connection, now, request_id, handler, event_id)
        )

    async def expire(self, *, now: float, limit: int) -> list[str]:
        if not await self._read(lambda connection: oversight.overdue(connection, now, 1)):
            return []  # without waiting for others who write
        return await self._write(lambda connection: oversight.expire(connection, now, limit))

    async def confirm(self, request_id: str) -> None:
        await self._write(lambda connection: oversight.confirm(connection, request_id))

    async def due_checks(self, callback_url: str, *, now: float, limit: int) -> list[PendingRequest]:
        return await self._read(lambda connection: oversight.due_checks(connection, callback_url, now, limit))

    async def note_checks(self, checks: Sequence[Checked]) -> None:
        await self._write(lambda connection: oversight.note_checks(connection, checks))

    async def hold_lease(self, name: str, *, holder: str, now: float, until: float) -> bool:
        return await self._write(lambda connection: oversight.hold_lease(connection, name, holder, now, until))

    async def release_lease(self, name: str, *, holder: str) -> None:
        await self._write(lambda connection: oversight.release_lease(connection, name, holder))

    async def list_requests(self, *, state: RequestState, limit: int) -> list[PendingRequest]:
        return await self._read(lambda connection: oversight.list_requests(connection, state, limit))

    async def history(self, request_id: str) -> History | None:
        return await self._read(lambda connection: oversight.history(connection, request_id))

    # --- inside

    async def _record(self, arrivals: Sequence[Arrival]) -> Sequence[Recorded]:
        return await self._thread.write(lambda connection: recording.record(connection, arrivals))

    def _recorded(self, arrivals: Sequence[Arrival], outcomes: Sequence[Recorded]) -> None:
        if self._told is not None:
            self._told([(arrival.event, outcome) for arrival, outcome in zip(arrivals, outcomes, strict=True)])

    async def _write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        with _Translated(self._path):
            return await self._thread.write(operation)

    async def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        with _Translated(self._path):
            return await self._thread.read(operation)

    # --- in the thread

    def _connect(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            _create_private(Path(self._path))
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            _prepare(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection


class _Translated:
    """Turn what SQLite and the file system raise into our own error."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            raise StoreError(f"SQLite store {self._path}: {error}") from error


def _is_poison(error: Exception) -> bool:
    """Whether one event may be to blame: everything but a file that cannot be written now."""
    return not isinstance(error, sqlite3.OperationalError | OSError)


def _change_marker(connection: sqlite3.Connection) -> Hashable:
    """Tell of changes by other connections (``data_version``) and by this one (``total_changes``)."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return version, connection.total_changes


def _create_private(path: Path) -> None:
    """Create the file readable by its owner only; SQLite gives its companions the same mode."""
    try:
        # Only ever opened when it is new: closing a file descriptor drops the process's locks on the file.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Set the connection up and bring the file to our schema; other processes may be doing the same."""
    try:
        from ringback_receiver._migrate import migrate_sqlite
    except ModuleNotFoundError as error:
        raise MissingDependency("the store needs SQLAlchemy: pip install 'airflow-ringback[receiver]'") from error
    deadline = time.monotonic() + OPENING_PATIENCE
    while True:
        try:
            migrate_sqlite(connection, path)  # first: a file of another version is left as it is
            for pragma in sql.PRAGMAS:
                connection.execute(pragma)
            return
        except sqlite3.OperationalError as error:
            # Going over to WAL does not honour busy_timeout.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
