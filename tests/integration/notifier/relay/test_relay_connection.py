"""One connection: an answer belongs to the request that it follows, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ringback_notifier._guard import admit_all
from ringback_notifier.relay._connection import Connection, Reply, connect

pytestmark = pytest.mark.anyio

HEADERS = ((b"host", b"receiver"), (b"content-length", b"2"))


@asynccontextmanager
async def server(answer: Callable[[], bytes]) -> AsyncIterator[int]:
    """Answer every request with raw bytes."""

    talks: list[asyncio.Task[None] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                writer.write(answer())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await asyncio.gather(*(talk for talk in talks if talk))


async def exchange(connection: Connection) -> Reply:
    return await connection.exchange(b"/", HEADERS, b"{}", most=4_096, linger=0.2)


async def test_what_comes_behind_an_answer_is_not_the_next_answer() -> None:
    """A server that says 410 behind its 204 settles nobody else's event: the connection is not used again."""
    both = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
    async with server(lambda: both) as port:
        connection = await connect("127.0.0.1", port, admit=admit_all, context=None, within=2)
        assert (await exchange(connection)).status == 204
        assert not connection.usable


async def test_a_clean_connection_is_used_again() -> None:
    """One answer a request, and the next may come."""
    async with server(lambda: b"HTTP/1.1 204 No Content\r\n\r\n") as port:
        connection = await connect("127.0.0.1", port, admit=admit_all, context=None, within=2)
        for _ in range(3):
            assert (await exchange(connection)).status == 204
            assert connection.usable
        connection.close()


async def test_a_flood_of_interim_answers_is_ended() -> None:
    """A few are in order; thousands keep an event loop busy that others share."""
    async with server(lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000) as port:
        connection = await connect("127.0.0.1", port, admit=admit_all, context=None, within=2)
        with pytest.raises(ConnectionError, match="interim"):
            await exchange(connection)
        assert not connection.usable
