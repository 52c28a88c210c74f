"""Connections that are reopened when they are lost, and on which nothing takes longer than its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]

from ringback_receiver._postgres_connect import Connection, connect
from ringback_receiver._postgres_failures import as_store_error, is_lost
from ringback_receiver._postgres_url import Place
from ringback_receiver.errors import ConfigurationError, StoreError

__all__ = ["Lines", "within"]

T = TypeVar("T")

Operation = Callable[[Connection], Awaitable[T]]

_Idle = asyncio.PriorityQueue[tuple[bool, int, Connection | None]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
"""Seconds for which no further connection is asked for after the server had no room for one, more each time."""

_SECONDS_TO_CONNECT = 1.0
"""For a further one; whoever waits may still get one of those that there are."""

_TOO_LITTLE = 0.05
"""Share of the patience that must be left: what is cut for want of time costs a connection."""

log = logging.getLogger("ringback_receiver")


async def within(seconds: float, connection: Connection, working: Awaitable[T]) -> T:
    """Wait for what uses a connection, or cut it.

    The server's own timeouts do not help when it is the server, or the network, that hangs; nor does a polite
    cancellation, which waits for its answer.

    :raises asyncio.TimeoutError: it took too long; the connection is closed.
    """
    task = asyncio.ensure_future(working)
    try:
        done, _ = await asyncio.wait([task], timeout=max(0.0, seconds))
    except BaseException:
        _cut(connection, task)
        raise
    if not done:
        _cut(connection, task)
        await asyncio.wait([task], timeout=1.0)
        raise asyncio.TimeoutError("no answer in time")
    return task.result()


def _cut(connection: Connection, task: asyncio.Future[Any]) -> None:
    with contextlib.suppress(Exception):
        connection.terminate()
    task.cancel()


class Lines:
    """A few connections, opened when they are needed, each used by one operation at a time.

    :param most: how many.
    :param patience: seconds for an operation, the wait for a connection included.
    """

    def __init__(self, place: Place, *, most: int, patience: float) -> None:
        self._place = place
        self._patience = patience
        self._most = most
        self._idle: _Idle = asyncio.PriorityQueue()
        self._turn = itertools.count(step=-1)
        self._connections: list[Connection] = []
        self._ask_again_at, self._pause, self._is_full = 0.0, _FIRST_PAUSE, False
        self._working: set[asyncio.Task[Any]] = set()
        self._open = False

    async def open(self) -> None:
        """Connect once, to see that it works."""
        self._idle = asyncio.PriorityQueue()  # a new one: it belongs to the loop that it is used in
        self._connections, self._working, self._ask_again_at = [], set(), 0.0
        for connection in (*[None] * (self._most - 1), await self._connect(self._patience)):
            self._give_back(connection)
        self._open = True

    async def close(self) -> None:
        """Let what is under way finish, and hang up."""
        self._open = False
        if self._working:
            await asyncio.wait(self._working)
        while not self._idle.empty():
            *_, connection = self._idle.get_nowait()
            if connection is not None and not connection.is_closed():
                with contextlib.suppress(Exception):
                    await within(1.0, connection, connection.close())

    async def run(self, operation: Operation[T], *, again: bool = False) -> T:
        """Do something on a connection; it is finished even if whoever waits is cancelled.

        :param again: whether it may be done a second time if the connection is lost meanwhile.
        :raises StoreError: the lines are closed.
        :raises asyncio.TimeoutError: it took too long.
        """
        if not self._open:
            raise StoreError(f"PostgreSQL store {self._place}: it is closed")
        task = asyncio.create_task(self._run(operation, again))
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return await asyncio.shield(task)

    async def _run(self, operation: Operation[T], again: bool) -> T:
        deadline = time.monotonic() + self._patience
        while True:
            connection = await self._line(deadline)
            try:
                if deadline - time.monotonic() < _TOO_LITTLE * self._patience:
                    raise asyncio.TimeoutError("no connection in time")
                return await within(deadline - time.monotonic(), connection, operation(connection))
            except Exception as error:
                if not is_lost(error):
                    raise
                connection.terminate()  # whatever state it is in
                self._distrust_idle()
                if not again:
                    raise
                again = False
            finally:
                self._give_back(connection)

    async def _line(self, deadline: float) -> Connection:
        """Return a connection that nobody uses, or a new one.

        Where the server has no room for another, whoever wants one waits for those that there are.

        :raises Exception: there is none, and none can be made.
        """
        places = 0  # that hold no connection, and are ours as long as we look
        refused: Exception | None = None
        try:
            while True:
                try:
                    connection = await self._next(min(deadline, self._ask_again_at) if places else deadline)
                except asyncio.TimeoutError as error:
                    if time.monotonic() >= deadline:
                        raise refused or error from None
                else:
                    if connection is None:
                        places += 1
                    elif connection.is_closed():
                        self._give_back(connection)
                        continue  # one that lives may be behind it
                    else:
                        return connection
                if time.monotonic() < self._ask_again_at:
                    continue
                try:
                    connection = await self._further(deadline)
                except Exception as error:
                    if not self._has_some() and not isinstance(error, asyncpg.TooManyConnectionsError):
                        raise
                    refused = error
                else:
                    places -= 1
                    return connection
        finally:
            for _ in range(places):
                self._give_back(None)

    async def _further(self, deadline: float) -> Connection:
        """Open another connection, unless the server was just asked for one in vain."""
        has_some = self._has_some()
        if has_some:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            deadline = min(deadline, time.monotonic() + _SECONDS_TO_CONNECT)
            self._ask_again_at = deadline + self._pause  # nobody else meanwhile
        try:
            connection = await self._connected(deadline)
        except Exception as error:
            self._ask_again_at = time.monotonic() + (self._pause if has_some else _FIRST_PAUSE)
            if has_some and not self._is_full:
                self._is_full = True
                log.warning("no further connection for now: %s", as_store_error(self._place, error))
            raise
        self._ask_again_at, self._pause, self._is_full = 0.0, _FIRST_PAUSE, False
        return connection

    async def _next(self, deadline: float) -> Connection | None:
        if self._idle.empty():
            *_, connection = await asyncio.wait_for(self._idle.get(), max(0.0, deadline - time.monotonic()))
        else:  # without a task and a timer
            *_, connection = self._idle.get_nowait()
        return connection

    def _give_back(self, connection: Connection | None) -> None:
        """Keep a connection, or its place if it is closed: those that live are taken first, the latest first of all."""
        lives = connection is not None and not connection.is_closed()
        self._idle.put_nowait((not lives, next(self._turn), connection if lives else None))

    def _distrust_idle(self) -> None:
        """Close what is idle: it may have been lost with another connection, and not know yet."""
        idle = []
        while not self._idle.empty():
            idle.append(self._idle.get_nowait()[-1])
        for connection in idle:
            if connection is not None:
                connection.terminate()
            self._give_back(connection)

    def _has_some(self) -> bool:
        self._connections = [connection for connection in self._connections if not connection.is_closed()]
        return bool(self._connections)

    async def _connected(self, deadline: float) -> Connection:
        try:
            return await self._connect(deadline - time.monotonic())
        except ConfigurationError as error:  # it was right when we opened
            raise StoreError(str(error)) from error

    async def _connect(self, seconds: float) -> Connection:
        connection = await connect(self._place, patience=self._patience, seconds=seconds)
        self._connections.append(connection)
        return connection
