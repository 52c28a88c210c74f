"""Connections that are reopened when they are lost, and on which nothing takes longer than its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ringback_receiver._postgres_connect import Connection, connect
from ringback_receiver._postgres_failures import is_lost
from ringback_receiver._postgres_url import Place
from ringback_receiver.errors import ConfigurationError, StoreError

__all__ = ["Lines", "within"]

T = TypeVar("T")

Operation = Callable[[Connection], Awaitable[T]]


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
        self._idle: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue()
        self._most = most
        self._working: set[asyncio.Task[Any]] = set()
        self._open = False

    async def open(self) -> None:
        """Connect once, to see that it works."""
        self._idle = asyncio.LifoQueue()  # a new one: it belongs to the loop that it is used in
        connection = await connect(self._place, patience=self._patience)
        for idle in (*[None] * (self._most - 1), connection):
            self._idle.put_nowait(idle)
        self._open = True

    async def close(self) -> None:
        """Let what is under way finish, and hang up."""
        self._open = False
        if self._working:
            await asyncio.wait(self._working)
        while not self._idle.empty():
            connection = self._idle.get_nowait()
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
        if self._idle.empty():
            connection = await asyncio.wait_for(self._idle.get(), self._patience)
        else:  # without a task and a timer
            connection = self._idle.get_nowait()
        try:
            while True:
                connection = await self._connected(connection, deadline - time.monotonic())
                try:
                    return await within(deadline - time.monotonic(), connection, operation(connection))
                except Exception as error:
                    if not is_lost(error):
                        raise
                    connection.terminate()  # whatever state it is in
                    if not again:
                        raise
                    again = False
        finally:
            self._idle.put_nowait(connection)

    async def _connected(self, connection: Connection | None, seconds: float) -> Connection:
        if connection is not None and not connection.is_closed():
            return connection
        try:
            return await connect(self._place, patience=self._patience, seconds=seconds)
        except ConfigurationError as error:  # it was right when we opened
            raise StoreError(str(error)) from error
