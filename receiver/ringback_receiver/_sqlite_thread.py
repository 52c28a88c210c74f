"""One thread owns one SQLite connection and commits together whatever has queued up meanwhile.

An fsync costs about a millisecond whether it makes one event durable or a hundred.  Nobody lingers for
company: what arrives during one commit is the next batch.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["SqliteThread"]

T = TypeVar("T")

MAX_BATCH = 1_000
"""Operations in one transaction; more would make the first wait too long."""


class _Job:
    """An operation on its way through the thread, and who waits for it."""

    __slots__ = ("error", "future", "loop", "operation", "result", "writes")

    def __init__(self, operation: Callable[[sqlite3.Connection], Any] | None, *, writes: bool) -> None:
        self.operation = operation
        self.writes = writes
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        if self.operation is not None:
            self.result = self.operation(connection)


class SqliteThread:
    """Run operations on a connection that no other thread touches.

    :param connect: called in the thread; the connection must be in autocommit mode.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._running = False

    async def start(self) -> None:
        """Connect.

        :raises Exception: whatever ``connect`` raises.
        """
        opened = _Job(None, writes=False)
        threading.Thread(target=self._main, args=(opened,), name="ringback-sqlite", daemon=True).start()
        await opened.future
        self._running = True

    async def stop(self) -> None:
        """Finish what is queued, close the connection and end the thread."""
        if self._running:
            self._running = False
            await self._put(_Job(None, writes=False))

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation and return once it is committed; if it raises, only its own changes are undone."""
        result: T = await self._put(_Job(self._checked(operation), writes=True))
        return result

    async def read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation that changes nothing."""
        result: T = await self._put(_Job(self._checked(operation), writes=False))
        return result

    def require_running(self) -> None:
        """Return if operations can be run.

        :raises sqlite3.ProgrammingError: it was not started, or is stopped.
        """
        if not self._running:
            raise sqlite3.ProgrammingError("the store is closed")

    def _checked(self, operation: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        self.require_running()
        return operation

    def _put(self, job: _Job) -> asyncio.Future[Any]:
        self._queue.put(job)
        return job.future

    # --- in the thread

    def _main(self, opened: _Job) -> None:
        try:
            connection = self._connect()
        except Exception as error:
            opened.error = error
            _deliver([opened])
            return
        _deliver([opened])
        stopping: list[_Job] = []
        while not stopping:
            batch = self._take()
            stopping = [job for job in batch if job.operation is None]
            _commit(connection, [job for job in batch if job.writes])
            for job in batch:
                if not job.writes:
                    _attempt(connection, job)
            _deliver([job for job in batch if job.operation is not None])
        connection.close()
        _deliver(stopping)

    def _take(self) -> list[_Job]:
        batch = [self._queue.get()]
        while len(batch) < MAX_BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return batch


def _commit(connection: sqlite3.Connection, jobs: list[_Job]) -> None:
    """Run all in one transaction; each in a savepoint, so that it fails alone."""
    if not jobs:
        return
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            connection.execute("SAVEPOINT operation")
            _attempt(connection, job)
            if job.error is not None:
                # Fails if SQLite has undone the whole transaction, as it does when the disk is full.
                connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
        connection.execute("COMMIT")
    except Exception as error:
        for job in jobs:
            job.error = job.error or error
        _roll_back(connection)


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    try:
        job.run(connection)
    except Exception as error:
        job.error = error


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The next BEGIN fails while this transaction is open, so nothing is ever answered for wrongly.
            return


def _deliver(jobs: list[_Job]) -> None:
    """Hand the outcomes over to the event loops that wait; a loop that is closed waits no more."""
    for loop in {job.loop for job in jobs}:
        try:
            loop.call_soon_threadsafe(_settle, [job for job in jobs if job.loop is loop])
        except RuntimeError:
            continue


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # whoever waited was cancelled; the operation took place all the same
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
